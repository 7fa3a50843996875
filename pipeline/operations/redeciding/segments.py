"""Segments: a range of acceptance times cut into parts of one partition each, about equally large.

A request's records (`enriched`, `decisions`, `responses`) have one key, so they stand in partitions of one number.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from aiokafka import TopicPartition

from pipeline.operations import records
from pipeline.operations.running import Connection
from schemas import topics as t

__all__ = ["SKEW_MS", "Segment", "kept_since", "segments_of"]

SKEW_MS: Final = 5_000
"""Clocks of two machines differ by less: a record is written after its request was accepted."""

_LARGEST: Final = 50_000
"""Requests that a process holds at a time; some 2 kB each."""


@dataclass(slots=True, frozen=True)
class Segment:
    """Requests of a partition that were accepted from `from_ms` on and before `to_ms`; `requests` is an estimate."""

    partition: int
    from_ms: int
    to_ms: int
    requests: int


async def kept_since(where: Connection) -> int:
    """From when on Kafka still has every request, epoch ms; 0: nothing has expired yet."""
    async with _consumer(where) as client:
        parts = await records.partitions_of(client, [where.topic(t.ENRICHED.name), where.topic(t.DECISIONS.name)])
        client.assign(parts)
        begins, ends = await client.beginning_offsets(parts), await client.end_offsets(parts)
        expired = [part for part in parts if begins[part] > 0]
        if any(begins[part] == ends[part] for part in expired):
            return time.time_ns() // 1_000_000
        times = [await _time_of(client, part, begins[part]) for part in expired]
    return max(times, default=0)


async def segments_of(where: Connection, from_ms: int, to_ms: int, *, at_least: int) -> list[Segment]:
    """The largest first. `at_least` so many, where there is enough to do for several processes."""
    found: list[Segment] = []
    async with _consumer(where) as client:
        parts = await records.partitions_of(client, [where.topic(t.ENRICHED.name)])
        if not parts:
            return []
        client.assign(parts)
        starts = await _offsets(client, parts, max(0, from_ms - SKEW_MS))
        ends = await _offsets(client, parts, to_ms + SKEW_MS)
        total = sum(ends[part] - starts[part] for part in parts)
        largest = max(1_000, min(_LARGEST, total // at_least + 1))
        for part in parts:
            found += await _cut(client, part, (starts[part], ends[part]), (from_ms, to_ms), largest)
    return sorted(found, key=lambda segment: -segment.requests)


def _consumer(where: Connection) -> Any:
    """Single records are read: what a fetch brings beside them is thrown away."""
    return records.consumer(where.bootstrap, {**where.client_options, "max_partition_fetch_bytes": 65_536})


async def _offsets(client: Any, parts: Sequence[TopicPartition], at_ms: int) -> dict[TopicPartition, int]:
    """Of the first records from this time on, else the ends."""
    found = await client.offsets_for_times(dict.fromkeys(parts, at_ms))
    ends = await client.end_offsets(list(parts))
    return {part: found[part].offset if found.get(part) else ends[part] for part in parts}


async def _cut(
    client: Any, part: TopicPartition, offsets: tuple[int, int], times: tuple[int, int], largest: int
) -> list[Segment]:
    first, end = offsets
    if end <= first:
        return []
    pieces = -(-(end - first) // largest)
    size = (end - first) // pieces
    inner = [await _time_of(client, part, first + size * number) for number in range(1, pieces)]
    bounds = sorted({times[0], times[1], *(at for at in inner if times[0] < at < times[1])})
    return [Segment(part.partition, start, stop, size) for start, stop in pairwise(bounds)]


async def _time_of(client: Any, part: TopicPartition, offset: int) -> int:
    client.seek(part, offset)
    record = await client.getone(part)
    return int(record.timestamp)
