"""Following whole topics without a group: every partition, from a time or from the end."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from connectors.kafka.fetching import FETCH_BYTES, PATIENT, PROMPT

__all__ = ["Tail"]

POLL_MS = 500
PAUSE_S = 0.2

log = logging.getLogger(__name__)


class Tail:
    """Calls `handle` in the loop for each record, in the order of each partition.

    Survives broker outages. An exception out of `handle` ends it and comes out of `wait()` and `stop()`.
    `caught_up` is set once everything that existed at `start()` has been handled.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[str],
        handle: Callable[[ConsumerRecord], object],
        *,
        since_ms: int | None = None,
        is_patient: bool = False,
        security: Mapping[str, Any] | None = None,
    ) -> None:
        self._bootstrap, self._topics, self._handle = bootstrap, list(topics), handle
        self._since_ms = since_ms
        self._options = {**(PATIENT if is_patient else PROMPT), **(security or {})}
        self.caught_up = asyncio.Event()
        self._consumer: Any = None
        self._ends: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._complained = False

    async def start(self) -> None:
        """Positions are fixed when it returns: whatever is produced afterwards is seen."""
        self._consumer = consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            retry_backoff_ms=100,
            **self._options,
        )
        try:
            await consumer.start()
            await self._take_positions()
        except BaseException:
            await consumer.stop()
            raise
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def wait(self) -> None:
        """Returns never, or raises what `handle` raised."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        task, self._task = self._task, None
        try:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                if not task.cancelled() and (exc := task.exception()) is not None:
                    raise exc
        finally:
            if self._consumer is not None:
                await self._consumer.stop()

    async def _take_positions(self) -> None:
        consumer = self._consumer
        # partitions_for_topic() of a consumer without subscription knows nothing.
        cluster = await consumer._client.fetch_all_metadata()
        tps = [TopicPartition(topic, p) for topic in self._topics for p in cluster.partitions_for_topic(topic) or ()]
        missing = set(self._topics) - {tp.topic for tp in tps}
        if missing:
            raise LookupError(f"no such topic: {', '.join(sorted(missing))}")
        consumer.assign(tps)
        self._ends = await consumer.end_offsets(tps)
        for tp, position in (await self._starts(tps)).items():
            consumer.seek(tp, position)
        await self._note_progress()

    async def _starts(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self._since_ms is None:
            return dict(self._ends)
        found = await self._consumer.offsets_for_times(dict.fromkeys(tps, self._since_ms))
        return {tp: self._ends[tp] if at is None else at.offset for tp, at in found.items()}

    async def _follow(self) -> None:
        while True:
            try:
                if not self.caught_up.is_set():
                    await self._note_progress()
                batches = await self._consumer.getmany(timeout_ms=POLL_MS)
            except KafkaError as exc:
                await self._complain(exc)
                continue
            self._complained = False
            for records in batches.values():
                for record in records:
                    self._handle(record)

    async def _note_progress(self) -> None:
        positions = [(await self._consumer.position(tp), end) for tp, end in self._ends.items()]
        if all(position >= end for position, end in positions):
            self.caught_up.set()

    async def _complain(self, exc: KafkaError) -> None:
        if not self._complained:
            log.warning("tail: reading failed, going on", extra={"topics": self._topics, "error": repr(exc)})
        self._complained = True
        await asyncio.sleep(PAUSE_S)
