"""Who is let in. Pure.

1. health is for everybody, under any name: it says nothing else
2. the `Host` must be a loopback name or one that is configured: a page that rebinds its own name to this address is refused
3. with a key everything needs it: `Authorization: Bearer`, or Basic with the key as password, which is what a browser can
   be asked for
4. an order is JSON and comes from no foreign page: a form cannot be JSON, and a script of another origin is not let
"""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Access", "KeyRequired", "Refused", "is_loopback"]

_OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})


class KeyRequired(ValueError):
    """Not on loopback, and no key."""

    def __init__(self, host: str) -> None:
        super().__init__(f"set MILLRACE_ADMIN_KEY: the admin surface is asked to listen on {host}, not on loopback")


@dataclass(slots=True, frozen=True)
class Refused(Exception):
    """The status and the sentence to answer with."""

    status: int
    reason: str


@dataclass(slots=True, frozen=True)
class Access:
    """`host` to listen on; `names` are further ones by which it may be called.

    Raises:
        KeyRequired: `host` is not loopback and there is no key.
    """

    host: str = "127.0.0.1"
    names: frozenset[str] = frozenset()
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.key is None and not is_loopback(self.host):
            raise KeyRequired(self.host)

    def check(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Raises Refused."""
        if path in _OPEN_PATHS:
            return
        if not self._is_known(_name(f"//{headers.get('Host', '')}")):
            raise Refused(421, "this address is not served under that name")
        if self.key is not None and not _opens(headers.get("Authorization", ""), self.key):
            raise Refused(401, "the admin key is needed")
        if method not in ("GET", "HEAD"):
            _check_order(headers)

    def _is_known(self, name: str) -> bool:
        return is_loopback(name) or name in {self.host.lower(), *(known.lower() for known in self.names)}


def is_loopback(host: str) -> bool:
    """A name or address without port and brackets."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _check_order(headers: Mapping[str, str]) -> None:
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "send JSON, with content-type application/json")
    origin = headers.get("Origin")
    is_foreign = origin is not None and _netloc(origin) != headers.get("Host", "")
    if is_foreign or headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Refused(403, "orders of other pages are not taken")


def _opens(authorization: str, key: str) -> bool:
    """In constant time."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "basic":
        token = _password(token)
    elif scheme.lower() != "bearer":
        token = ""
    return hmac.compare_digest(token.strip().encode(), key.encode())


def _password(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
