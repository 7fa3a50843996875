"""Whether a body has the form of its operation."""

from collections.abc import Callable
from typing import Any

from schemas.chat import check_chat
from schemas.embeddings import check_embeddings
from schemas.events.request import InvalidRequest

__all__ = ["check_body"]

_CHECKS: dict[str, Callable[[dict[str, Any]], InvalidRequest | None]] = {
    "chat": check_chat,
    "embeddings": check_embeddings,
}


def check_body(operation: str, body: dict[str, Any]) -> InvalidRequest | None:
    """The first fault, with the path of its field; None: none."""
    return _CHECKS[operation](body)
