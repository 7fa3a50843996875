"""Signatures of thinking: made from model and text, so that a changed or foreign block is told when it comes back.

The key is a constant: any simulator recognises what another one signed, as one vendor does.
"""

import base64
import binascii
from hashlib import blake2b

_KEY = b"simulated anthropic"
_NONCE_BYTES = 12
_MAC_BYTES = 36  # with the nonce a multiple of three: base64 without padding
_REDACTED = "redacted"


def sign(model: str, thinking: str, nonce: str) -> str:
    """The signature of a thinking block; the nonce makes those of equal texts differ."""
    return _sealed(model, f"thinking|{thinking}", nonce)


def redact(model: str, nonce: str) -> str:
    """The data of a redacted block."""
    return _sealed(model, _REDACTED, nonce)


def is_signed(model: str, thinking: str, signature: str) -> bool:
    return _is_sealed(model, f"thinking|{thinking}", signature)


def is_redacted(model: str, data: str) -> bool:
    return _is_sealed(model, _REDACTED, data)


def _sealed(model: str, text: str, nonce: str) -> str:
    salt = nonce.encode()[:_NONCE_BYTES].ljust(_NONCE_BYTES, b"0")
    return base64.b64encode(salt + _mac(model, text, salt)).decode()


def _is_sealed(model: str, text: str, seal: str) -> bool:
    try:
        raw = base64.b64decode(seal, validate=True)
    except (binascii.Error, ValueError):
        return False
    return raw[_NONCE_BYTES:] == _mac(model, text, raw[:_NONCE_BYTES])


def _mac(model: str, text: str, salt: bytes) -> bytes:
    return blake2b(f"{model}|{text}".encode() + salt, digest_size=_MAC_BYTES, key=_KEY).digest()
