"""Who asks, and may this request have come from a web page: pure.

- Users `default` and `millrace` (the platform, operators) read and write; `reader` (people, dashboards) reads, within limits.
- Without a password (loopback only) a statement that writes needs a name in `Authorization: Basic` or `X-ClickHouse-User`:
  a page in a browser can set neither without a CORS preflight, which is never granted. `?user=` does not count.
- Against DNS rebinding the `Host` must then be a loopback name; requests that a browser says come from elsewhere are refused.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from connectors.origin import called_name, is_foreign_page, is_loopback
from connectors.sql_endpoint.errors import SqlError

__all__ = ["Caller", "Passwords", "identify", "refuse_pages"]

_WRITERS: Final = frozenset({"default", "millrace"})
_READER: Final = "reader"


@dataclass(frozen=True, slots=True)
class Passwords:
    """`key` is asked of everybody; `reader`, if set, opens the door of the read-only user as well."""

    key: str | None = None
    reader: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """`is_person`: the read-only user, whose statements are limited."""

    user: str
    may_write: bool

    @property
    def is_person(self) -> bool:
        return self.user == _READER


def identify(headers: Mapping[str, str], query: Mapping[str, str], passwords: Passwords) -> Caller:
    """The caller of a request.

    Raises:
        SqlError: Unknown user or wrong password; the text is the same for both.
    """
    user, password, is_named = _credentials(headers, query)
    known = user in _WRITERS or user == _READER
    if not known or not _opens(user, password, passwords):
        raise SqlError(516, "Authentication failed: password is incorrect, or there is no user with such name")
    return Caller(user, may_write=user in _WRITERS and (is_named or passwords.key is not None))


def _credentials(headers: Mapping[str, str], query: Mapping[str, str]) -> tuple[str, str, bool]:
    """User, password, and whether the user stands in a header that no web page can set."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise SqlError(516, "Authentication failed: malformed Authorization header") from None
        return user or "default", password, True
    if (named := headers.get("X-ClickHouse-User")) is not None:
        return named or "default", headers.get("X-ClickHouse-Key", ""), True
    return query.get("user", "default"), query.get("password", ""), False


def _opens(user: str, password: str, passwords: Passwords) -> bool:
    """Every comparison is made, in constant time."""
    if passwords.key is None:
        return True
    is_key = hmac.compare_digest(password.encode(), passwords.key.encode())
    is_reader = hmac.compare_digest(password.encode(), (passwords.reader or passwords.key).encode())
    return is_key or (is_reader and user == _READER)


def refuse_pages(headers: Mapping[str, str], *, has_password: bool) -> None:
    """Refuse what a web page may have sent, where no password stands between.

    Raises:
        SqlError: `Host`, `Origin` or `Sec-Fetch-Site` say so.
    """
    if has_password:
        return
    if headers.get("Host") and not is_loopback(called_name(headers)):
        raise SqlError(497, "this address is served under loopback names only")
    if is_foreign_page(headers):
        raise SqlError(497, "requests of web pages are not served")
