"""Thought signatures: opaque to callers, checked when they come back. One belongs to a model and a function's name."""

import base64
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from connectors.simulator.gemini.fields import decoded

# What Google takes in place of a signature that was lost; clients send it as it stands or encoded.
SENTINEL = "skip_thought_signature_validator"
_NONCE_BYTES = 24
_SEAL_BYTES = 24


def sign(model: str, name: str, nonce: str) -> str:
    """A signature for a call of a function, different for each nonce."""
    salt = blake2b(nonce.encode(), digest_size=_NONCE_BYTES).digest()
    return base64.b64encode(salt + _seal(model, name, salt)).decode()


def is_valid(signature: str, model: str, call: Mapping[str, Any] | None) -> bool:
    """Whether it is one that `sign` made for this model and function, or the sentinel."""
    given = decoded(signature) or b""
    if signature == SENTINEL or given == SENTINEL.encode():
        return True
    salt, seal = given[:_NONCE_BYTES], given[_NONCE_BYTES:]
    return call is not None and seal == _seal(model, call["name"], salt)


def _seal(model: str, name: str, salt: bytes) -> bytes:
    return blake2b(f"{model}|{name}|".encode() + salt, digest_size=_SEAL_BYTES).digest()
