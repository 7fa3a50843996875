"""Where ClickHouse is: `clickhouse://[user[:password]@]host[:port][/database]`; `clickhouses://` over TLS."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

__all__ = ["ClickHouseAddress", "InvalidDsn", "parse_dsn"]

DATABASE = "millrace"
_PORTS = {"clickhouse": 8123, "clickhouses": 8443}


class InvalidDsn(ValueError):
    """Says what is wrong without repeating the DSN, which may hold a password."""


@dataclass(slots=True, frozen=True)
class ClickHouseAddress:
    """Of the HTTP interface."""

    host: str
    port: int
    database: str = DATABASE
    user: str = "default"
    password: str = field(default="", repr=False)
    is_secure: bool = False

    @property
    def base_url(self) -> str:
        """Without credentials."""
        return f"{'https' if self.is_secure else 'http'}://{self.host}:{self.port}/"


def parse_dsn(dsn: str) -> ClickHouseAddress:
    """Raises InvalidDsn."""
    try:
        parts = urlsplit(dsn)
        port = parts.port
    except ValueError:
        raise InvalidDsn("it is no address: write clickhouse://[user[:password]@]host[:port][/database]") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise InvalidDsn("write clickhouse://[user[:password]@]host[:port][/database], or clickhouses:// for TLS")
    return ClickHouseAddress(
        host=f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
        port=port or _PORTS[parts.scheme],
        database=unquote(parts.path.strip("/")) or DATABASE,
        user=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        is_secure=parts.scheme == "clickhouses",
    )
