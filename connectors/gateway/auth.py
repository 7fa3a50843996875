"""Who asks: an API key in `Authorization: Bearer` or `x-api-key`; without a known key nobody gets in.

Only digests are compared, so timing tells nothing of a key.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers

from connectors.gateway.problems import Problem
from schemas.errors import ErrorCode

__all__ = ["Caller", "authenticate", "digest"]

_KEY_ID_DIGITS = 12


@dataclass(slots=True, frozen=True)
class Caller:
    tenant: str
    key_id: str


def digest(key: str) -> str:
    """SHA-256 of a key as hex; its first 12 digits are the key's id."""
    return hashlib.sha256(key.encode()).hexdigest()


def authenticate(headers: Headers, keys: Mapping[str, str]) -> Caller | Problem:
    """`keys`: digest -> tenant."""
    key = _key_of(headers)
    if isinstance(key, Problem):
        return key
    hashed = digest(key)
    tenant = keys.get(hashed)
    if not key or tenant is None:
        return Problem(ErrorCode.INVALID_API_KEY, "the API key is missing or unknown")
    return Caller(tenant, hashed[:_KEY_ID_DIGITS])


def _key_of(headers: Headers) -> str | Problem:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    bearer = bearer.strip() if scheme.lower() == "bearer" else ""
    plain = headers.get("x-api-key", "").strip()
    if bearer and plain and bearer != plain:
        return Problem(ErrorCode.INVALID_REQUEST, "`Authorization` and `x-api-key` hold different keys")
    return bearer or plain
