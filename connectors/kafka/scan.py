"""Reading one partition without a group: from an offset, a time or its beginning to its end as of the start."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from connectors.kafka.fetching import FETCH_BYTES

__all__ = ["Scanner", "scan"]

POLL_MS = 200


class Scanner:
    """A started consumer for many reads (connecting costs some 50 ms); they take turns.

    `rests`: between reads it fetches nothing. Not for a single read: aiokafka's fetcher swallows a stop that comes while it
    is letting go of its partitions, and then never ends.
    """

    def __init__(self, bootstrap: str, *, security: Mapping[str, Any] | None = None, rests: bool = True) -> None:
        self._rests = rests
        self._bootstrap, self._security = bootstrap, security or {}
        self._lock = asyncio.Lock()
        self._consumer: Any = None

    async def start(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            retry_backoff_ms=100,
            # A long poll of the previous read would hold up the next one.
            fetch_max_wait_ms=5,
            **self._security,
        )
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def read(
        self,
        topic: str,
        partition: int,
        *,
        since_ms: int | None = None,
        from_offset: int | None = None,
        until_end: bool = True,
    ) -> AsyncIterator[ConsumerRecord]:
        """Close it (`contextlib.aclosing`) when leaving early, the next reader waits for that.

        Args:
            topic: full name.
            partition: one of its partitions.
            since_ms: first record with this timestamp or a later one, ms since the epoch.
            from_offset: wins over `since_ms`; one that is gone already means the first that is left.
            until_end: stop at the end as of the start; else follow for ever.
        """
        tp = TopicPartition(topic, partition)
        async with self._assigned(tp) as consumer:
            end = (await consumer.end_offsets([tp]))[tp]
            position = await _start(consumer, tp, end, since_ms, from_offset)
            consumer.seek(tp, position)
            while not until_end or position < end:
                for record in (await consumer.getmany(tp, timeout_ms=POLL_MS)).get(tp, ()):
                    if until_end and record.offset >= end:
                        return
                    yield record
                # Not the last record: the end may be a hole (compaction, control records).
                position = await consumer.position(tp)

    async def fetch(self, topic: str, partition: int, offset: int) -> ConsumerRecord | None:
        """The record at one place; None when it is gone or was never written."""
        tp = TopicPartition(topic, partition)
        async with self._assigned(tp) as consumer:
            first = (await consumer.beginning_offsets([tp]))[tp]
            end = (await consumer.end_offsets([tp]))[tp]
            if not first <= offset < end:
                return None
            consumer.seek(tp, offset)
            while await consumer.position(tp) <= offset:
                for record in (await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=1)).get(tp, ()):
                    return record if record.offset == offset else None
            return None

    @asynccontextmanager
    async def _assigned(self, tp: TopicPartition) -> AsyncIterator[Any]:
        async with self._lock:
            self._consumer.assign([tp])
            try:
                yield self._consumer
            finally:
                if self._rests and self._consumer is not None:
                    self._consumer.unsubscribe()


async def scan(
    bootstrap: str,
    topic: str,
    partition: int,
    *,
    since_ms: int | None = None,
    from_offset: int | None = None,
    until_end: bool = True,
    security: Mapping[str, Any] | None = None,
) -> AsyncIterator[ConsumerRecord]:
    """One read with a connection of its own; see `Scanner.read`."""
    scanner = Scanner(bootstrap, security=security, rests=False)
    await scanner.start()
    try:
        reading = scanner.read(topic, partition, since_ms=since_ms, from_offset=from_offset, until_end=until_end)
        async with aclosing(reading) as records:  # type: ignore[type-var]
            async for record in records:
                yield record
    finally:
        await scanner.stop()


async def _start(consumer: Any, tp: TopicPartition, end: int, since_ms: int | None, from_offset: int | None) -> int:
    if from_offset is None and since_ms is not None:
        found = (await consumer.offsets_for_times({tp: since_ms}))[tp]
        return int(end if found is None else found.offset)
    first = int((await consumer.beginning_offsets([tp]))[tp])
    return max(first, from_offset or 0)
