"""The guard for base URLs."""

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from connectors.providers.egress import EgressRefusedError, GuardedResolver, checked_base_url, is_public

PRIVATE = [
    "http://127.0.0.1:8088/v1",
    "http://10.0.0.1",
    "http://192.168.1.1",
    "http://169.254.169.254/latest",
    "http://100.64.0.1",
    "http://0.0.0.0",
    "http://[::1]/v1",
    "http://[fe80::1]",
    "http://[fd00::1]",
    "http://[::ffff:127.0.0.1]",
    "http://[64:ff9b::a00:1]",
    "http://[2002:7f00:1::]",
    "http://224.0.0.1",
    "http://localhost:1",
    "http://x.localhost",
]
NEVER = [
    "ftp://example.com",
    "file:///etc/passwd",
    "example.com/v1",
    "http://",
    "http://user:pw@example.com",
    "http://user@example.com",
    "https://example.com/v1?key=1",
    "https://example.com/v1#a",
    "http://[::1",
    "http://127.1",
    "http://0x7f000001",
    "http://2130706433",
    "http://example.com:99999",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_need_permission(url: str) -> None:
    with pytest.raises(EgressRefusedError):
        checked_base_url(url, allow_private=False)
    assert checked_base_url(url, allow_private=True) == url


@pytest.mark.parametrize("url", NEVER)
def test_some_urls_are_never_called_and_never_repeated(url: str) -> None:
    with pytest.raises(EgressRefusedError) as refused:
        checked_base_url(url, allow_private=True)
    assert "pw" not in str(refused.value)


def test_a_final_slash_makes_no_difference() -> None:
    assert checked_base_url("https://example.com/v1/", allow_private=False) == "https://example.com/v1"
    assert checked_base_url("https://example.com/v1", allow_private=False) == "https://example.com/v1"


def test_public_addresses_are_public() -> None:
    assert all(is_public(address) for address in ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"))


class _Answers(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.is_closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        self.is_closed = True


async def test_a_name_with_any_private_address_is_refused_when_it_is_resolved() -> None:
    with pytest.raises(EgressRefusedError):
        await GuardedResolver(_Answers("8.8.8.8", "10.0.0.1")).resolve("rebound.example", 443)


async def test_a_name_with_public_addresses_is_passed_on() -> None:
    inner = _Answers("8.8.8.8")
    guard = GuardedResolver(inner)
    assert [found["host"] for found in await guard.resolve("fine.example", 443)] == ["8.8.8.8"]
    await guard.close()
    assert inner.is_closed
