"""DSNs of ClickHouse."""

import pytest

from connectors.clickhouse.address import ClickHouseAddress, InvalidDsn, parse_dsn


@pytest.mark.parametrize(
    ("dsn", "address"),
    [
        ("clickhouse://127.0.0.1:8123", ClickHouseAddress("127.0.0.1", 8123)),
        ("clickhouse://db", ClickHouseAddress("db", 8123)),
        ("clickhouse://me:p%40ss@db:9/other", ClickHouseAddress("db", 9, "other", "me", "p@ss")),
        ("clickhouses://db/x", ClickHouseAddress("db", 8443, "x", is_secure=True)),
        ("clickhouse://[::1]:8123", ClickHouseAddress("[::1]", 8123)),
    ],
)
def test_a_dsn_is_an_address(dsn: str, address: ClickHouseAddress) -> None:
    assert parse_dsn(dsn) == address


@pytest.mark.parametrize(
    "dsn", ["", "http://me:secret@db", "clickhouse://", "clickhouse://me:secret@db:x", "chdb:///d"]
)
def test_what_is_no_dsn_is_refused_without_being_repeated(dsn: str) -> None:
    with pytest.raises(InvalidDsn) as refused:
        parse_dsn(dsn)
    assert "secret" not in str(refused.value)


def test_a_password_is_in_no_text_of_an_address() -> None:
    address = parse_dsn("clickhouse://me:secret@db")
    assert "secret" not in repr(address) + address.base_url
