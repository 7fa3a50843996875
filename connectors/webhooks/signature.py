"""The signature of a webhook: HMAC-SHA256 (RFC 2104) of the body's bytes, as most vendors sign theirs."""

import hashlib
import hmac
from typing import Final

__all__ = ["HEADER", "signature"]

HEADER: Final = "x-millrace-signature"


def signature(body: bytes, secret: bytes) -> str:
    """The header's value. Whoever checks it compares in constant time (`hmac.compare_digest`)."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
