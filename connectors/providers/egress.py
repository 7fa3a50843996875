"""Where calls of ours may go: a guard against addresses that point into our own network.

1. `checked_url` refuses other schemes than http(s), credentials in the URL, and addresses written as numbers that are
   not public; `checked_base_url` queries too.
2. `GuardedResolver` checks every address that a name resolves to, at connect time: aiohttp connects to exactly the
   addresses its resolver returned, so a name that changes its answer (DNS rebinding) gains nothing.
3. Nobody who calls follows redirects.

A provider with `allow_private_egress` (a model server next door) skips 1's last point and 2.
"""

import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

__all__ = ["EgressRefusedError", "GuardedResolver", "checked_base_url", "checked_url", "is_public"]

_NAT64 = IPv6Network("64:ff9b::/96")


class EgressRefusedError(OSError):
    """The address is not one we call. An OSError, so that connecting to it fails like any other connection."""


def is_public(address: str) -> bool:
    """Whether an IP address is reachable on the public internet, also behind an IPv6 form of an IPv4 address."""
    ip = _unwrapped(ip_address(address.partition("%")[0]))
    return ip.is_global and not ip.is_multicast


def checked_base_url(url: str, *, allow_private: bool) -> str:
    """The URL without a final slash, so that `base + path` is the same either way. Raises as `checked_url` does."""
    checked = checked_url(url, allow_private=allow_private)
    if "?" in checked or "#" in checked:
        raise EgressRefusedError("base_url must not hold a query or fragment")
    return checked.rstrip("/")


def checked_url(url: str, *, allow_private: bool) -> str:
    """The URL without white space around it.

    Raises:
        EgressRefusedError: it may not be called; the message does not repeat the URL, which may hold a secret.
    """
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise EgressRefusedError("base_url cannot be read") from None
    if host and _is_odd_number(host):
        raise EgressRefusedError("base_url has an address in an unusual spelling")
    if parts.scheme not in {"http", "https"} or not host:
        raise EgressRefusedError("base_url must be http:// or https:// with a host")
    if parts.username is not None or parts.password is not None:
        raise EgressRefusedError("base_url must not hold credentials")
    if not allow_private and not _may_be_public(host):
        raise EgressRefusedError("base_url is a private address and allow_private_egress is off")
    return url.strip()


class GuardedResolver(AbstractResolver):
    """Resolves names as usual and refuses a name if any of its addresses is not public."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(result["host"]) for result in found):
            raise EgressRefusedError("the name resolves to a private address and allow_private_egress is off")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _may_be_public(host: str) -> bool:
    """False for an address that is not public; names are left to the resolver."""
    try:
        return is_public(host)
    except ValueError:
        return not (host == "localhost" or host.endswith(".localhost"))


def _is_odd_number(host: str) -> bool:
    """`127.1`, `0x7f000001`, `2130706433`: the C library reads them as addresses, and guards often do not."""
    try:
        ip_address(host)
    except ValueError:
        with suppress(OSError):
            return bool(socket.inet_aton(host))
    return False


def _unwrapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or ip
