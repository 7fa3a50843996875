"""What the sink asks of ClickHouse, over its HTTP interface. Every failure is one of two: `Refused` or `Unavailable`.

Plain HTTP rather than clickhouse-connect: that client repeats an insert whose connection broke, and a repetition that is
acked as a duplicate says nothing about the rows. Here nothing is repeated; what is not acked is in doubt, and the sink asks.
Interface: https://clickhouse.com/docs/interfaces/http
"""

import re
from typing import Any, Final

import httpx
import orjson

from connectors.clickhouse.address import ClickHouseAddress
from connectors.clickhouse.tables import ROLLUPS, Rollup, Table

__all__ = ["Refused", "Store", "StoreError", "Unavailable"]

_TIMEOUT: Final = httpx.Timeout(60, connect=5)
_NAME: Final = re.compile(r"\(([A-Z][A-Z_]+)\)")
_DATA_CODES: Final = frozenset({6, 26, 27, 32, 33, 41, 69, 70, 72, 117, 128, 131, 321, 349, 407, 645})
"""Errors about the data themselves, from src/Common/ErrorCodes.cpp: parsing, conversion, ranges, sizes."""
_FOREIGN_CODE: Final = 1001
"""An exception of a library, such as Avro's."""


class StoreError(Exception):
    """The answer was no, or none."""


class Refused(StoreError):
    """ClickHouse does not take these data; none of them are stored."""


class Unavailable(StoreError):
    """Not reachable, overloaded, not what it should be, or no answer: whatever was asked may or may not have happened."""


class Store:
    """A client for one loop; connections are kept."""

    def __init__(self, address: ClickHouseAddress) -> None:
        self._database = address.database
        self._http = httpx.AsyncClient(
            base_url=address.base_url,
            auth=(address.user, address.password),
            timeout=_TIMEOUT,
            trust_env=False,
            limits=httpx.Limits(max_connections=16, keepalive_expiry=2),
        )
        self._views: dict[str, str] = {}

    async def close(self) -> None:
        await self._http.aclose()

    async def insert(self, table: Table, data: bytes, *, token: str, mark: str) -> None:
        """Rows of one container. `mark` is found again by `is_inserting`.

        Raises:
            Refused, Unavailable: see there.
        """
        names = ", ".join(f"`{name}`" for name in table.inputs)
        await self._post(
            f"INSERT INTO {table.name} ({names}) /* {mark} */ FORMAT Avro",
            data,
            insert_deduplication_token=token,
            deduplicate_blocks_in_dependent_materialized_views=1,
            async_insert=0,
        )

    async def is_inserting(self, mark: str) -> bool:
        """Whether an insert with this mark still runs, its client gone or not. Raises StoreError."""
        sql = "SELECT 1 FROM system.processes WHERE startsWith(query, 'INSERT') AND position(query, {mark:String}) > 0"
        return bool(await self._rows(sql, mark=f"/* {mark} */"))

    async def offsets(self, table: Table, partition: int, first: int, last: int) -> set[int]:
        """Which records of a range have a row. Raises StoreError."""
        sql = f"SELECT kafka_offset FROM {table.name} WHERE {_RANGE}"
        rows = await self._rows(sql, partition=partition, first=first, last=last)
        return {int(row[0]) for row in rows}

    async def last_offset(self, table: Table, partition: int) -> int | None:
        """Of the newest record that has a row. Raises StoreError."""
        sql = f"SELECT max(kafka_offset), count() FROM {table.name} WHERE kafka_partition = {{partition:UInt16}}"
        [(offset, count)] = await self._rows(sql, partition=partition)
        return int(offset) if int(count) else None

    async def rebuild(self, table: Table, partition: int, first: int, last: int) -> None:
        """Fill the rollups' hours of a range anew from the rows of this partition. May be repeated. Raises StoreError.

        Nobody else writes the rollups of a partition meanwhile: its owner does one thing at a time.
        """
        for rollup in (rollup for rollup in ROLLUPS if rollup.source == table.name):
            buckets = await self._rows(
                f"SELECT DISTINCT toUInt32({rollup.bucket_of}) FROM {table.name} WHERE {_RANGE}",
                partition=partition,
                first=first,
                last=last,
            )
            if buckets:
                await self._refill(rollup, partition, [int(row[0]) for row in buckets])

    async def _refill(self, rollup: Rollup, partition: int, buckets: list[int]) -> None:
        where = f"kafka_partition = {{partition:UInt16}} AND toUInt32({rollup.bucket}) IN {{buckets:Array(UInt32)}}"
        select, listed = await self._view_of(rollup), orjson.dumps(buckets).decode()
        await self._post(
            f"ALTER TABLE {rollup.name} DELETE WHERE {where} SETTINGS mutations_sync = 2",
            param_partition=partition,
            param_buckets=listed,
        )
        await self._post(
            f"INSERT INTO {rollup.name} SELECT * FROM ({select}) WHERE {where}",
            param_partition=partition,
            param_buckets=listed,
        )

    async def _view_of(self, rollup: Rollup) -> str:
        """The SELECT that fills it, as the server has it."""
        if rollup.name not in self._views:
            sql = "SELECT as_select FROM system.tables WHERE database = {database:String} AND name = {view:String}"
            rows = await self._rows(sql, database=self._database, view=f"{rollup.name}_view")
            if not rows:
                raise Unavailable(f"the view of {rollup.name} is missing: millrace migrate")
            self._views[rollup.name] = str(rows[0][0])
        return self._views[rollup.name]

    async def _rows(self, sql: str, **parameters: str | int) -> list[list[Any]]:
        named = {f"param_{name}": value for name, value in parameters.items()}
        answer = await self._post(f"{sql} FORMAT JSONCompact", b"", **named)
        return list(orjson.loads(answer)["data"])

    async def _post(self, sql: str, data: bytes = b"", **parameters: str | int) -> bytes:
        where: dict[str, str | int] = {"database": self._database, **parameters}
        body = data
        if data:
            where["query"] = sql
        else:
            body = sql.encode()
        try:
            answer = await self._http.post("/", params=where, content=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        if answer.is_success and "x-clickhouse-exception-code" not in answer.headers:
            return answer.content
        raise _error(answer)


_RANGE: Final = "kafka_partition = {partition:UInt16} AND kafka_offset BETWEEN {first:UInt64} AND {last:UInt64}"


def _error(answer: httpx.Response) -> StoreError:
    """Code and name only: a message may quote the data that were not understood."""
    code = int(answer.headers.get("x-clickhouse-exception-code", 0))
    name = _NAME.search(answer.text)
    if code in _DATA_CODES or (code == _FOREIGN_CODE and "avro" in answer.text):
        return Refused(f"code {code}")
    return Unavailable(f"HTTP {answer.status_code}, code {code} {name.group(1) if name else ''}".rstrip())
