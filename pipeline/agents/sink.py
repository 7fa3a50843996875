"""sink: every topic of `connectors/clickhouse/tables` -> its table, each record exactly one row.

1. one consumer group over all topics; a task per partition that it owns
2. a task waits until its intake has a batch due, takes it, delivers it, and so on: one batch of a partition at a time
3. records are read ahead up to a limit; partitions that have enough pause, so that an absent ClickHouse costs no memory
4. on assignment the commit's metadata says what a predecessor left in doubt; if the commit itself has gone (a group that
   was away for a week), everything up to the newest row is
5. on revocation what is being delivered gets a moment to end; then the successor finds its intent
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from connectors.clickhouse.address import parse_dsn
from connectors.clickhouse.migrate import MigrationError, migrate_apart
from connectors.clickhouse.store import Store
from connectors.clickhouse.tables import TABLES, Table
from connectors.kafka.fetching import PATIENT
from connectors.kafka.member import join
from pipeline.agents.deliveries import Delivery, PartitionLost, patiently
from pipeline.core.delivery import until_of
from pipeline.core.intake import Intake
from pipeline.emit import Emit
from pipeline.tools import Tools

__all__ = ["GROUP", "Sink"]

GROUP = "millrace-sink"
AT_ONCE = 4
"""Batches under way, and so their memory."""

READ_AHEAD_RECORDS = 30_000
READ_AHEAD_BYTES = 48 * 1024 * 1024
FETCH_BYTES = 2 * 1024 * 1024
POLL_MS = 100
GRACE_S = 5.0
PAUSE_S = 0.5
ENDS_EVERY_S = 2.0

log = logging.getLogger(__name__)


class CommitMetadataDropped(RuntimeError):
    """This broker cannot be used: intents would be lost."""


@dataclass(slots=True)
class _Owned:
    """A partition of ours. `is_known`: the group has a commit for it. `is_open`: there are tables for it."""

    intake: Intake[Any]
    delivery: Delivery
    table: Table
    is_known: bool
    is_open: bool = False
    is_leaving: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    def leave(self) -> None:
        """What is under way at ClickHouse is finished; who still waits for tables has nothing to finish."""
        self.is_leaving = True
        self.changed.set()
        if self.task is not None and not self.is_open:
            self.task.cancel()

    async def has_batch(self) -> bool:
        """Wait for one; False when the partition goes."""
        while not self.is_leaving:
            due_in = self.intake.due_in(time.monotonic())
            if due_in == 0:
                return True
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due_in):
                    await self.changed.wait()
        return False


class Sink:
    """`failed` resolves if it must not go on. Raises InvalidDsn."""

    def __init__(self, tools: Tools, emit: Emit, dsn: str, *, security: Mapping[str, Any] | None = None) -> None:
        self._tools, self._emit, self._dsn = tools, emit, dsn
        self._security = dict(security or {})
        self._group = GROUP
        self._tables = {tools.topic(table.topic.name): table for table in TABLES}
        self._store = Store(parse_dsn(dsn))
        self._places = asyncio.Semaphore(AT_ONCE)
        self._has_tables = asyncio.Event()
        self._owned: dict[TopicPartition, _Owned] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_probed = False
        self._consumer: Any = None
        self._admin: Any = None
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Needs Kafka; ClickHouse may come later."""
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self._tools.bootstrap, **self._security)
        self._consumer = join(
            self._tools.bootstrap,
            self._group,
            f"sink-{self._tools.instance}",
            list(self._tables),
            self,
            options={"max_partition_fetch_bytes": FETCH_BYTES, **PATIENT, **self._security},
        )
        await self._admin.start()
        await self._consumer.start()
        self._spawn(self._make_tables())
        self._spawn(self._read())
        self._spawn(self._watch_ends())

    async def stop(self) -> None:
        await self.revoked()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.stop()
        await self._admin.close()
        await self._store.close()

    def is_ready(self) -> bool:
        return bool(self._owned)

    def show(self) -> None:
        """Set the gauges."""
        lag = dict.fromkeys(self._tables, 0)
        for place, owned in self._owned.items():
            end = max(self._ends.get(place, 0), self._consumer.highwater(place) or 0)
            lag[place.topic] += max(0, end - (owned.intake.position - len(owned.intake)))
        for topic, records in lag.items():
            self._tools.metrics.set("consumer_lag", records, topic=topic)

    async def assigned(self, places: set[TopicPartition]) -> None:
        """What is known of each partition is asked anew; then its task begins."""
        commits = await self._commits(places) if places else {}
        for place in places:
            self._owned[place] = owned = self._own(place, commits.get(place))
            owned.task = self._spawn(self._work(place, owned))

    async def revoked(self) -> None:
        """Of all partitions: aiokafka hands back everything at each rebalance."""
        owned, self._owned = self._owned, {}
        for one in owned.values():
            one.leave()
        tasks = [one.task for one in owned.values() if one.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _own(self, place: TopicPartition, commit: OffsetAndMetadata | None) -> _Owned:
        table = self._tables[place.topic]
        delivery = Delivery(
            place, table, consumer=self._consumer, store=self._store, tools=self._tools, emit=self._emit
        )
        if commit is None or commit.offset < 0:
            return _Owned(Intake(), delivery, table, is_known=False)
        self._consumer.seek(place, commit.offset)  # offset and intent of one and the same commit
        return _Owned(Intake(until=until_of(commit.metadata or "")), delivery, table, is_known=True)

    async def _commits(self, places: set[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        while True:
            try:
                found: dict[TopicPartition, OffsetAndMetadata] = await self._admin.list_consumer_group_offsets(
                    self._group, partitions=list(places)
                )
            except KafkaError as error:
                log.warning("commits cannot be read, trying on", extra={"error": repr(error)})
                await asyncio.sleep(PAUSE_S)
            else:
                return found

    async def _work(self, place: TopicPartition, owned: _Owned) -> None:
        """One batch after the other, until the partition goes."""
        await self._has_tables.wait()
        owned.is_open = True
        try:
            if not owned.is_known:
                owned.intake.until = await self._newest_row(place, owned)
            while await owned.has_batch():
                async with self._places:
                    if owned.is_leaving:
                        return
                    await self._deliver(place, owned)
        except PartitionLost:
            log.info("partition lost", extra={"topic": place.topic, "partition": place.partition})

    async def _deliver(self, place: TopicPartition, owned: _Owned) -> None:
        until = owned.intake.until
        records = owned.intake.take(time.monotonic())
        if not self._is_probed:
            await self._probe(place, owned.delivery, records[0].offset, max(records[-1].offset, until or 0))
        await owned.delivery.deliver(records, until)
        if until is not None and records[-1].offset >= until:
            owned.intake.until = None

    async def _newest_row(self, place: TopicPartition, owned: _Owned) -> int | None:
        """A log that ends before the newest row is another log than the one that the rows are from."""
        newest = await patiently(lambda: self._store.last_offset(owned.table, place.partition), "newest row")
        end = (await self._consumer.end_offsets([place]))[place]
        if newest is not None and newest >= end:
            log.error("rows of another log", extra={"topic": place.topic, "newest_row": newest, "end": end})
            return None
        return newest

    async def _probe(self, place: TopicPartition, delivery: Delivery, first: int, until: int) -> None:
        """Exactly once stands on the metadata of commits, which some brokers drop: the first intent is read back."""
        await delivery.commit(first, until)
        if until_of((await self._commits({place}))[place].metadata or "") != until:
            raise CommitMetadataDropped("the broker drops the metadata of commits, which the sink needs")
        self._is_probed = True

    async def _read(self) -> None:
        while True:
            self._regulate()
            for place, records in (await self._consumer.getmany(timeout_ms=POLL_MS)).items():
                self._take_in(place, records)
            for place, owned in list(self._owned.items()):
                if owned.intake.is_in_doubt and len(owned.intake):
                    await self._note_position(place, owned)

    def _take_in(self, place: TopicPartition, records: list[Any]) -> None:
        if (owned := self._owned.get(place)) is not None:
            owned.intake.add(records, records[-1].offset + 1, time.monotonic())
            owned.changed.set()
        elif place in self._consumer.assignment():  # its assignment is still being looked at: read them again later
            self._consumer.seek(place, records[0].offset)

    async def _note_position(self, place: TopicPartition, owned: _Owned) -> None:
        """The end of what is in doubt may be a hole: only the position shows that it has been passed."""
        try:
            async with asyncio.timeout(PAUSE_S):
                owned.intake.position = max(owned.intake.position, await self._consumer.position(place))
        except (TimeoutError, KafkaError):
            return
        owned.changed.set()

    def _regulate(self) -> None:
        intakes = [owned.intake for owned in self._owned.values()]
        is_enough = (
            sum(map(len, intakes)) >= READ_AHEAD_RECORDS or sum(intake.bytes for intake in intakes) >= READ_AHEAD_BYTES
        )
        paused = self._consumer.paused()
        for place, owned in self._owned.items():
            stops = owned.intake.is_full or (is_enough and len(owned.intake) > 0 and not owned.intake.is_in_doubt)
            if place in self._consumer.assignment() and stops != (place in paused):
                (self._consumer.pause if stops else self._consumer.resume)(place)

    async def _watch_ends(self) -> None:
        """What is paused is not fetched, and only fetches tell how far the log has grown."""
        while True:
            if paused := self._consumer.paused() & self._consumer.assignment():
                with contextlib.suppress(KafkaError):
                    self._ends = await self._consumer.end_offsets(paused)
            await asyncio.sleep(ENDS_EVERY_S)

    async def _make_tables(self) -> None:
        said = ""
        while not self._has_tables.is_set():
            try:
                await migrate_apart(self._dsn)
                self._has_tables.set()
            except MigrationError as error:
                if str(error) != said:
                    log.warning("no tables yet, trying on", extra={"error": str(error)})
                said = str(error)
                await asyncio.sleep(PAUSE_S)

    def _spawn(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self.failed.done():
            self.failed.set_result(error)
