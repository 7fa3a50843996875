"""Encrypted reasoning: what the Responses API hands out and takes back, sealed for the item that it belongs to.

Nothing is stored: a seal carries the digest of its item's id, so that one that was cut, changed or moved is noticed.
"""

import base64
import binascii
from hashlib import blake2b

from connectors.simulator.openai.errors import Refused

_PREFIX = "gAAAAA"  # Fernet's, with which OpenAI's begin
_KEY = b"simulated reasoning"
_NAME_BYTES = 16
_MAC_BYTES = 16
_LEAST_FILLING = 96  # a real one is some hundred characters even for a short thought


def sealed(item_id: str, reasoning_tokens: int) -> str:
    """The encrypted content of one reasoning item; longer for longer thoughts."""
    name = _digest(item_id.encode(), _NAME_BYTES)
    filling = (name * (_LEAST_FILLING + reasoning_tokens))[: _LEAST_FILLING + 2 * reasoning_tokens]
    payload = name + filling
    return _PREFIX + base64.urlsafe_b64encode(_digest(payload, _MAC_BYTES) + payload).decode()


def check(seal: str, item_id: str | None) -> None:
    """A seal that came back.

    Raises:
        Refused: It is none of ours, or that of another item.
    """
    payload = _opened(seal)
    if payload is None:
        message = (
            f"The encrypted content {seal[:4]}...{seal[-4:]} could not be verified. "
            "Reason: Encrypted content could not be decrypted or parsed."
        )
        raise Refused(message, code="invalid_encrypted_content")
    if item_id is not None and payload[:_NAME_BYTES] != _digest(item_id.encode(), _NAME_BYTES):
        message = (
            f"The encrypted content for item {item_id} could not be verified. "
            "Reason: Encrypted content item_id did not match the target item id."
        )
        raise Refused(message, code="invalid_encrypted_content")


def _opened(seal: str) -> bytes | None:
    try:
        data = base64.urlsafe_b64decode(seal.removeprefix(_PREFIX).encode())
    except (binascii.Error, UnicodeEncodeError):
        return None
    mac, payload = data[:_MAC_BYTES], data[_MAC_BYTES:]
    return payload if seal.startswith(_PREFIX) and mac == _digest(payload, _MAC_BYTES) else None


def _digest(data: bytes, size: int) -> bytes:
    return blake2b(data, key=_KEY, digest_size=size).digest()
