"""Deliveries: carries out what `core/delivery` asks for one partition. Kafka for intents and commits, ClickHouse for rows.

Whatever fails on the way to ClickHouse is tried again with backoff, for hours if need be; nothing here gives up. Only the
loss of the partition ends a delivery (`PartitionLost`): its successor finds the intent and goes on.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from connectors.clickhouse.dead_letters import dead_letter
from connectors.clickhouse.splice import varint
from connectors.clickhouse.store import Refused, Store, StoreError, Unavailable
from connectors.clickhouse.tables import Table
from pipeline.core.delivery import (
    Bury,
    Commit,
    Effect,
    Insert,
    Inserted,
    Intend,
    Missing,
    Rebuild,
    Settle,
    Sieve,
    deliver,
    metadata_of,
)
from pipeline.emit import INTERNAL, Emit
from pipeline.tools import Tools
from schemas import headers as h
from schemas.codec import Undecodable, datum, decode, encode
from schemas.errors import ErrorCode
from schemas.events import EVENTS, InvalidRequest

__all__ = ["Delivery", "PartitionLost", "patiently"]

RETENTION_DAYS = 30
"""Of rows that belong to no tenant of the catalogue."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
SETTLE_POLL_S = 0.2
BREATH = 1000
"""Records between two looks at the loop."""

Row = tuple[bytes, bytes]
"""The fields in front of a record, and the record's own bytes."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class PartitionLost(Exception):
    """Another member of the group owns the partition now."""


async def patiently(work: Callable[[], Awaitable[T]], what: str) -> T:
    """Until ClickHouse answers; says so once."""
    pause = FIRST_PAUSE_S
    while True:
        try:
            return await work()
        except StoreError as error:
            if pause == FIRST_PAUSE_S:
                log.warning("ClickHouse does not answer, trying on", extra={"step": what, "error": str(error)})
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)


class Delivery:
    """One partition's way into its table. `consumer` belongs to the sink."""

    def __init__(
        self, place: TopicPartition, table: Table, *, consumer: Any, store: Store, tools: Tools, emit: Emit
    ) -> None:
        self._place, self._table = place, table
        self._consumer, self._store, self._tools, self._emit = consumer, store, tools, emit
        self._event = EVENTS[table.topic.event] if table.topic.event else None
        self._mark = f"sink {place.topic}/{place.partition}"
        self._front = varint(place.partition)
        self._records: dict[int, Any] = {}
        self._rows: dict[int, Row] = {}
        self._range = (0, 0)
        self._token = ""
        self._pause_s = FIRST_PAUSE_S

    async def deliver(self, records: Sequence[Any], until: int | None) -> None:
        """Returns when every record is a row or buried, and committed. Raises PartitionLost."""
        self._range = first, last = records[0].offset, records[-1].offset
        # The time tells it from a batch at the same offsets of a log that was thrown away.
        place = f"{self._place.topic}:{self._place.partition}:{first}-{last}"
        self._token = f"{self._table.name}:{place}:{records[0].timestamp}"
        self._records = {record.offset: record for record in records}
        try:
            await self._splice()
            journey = deliver(list(self._rows), first, last, until=until)
            answer: Any = None
            while (effect := _next(journey, answer)) is not None:
                answer = await self._do(effect)
            self._count(records[0].timestamp)
        finally:
            self._records, self._rows = {}, {}

    async def _do(self, effect: Effect) -> Any:
        match effect:
            case Intend(first, until):
                await self.commit(first, until)
            case Commit(offset, until):
                await self.commit(offset, until)
            case Insert(offsets, is_repair):
                return await self._insert(offsets, is_repair)
            case Settle():
                await self._settle()
            case Missing(offsets):
                present = await patiently(self._present, "missing")
                return tuple(offset for offset in offsets if offset not in present)
            case Sieve(offsets):
                return {offset: bad for offset in offsets if (bad := self._undecodable(offset)) is not None}
            case Bury(offset, reason):
                await self._bury(offset, reason or INTERNAL, f"not accepted by the table {self._table.name}")
            case Rebuild(first, last):
                place = (self._table, self._place.partition, first, last)
                await patiently(lambda: self._store.rebuild(*place), "rebuild")
        return None

    async def commit(self, offset: int, until: int | None) -> None:
        """Returns when the broker has it. Raises PartitionLost."""
        while True:
            try:
                await self._consumer.commit({self._place: (offset, metadata_of(until))})
            except (CommitFailedError, IllegalStateError) as error:
                raise PartitionLost(str(error)) from error
            except KafkaError as error:
                if not error.retriable:
                    raise
                log.warning("commit failed, trying on", extra={"topic": self._place.topic, "error": repr(error)})
                await asyncio.sleep(FIRST_PAUSE_S)
            else:
                return

    async def _insert(self, offsets: tuple[int, ...], is_repair: bool) -> Inserted:
        token = f"{self._token}:{secrets.token_hex(8)}" if is_repair else self._token
        data = self._table.container.of(self._rows[offset] for offset in offsets)
        try:
            await self._store.insert(self._table, data, token=token, mark=self._mark)
        except Refused as error:
            log.warning("rows refused", extra={"table": self._table.name, "first": offsets[0], "error": str(error)})
            return Inserted.REFUSED
        except Unavailable as error:
            log.warning("insert in doubt", extra={"table": self._table.name, "first": offsets[0], "error": str(error)})
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            return Inserted.UNKNOWN
        self._pause_s = FIRST_PAUSE_S
        return Inserted.ACKED

    async def _settle(self) -> None:
        while True:
            if not await patiently(lambda: self._store.is_inserting(self._mark), "settle"):
                return
            await asyncio.sleep(SETTLE_POLL_S)

    async def _present(self) -> set[int]:
        return await self._store.offsets(self._table, self._place.partition, *self._range)

    async def _splice(self) -> None:
        for number, (offset, record) in enumerate(self._records.items()):
            if number % BREATH == 0:
                await asyncio.sleep(0)
            row = self._row(record)
            if isinstance(row, tuple):
                self._rows[offset] = row
            elif (reason := _reason(row)) != "tombstone":
                await self._bury(offset, reason, row.message if isinstance(row, InvalidRequest) else row.detail)

    def _row(self, record: Any) -> Row | InvalidRequest | Undecodable:
        if self._table.form is None:
            return self._spliced(record, record.value, h.text(record.headers, h.TENANT) or "")
        event = self._table.form(record.value, record.timestamp)
        if isinstance(event, InvalidRequest | Undecodable):
            return event
        if event.tenant not in self._tools.loaded.catalog.tenants:
            return InvalidRequest("no such tenant", ErrorCode.UNKNOWN_TENANT, "tenant")
        return self._spliced(record, encode(event), event.tenant)

    def _spliced(self, record: Any, value: bytes | None, owner: str) -> Row | Undecodable:
        tenant = self._tools.loaded.catalog.tenants.get(owner)
        front = self._front + varint(record.offset)
        if self._table.keeps_by_tenant:
            front += varint(tenant.retention_days if tenant else RETENTION_DAYS)
        keeps_body = tenant is not None and tenant.store_bodies
        if self._event is None:
            return front, dead_letter(value, record.headers, record.timestamp, keeps_body=keeps_body)
        body = datum(self._event, value, without=() if keeps_body else self._table.bodies)
        return body if isinstance(body, Undecodable) else (front, body)

    def _undecodable(self, offset: int) -> str | None:
        record = self._records[offset]
        if self._table.form is not None:
            read: Any = self._table.form(record.value, record.timestamp)
        else:
            read = self._event and decode(self._event, record.value)
        return _reason(read) if isinstance(read, InvalidRequest | Undecodable) else None

    async def _bury(self, offset: int, reason: str, detail: str) -> None:
        """A dead letter that makes no row is not buried again: it would come back for ever."""
        self._rows.pop(offset, None)
        if self._event is None:
            log.error("dead letter without a row", extra={"offset": offset, "reason": reason})
            return
        await self._emit.dead_letter("sink", self._records[offset], reason, detail)

    def _count(self, oldest_ms: int) -> None:
        self._tools.metrics.count("sink_rows_total", len(self._rows), table=self._table.name)
        self._tools.metrics.observe("sink_freshness_seconds", max(0, self._tools.now_ms() - oldest_ms) / 1000)


def _reason(why: InvalidRequest | Undecodable) -> str:
    return str(why.code) if isinstance(why, InvalidRequest) else why.reason


def _next(journey: Any, answer: Any) -> Effect | None:
    try:
        effect: Effect = journey.send(answer)
    except StopIteration:
        return None
    return effect
