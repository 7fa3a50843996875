"""Reads for people: fixed statements with parameters, over HTTP. They go as GET, which ClickHouse runs read-only.

Interface: https://clickhouse.com/docs/interfaces/http
"""

from collections.abc import Mapping
from typing import Any, Final

import httpx
import orjson

from connectors.clickhouse.address import ClickHouseAddress
from connectors.clickhouse.store import Unavailable

__all__ = ["Reader"]

_SETTINGS: Final = {
    "default_format": "JSON",
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": "0",
}
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n"})


class Reader:
    """A client for one loop; connections are kept. ClickHouse gives a statement up after `limit_s`."""

    def __init__(self, address: ClickHouseAddress, *, limit_s: int = 10) -> None:
        self._http = httpx.AsyncClient(
            base_url=address.base_url,
            auth=(address.user, address.password),
            params={"database": address.database, "max_execution_time": str(limit_s), **_SETTINGS},
            timeout=httpx.Timeout(limit_s + 5, connect=2),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def rows(self, sql: str, **parameters: str | int) -> list[dict[str, Any]]:
        """By column name. Times come as RFC 3339.

        Raises:
            Unavailable: No answer, or not this one.
        """
        return list(await self._data(sql, parameters))

    async def tuples(self, sql: str, **parameters: str | int) -> list[list[Any]]:
        """In the order of the columns, for many rows: a third of the bytes. Raises Unavailable."""
        return list(await self._data(f"{sql}\nFORMAT JSONCompact", parameters))

    async def _data(self, sql: str, parameters: Mapping[str, str | int]) -> Any:
        named = {f"param_{name}": str(value).translate(_ESCAPES) for name, value in parameters.items()}
        try:
            answer = await self._http.get("/", params={"query": sql, **named})
            if answer.is_success and "x-clickhouse-exception-code" not in answer.headers:
                return orjson.loads(answer.content)["data"]
        except (httpx.HTTPError, orjson.JSONDecodeError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        raise Unavailable(f"HTTP {answer.status_code}, code {answer.headers.get('x-clickhouse-exception-code', 0)}")
