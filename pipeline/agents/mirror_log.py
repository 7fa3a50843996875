"""The log as one experiment reads it: `enriched.v1` from a position of its own, and the outcomes on `responses.v1` beside it.

The position is committed under the group `millrace-shadow-<experiment>`: everything before it is done. The commit's metadata
say up to where requests have been admitted; calls of those may be under way (as the sink does, `core/delivery`). So what is
open is the un-acked window, and a rewind is a commit.

Outcomes are read in step: not further than the requests, unless one that is open still waits for its own.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import KafkaError

from connectors.kafka.fetching import FETCH_BYTES, PATIENT
from connectors.kafka.offsets import Offsets
from connectors.kafka.window import Window
from pipeline.core.delivery import metadata_of, until_of
from pipeline.tools import Tools
from schemas import topics as t

__all__ = ["GROUP", "MirrorLog", "may_be_open"]

GROUP = "millrace-shadow"
"""Of the stage; an experiment's is this, a hyphen, and its name."""

POLL_MS = 100
POLL_RECORDS = 200
SLACK_MS = 5_000
"""Clocks differ, and logs of one request are written one after the other."""
AHEAD_MS = 2_000
PAUSE_S = 0.2

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lane:
    """One partition of both topics. `until`: offset up to which requests were admitted, -1 if none was.

    `read_ms`, `outcomes_ms`: time of the last record of each.
    """

    window: Window
    until: int = -1
    read_ms: int = 0
    outcomes_ms: int = 0
    is_dirty: bool = False


@dataclass(slots=True)
class Polled:
    """Records by partition, in order."""

    requests: dict[int, list[Any]] = field(default_factory=dict)
    outcomes: dict[int, list[Any]] = field(default_factory=dict)


async def may_be_open(tools: Tools, experiment: str, offsets: Offsets) -> bool:
    """Whether calls of it may be under way, by what was committed."""
    topic = tools.topic(t.ENRICHED.name)
    for partition in range(await tools.producers.partition_count(topic)):
        commit = await offsets.committed(f"{GROUP}-{experiment}", TopicPartition(topic, partition))
        if commit is not None and _until(commit[1]) >= commit[0]:
            return True
    return False


class MirrorLog:
    def __init__(
        self, tools: Tools, experiment: str, offsets: Offsets, *, security: Mapping[str, Any] | None = None
    ) -> None:
        self._tools, self._offsets = tools, offsets
        self._group = f"{GROUP}-{experiment}"
        self._enriched = tools.topic(t.ENRICHED.name)
        self._responses = tools.topic(t.RESPONSES.name)
        self._consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=tools.bootstrap,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            retry_backoff_ms=100,
            **PATIENT,
            **(security or {}),
        )
        self._lanes: dict[int, _Lane] = {}
        self._paused: set[TopicPartition] = set()

    async def start(self) -> tuple[int | None, bool]:
        """Goes on where it stood, or begins at the end.

        Returns:
            The time of the first record that is not done, None if all are; and whether calls of such may be under way.
        """
        await self._consumer.start()
        parts = range(await self._tools.producers.partition_count(self._enriched))
        self._consumer.assign([TopicPartition(topic, p) for topic in (self._enriched, self._responses) for p in parts])
        places = [TopicPartition(self._enriched, p) for p in parts]
        ends = await self._consumer.end_offsets(places)
        for tp in places:
            commit = await self._offsets.committed(self._group, tp)
            position, memo = commit if commit is not None else (ends[tp], "")
            self._lanes[tp.partition] = _Lane(Window(position), _until(memo), is_dirty=commit is None)
            self._consumer.seek(tp, position)
        await self.commit()
        times = [await self._time_of(tp) for tp in places if self._lanes[tp.partition].window.start < ends[tp]]
        first_ms = min(times, default=None)
        await self._seek_outcomes(self._tools.now_ms() if first_ms is None else first_ms)
        return first_ms, any(lane.until >= lane.window.start for lane in self._lanes.values())

    async def stop(self) -> None:
        await self._consumer.stop()

    async def rewind(self, since_ms: int) -> None:
        """To what was accepted from then on. Nothing counts as admitted any more: see to it that nothing waits in a lane."""
        places = [TopicPartition(self._enriched, p) for p in self._lanes]
        found = await self._consumer.offsets_for_times(dict.fromkeys(places, since_ms))
        ends = await self._consumer.end_offsets(places)
        for tp in places:
            position = ends[tp] if found[tp] is None else found[tp].offset
            self._lanes[tp.partition] = _Lane(Window(position), is_dirty=True)
            self._consumer.seek(tp, position)
        await self._seek_outcomes(since_ms)
        await self.commit()

    @property
    def is_taking_over(self) -> bool:
        """Some requests that were admitted before have not been read yet."""
        return any(lane.window.next_offset <= lane.until for lane in self._lanes.values())

    def was_admitted(self, partition: int, offset: int) -> bool:
        """By who read this log before; it may have been."""
        return offset <= self._lanes[partition].until

    def admitted(self, partition: int, offset: int) -> None:
        """In force with the next commit."""
        lane = self._lanes[partition]
        lane.until, lane.is_dirty = max(lane.until, offset), True

    def ack(self, partition: int, offset: int) -> None:
        lane = self._lanes[partition]
        lane.is_dirty |= lane.window.ack(offset)

    def outcomes_known_until_ms(self, partition: int) -> int:
        """Everything that was written on `responses` before then has been read."""
        tp = TopicPartition(self._responses, partition)
        return self._tools.now_ms() if self._is_at_end(tp) else self._lanes[partition].outcomes_ms

    async def poll(self, wants_requests: Callable[[int], bool], waits: Callable[[int], bool]) -> Polled:
        """What has come within a moment.

        Args:
            wants_requests: of a partition: whether there is room for more of them.
            waits: of a partition: whether an open request lacks its outcome.
        """
        self._steer(wants_requests, waits)
        polled = Polled()
        try:
            batches = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        except KafkaError as error:
            log.warning("experiment: reading failed, going on", extra={"group": self._group, "error": repr(error)})
            await asyncio.sleep(PAUSE_S)
            return polled
        now = asyncio.get_running_loop().time()
        for tp, records in batches.items():
            lane = self._lanes[tp.partition]
            if tp.topic == self._responses:
                lane.outcomes_ms = records[-1].timestamp
                polled.outcomes[tp.partition] = records
            else:
                lane.window.deliver([record.offset for record in records], now)
                lane.read_ms = records[-1].timestamp
                polled.requests[tp.partition] = records
        return polled

    async def commit(self) -> None:
        """Returns when the broker has it, however long it is away."""
        dirty = {p: lane for p, lane in self._lanes.items() if lane.is_dirty}
        if not dirty:
            return
        positions = {TopicPartition(self._enriched, p): _said(lane) for p, lane in dirty.items()}
        for lane in dirty.values():
            lane.is_dirty = False
        while True:
            try:
                await self._consumer.commit(positions)
                return
            except KafkaError as error:
                log.warning("experiment: not committed, again", extra={"group": self._group, "error": repr(error)})
                await asyncio.sleep(PAUSE_S)

    def _steer(self, wants_requests: Callable[[int], bool], waits: Callable[[int], bool]) -> None:
        """Pause what there is no room for, resume the rest."""
        paused = set()
        for p, lane in self._lanes.items():
            requests, outcomes = TopicPartition(self._enriched, p), TopicPartition(self._responses, p)
            if not wants_requests(p):
                paused.add(requests)
            is_ahead = lane.outcomes_ms > lane.read_ms + AHEAD_MS and not self._is_at_end(requests)
            if is_ahead and not waits(p):
                paused.add(outcomes)
        if resumed := self._paused - paused:
            self._consumer.resume(*resumed)
        if stopped := paused - self._paused:
            self._consumer.pause(*stopped)
        self._paused = paused

    def _is_at_end(self, tp: TopicPartition) -> bool:
        """As far as the last fetch knew."""
        state = self._consumer._subscription.subscription.assignment.state_value(tp)
        end = self._consumer.highwater(tp)
        return end is not None and state.has_valid_position and state.position >= end

    async def _time_of(self, tp: TopicPartition) -> int:
        """Of the record that it stands at; of one that is gone, the beginning of time."""
        record = await self._tools.scanner.fetch(tp.topic, tp.partition, self._lanes[tp.partition].window.start)
        return 0 if record is None else int(record.timestamp)

    async def _seek_outcomes(self, since_ms: int) -> None:
        places = [TopicPartition(self._responses, p) for p in self._lanes]
        found = await self._consumer.offsets_for_times(dict.fromkeys(places, max(0, since_ms - SLACK_MS)))
        ends = await self._consumer.end_offsets(places)
        for tp in places:
            self._consumer.seek(tp, ends[tp] if found[tp] is None else found[tp].offset)
            self._lanes[tp.partition].outcomes_ms = since_ms - SLACK_MS
            self._lanes[tp.partition].read_ms = max(self._lanes[tp.partition].read_ms, since_ms - SLACK_MS)


def _until(memo: str) -> int:
    until = until_of(memo)
    return -1 if until is None else until


def _said(lane: _Lane) -> OffsetAndMetadata:
    position = lane.window.position() or lane.window.start
    return OffsetAndMetadata(position, metadata_of(lane.until if lane.until >= position else None))
