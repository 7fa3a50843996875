"""Who asks, and may a web page have asked."""

import base64

import pytest

from connectors.origin import is_loopback
from connectors.sql_endpoint.callers import Passwords, identify, refuse_pages
from connectors.sql_endpoint.errors import SqlError


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "query", "user", "may_write"),
    [
        ({}, {}, "default", False),
        ({}, {"user": "default"}, "default", False),
        ({"X-ClickHouse-User": "default"}, {}, "default", True),
        ({"X-ClickHouse-User": ""}, {}, "default", True),
        (_basic("millrace", ""), {}, "millrace", True),
        (_basic("reader", ""), {}, "reader", False),
        ({"X-ClickHouse-User": "reader"}, {"user": "default"}, "reader", False),
    ],
)
def test_only_a_header_makes_a_writer(
    headers: dict[str, str], query: dict[str, str], user: str, may_write: bool
) -> None:
    caller = identify(headers, query, Passwords())
    assert (caller.user, caller.may_write) == (user, may_write)


@pytest.mark.parametrize("headers", [{"Authorization": "Basic !"}, {"Authorization": "Basic /w=="}, _basic("root", "")])
def test_what_is_no_user_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(SqlError, match="516"):
        identify(headers, {}, Passwords())


def test_a_password_with_any_letters_is_compared() -> None:
    assert identify(_basic("default", "schlüssel:ß"), {}, Passwords(key="schlüssel:ß")).may_write
    with pytest.raises(SqlError, match="516"):
        identify(_basic("default", "schlüssel"), {}, Passwords(key="schlüssel:ß"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("", False)],
)
def test_loopback_names(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("headers", "is_page"),
    [
        ({"Host": "127.0.0.1:8123"}, False),
        ({"Host": "[::1]:8123"}, False),
        ({"Host": "localhost"}, False),
        ({"Host": "localhost:8123", "Origin": "http://localhost:8123"}, False),
        ({"Host": "localhost:8123", "Sec-Fetch-Site": "none"}, False),
        ({"Host": "localhost:8123", "Origin": "http://localhost:3000"}, True),
        ({"Host": "localhost.attacker.example:8123"}, True),
        ({"Host": "[::1"}, True),
        ({"Host": "127.0.0.1:8123", "Origin": "null"}, True),
    ],
)
def test_pages_are_told_from_programs(headers: dict[str, str], is_page: bool) -> None:
    if not is_page:
        refuse_pages(headers, has_password=False)
        return
    with pytest.raises(SqlError, match="497"):
        refuse_pages(headers, has_password=False)
    refuse_pages(headers, has_password=True)
