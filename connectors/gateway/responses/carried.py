"""Thinking that a client brings back: the blocks of an answer, sealed into `encrypted_content` of its reasoning item.

Clients return reasoning items as they got them and look into none. What another server encrypted means nothing here.
"""

from collections.abc import Sequence
from typing import Any

from schemas.seals import seal, unseal

__all__ = ["carried", "unpacked"]

# No adapter has this name: the seal is no vendor's signature. Those inside the blocks have seals of their own.
_OWNER = "responses"


def carried(blocks: Sequence[dict[str, Any]]) -> str:
    return seal("", _OWNER, list(blocks))


def unpacked(text: str) -> list[dict[str, Any]]:
    """The `thinking_blocks` inside; none if the text is not ours."""
    sealed = unseal(text)
    if sealed.owner != _OWNER or not isinstance(sealed.state, list):
        return []
    return [block for block in sealed.state if isinstance(block, dict)]
