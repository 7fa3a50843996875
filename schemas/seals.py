"""Opaque state of a vendor, sealed with whom it belongs to, so that it survives the round trip through any client.

Thinking signatures and thought signatures must come back to the model that made them, and to no other
(provider_contracts.md section 5). There is no server-side store. So what leaves is sealed, `mrs1-` and base64url of what
is meant, and opened again when it comes back:

- a signature that a client echoes (`thinking_blocks`, `extra_content`) is sealed with its owner;
- plain clients echo nothing but the id of a tool call: the state rides in there, while the id stays under 2 KB.

A seal hides nothing and proves nothing: the vendor checks its own signature. No vendor ever sees one of ours.
"""

import binascii
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any, Final

import orjson

__all__ = ["MAX_ID_CHARS", "Sealed", "opened", "plain_id", "seal", "seal_id", "unseal"]

MAX_ID_CHARS: Final = 2_000
_PREFIX: Final = "mrs1-"
_MAX_OPENED_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sealed:
    """`owner` is `<adapter>/<upstream model>`, "" for what never was sealed; `state` is JSON or None."""

    text: str
    owner: str = ""
    state: Any = None


def seal(text: str, owner: str, state: Any = None) -> str:
    packed = zlib.compress(orjson.dumps([text, owner, state]))
    return _PREFIX + urlsafe_b64encode(packed).rstrip(b"=").decode()


def seal_id(id: str, owner: str, state: Any) -> str:
    """The id of a tool call with `state` inside; as it was if that would make it too long for clients and tables."""
    sealed = seal(id, owner, state)
    return sealed if len(sealed) <= MAX_ID_CHARS else id


def unseal(text: str) -> Sealed:
    """What stands inside; the text itself if it is no seal of ours, or a broken one."""
    if not text.startswith(_PREFIX):
        return Sealed(text)
    coded = text[len(_PREFIX) :]
    try:
        reader = zlib.decompressobj()
        packed = reader.decompress(urlsafe_b64decode(coded + "=" * (-len(coded) % 4)), _MAX_OPENED_BYTES)
        inner, owner, state = orjson.loads(packed)
    except (ValueError, binascii.Error, zlib.error):
        return Sealed(text)
    is_ours = isinstance(inner, str) and isinstance(owner, str)
    return Sealed(inner, owner, state) if is_ours else Sealed(text)


def opened(text: str, owner: str) -> str | None:
    """A signature as its vendor wrote it; None if it belongs to another one. Unsealed: the caller's own word for it."""
    sealed = unseal(text)
    return sealed.text if sealed.owner in {"", owner} else None


def plain_id(text: str) -> str:
    """The id as its vendor wrote it."""
    return unseal(text).text
