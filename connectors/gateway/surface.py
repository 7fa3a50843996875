"""A surface: one API that callers may speak. It reads their request into the platform's form, and spells the answer.

Inside there is one form, OpenAI's (`schemas.chat`, `schemas.embeddings`); which vendor answers is not a surface's matter.
`chat`, `messages`, `responses` and `embeddings` are the surfaces; `serving` drives them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.datastructures import Headers

from connectors.gateway.problems import Problem
from schemas.events import Response

__all__ = ["Asking", "Frames", "Opening", "Surface"]


@dataclass(slots=True)
class Asking:
    """What a caller wants.

    Attributes:
        raw: the body that goes through the platform, as JSON.
        body: the same, parsed.
        include_usage: a stream ends with the usage.
        dropped: parameters that the surface itself left out.
        echo: what the surface needs again to spell the answer.
    """

    raw: bytes
    body: dict[str, Any]
    include_usage: bool = False
    dropped: list[str] = field(default_factory=list)
    echo: Any = None


@dataclass(slots=True, frozen=True)
class Opening:
    """How a stream begins: `model` as callers know it, `created` in epoch seconds."""

    request_id: str
    model: str
    created: int


class Frames(Protocol):
    """Spells one stream as bytes of server-sent events."""

    @property
    def keep_alive(self) -> bytes:
        """What says that we are still there, and nothing else."""

    def piece(self, delta: dict[str, Any]) -> bytes:
        """A piece of the first choice, OpenAI's `delta` without a role; ids and names of tool calls come once."""

    def end(self, body: dict[str, Any], response: Response) -> bytes:
        """The end, when all of the first choice was sent; `body` is the whole chat completion."""

    def fail(self, problem: Problem) -> bytes:
        """The end of a stream that has none."""


@dataclass(slots=True, frozen=True)
class Surface:
    """`operation` is that of the request record; a surface without `frames` does not stream."""

    operation: str
    read: Callable[[bytes, dict[str, Any], Headers], Asking | Problem]
    answer: Callable[[Response, Asking], bytes]
    error: Callable[[Problem], bytes]
    frames: Callable[[Opening, Asking], Frames] | None = None
