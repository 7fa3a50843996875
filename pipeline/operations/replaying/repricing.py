"""Mode reprice: the ledger of a range comes to what corrected prices say, by signed lines on `costs`.

1. wait until ClickHouse has every line that is on `costs`: half a ledger would be corrected twice
2. in slices of time that fit into memory: what is booked per attempt, what it should be, the difference as a line
3. lines go where the attempt's charge stands; a slice is acked before the next is read

A run that was killed has booked some of its lines; the next one reads them with the rest.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from connectors.clickhouse.past import PastLedger
from connectors.kafka.partition import partition_of
from connectors.kafka.producers import Producers
from pipeline.core.pricing import price_of
from pipeline.core.replaying import Left, Slice, adjustment, needs_usage, slices
from pipeline.operations import records
from pipeline.operations.replaying.caught_up import until_caught_up
from pipeline.operations.replaying.history import Progress, Span
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t
from schemas.avro_schema import schema_name
from schemas.catalog import Catalog
from schemas.codec import encode
from schemas.completion import Usage
from schemas.events import Cost
from schemas.ledger import Booked

__all__ = ["replay_reprice"]

Told = Callable[[Progress, dict[str, Any]], None]
Record = tuple[bytes, bytes, h.Headers]

_LINES: Final = 25_000
"""Of a slice: some 20 MB of rows."""

_STEPS: Final = 2_000
_SCHEMA: Final = schema_name("cost")


@dataclass(slots=True)
class _Figures:
    costs: int = 0
    adjusted: int = 0
    delta_nano_usd: int = 0
    left: Counter[Left] = field(default_factory=Counter)

    def document(self) -> dict[str, Any]:
        return {
            "costs": self.costs,
            "adjusted": self.adjusted,
            "delta_nano_usd": self.delta_nano_usd,
            "left": {reason.value: number for reason, number in sorted(self.left.items())},
        }


async def replay_reprice(
    where: Connection, prices: Catalog, shards: Mapping[str, int], ledger: PastLedger, span: Span, told: Told
) -> dict[str, Any]:
    """The figures: attempts of the range, those whose cost changed, by how much, those that were left alone.

    Raises Behind, Unavailable.
    """
    figures, progress = _Figures(), Progress()
    await until_caught_up(where, t.COSTS, lambda waiting: told(progress, {"waiting": waiting}))
    first_ms, last_ms, lines = await ledger.extent(span.from_ms, span.to_ms)
    if not lines:
        return figures.document()
    progress.expects(lines)
    end_ms = min(span.to_ms, last_ms + 1)
    step_ms = max(1, -(-(end_ms - first_ms) // _STEPS))
    counts = await ledger.steps(first_ms, end_ms, step_ms)
    async with records.producer(where) as producer:
        correction = _Correction(where, producer, prices, shards, figures)
        async with aclosing(_read_ahead(ledger, slices(counts, step_ms, _LINES), end_ms)) as parts:
            async for part, booked in parts:
                usage = await ledger.usage([line.attempt_id for line in booked if needs_usage(line)])
                await correction.book(booked, usage)
                progress.done += part.lines
                told(progress, figures.document())
    return figures.document()


async def _read_ahead(
    ledger: PastLedger, parts: Iterable[Slice], end_ms: int
) -> AsyncGenerator[tuple[Slice, list[Booked]], None]:
    """ClickHouse prepares the next slice while one is worked on; no attempt is in two."""
    reading: list[tuple[Slice, asyncio.Task[list[Booked]]]] = []
    try:
        for part in parts:
            asked = ledger.booked(part.from_ms, min(part.to_ms, end_ms), part.part, part.parts)
            reading.append((part, asyncio.ensure_future(asked)))
            if len(reading) > 1:
                ready, task = reading.pop(0)
                yield ready, await task
        for ready, task in reading:
            yield ready, await task
    finally:
        for _, task in reading:
            task.cancel()
        await asyncio.gather(*(task for _, task in reading), return_exceptions=True)


@dataclass(slots=True, frozen=True)
class _Correction:
    """`shards` by tenant."""

    where: Connection
    producer: Producers
    prices: Catalog
    shards: Mapping[str, int]
    figures: _Figures

    async def book(self, booked: list[Booked], usage: Mapping[str, Usage]) -> None:
        """Each partition's lines in one go, made while they are packed: they never are in memory as objects."""
        by_partition: dict[int, list[Booked]] = {}
        for line in booked:
            by_partition.setdefault(line.partition, []).append(line)
        topic = self.where.topic(t.COSTS.name)
        await asyncio.gather(
            *(
                self.producer.deliver_many(topic, partition, self._records(lines, usage))
                for partition, lines in by_partition.items()
            )
        )

    def _records(self, lines: Iterable[Booked], usage: Mapping[str, Usage]) -> Iterator[Record]:
        for line in lines:
            self.figures.costs += 1
            if line.model not in self.prices.models:
                self.figures.left[Left.UNKNOWN_MODEL] += 1
            elif needs_usage(line) and line.attempt_id not in usage:
                self.figures.left[Left.UNKNOWN_USAGE] += 1
            elif cost := adjustment(line, price_of(self.prices, line.model), usage.get(line.attempt_id)):
                self.figures.adjusted += 1
                self.figures.delta_nano_usd += cost.cost_nano_usd
                yield _record(cost, _key(line, self.shards.get(line.tenant, 1), self.where.partitions))


def _key(line: Booked, shards: int, partitions: int) -> str:
    """One that leads where the charge stands; of a sharded tenant it may be another one's of the same partition."""
    if shards > 1:
        for shard in range(shards):
            key = f"{line.tenant}#{shard}"
            if partition_of(key.encode(), partitions) == line.partition:
                return key
    return line.tenant


def _record(cost: Cost, key: str) -> Record:
    run = h.run_of(cost.role, cost.tags)
    return (
        key.encode(),
        encode(cost),
        [*h.build(request_id=cost.request_id), *_shared(cost.tenant, cost.attempt, cost.role, run)],
    )


@lru_cache(maxsize=4_096)
def _shared(tenant: str, attempt: int, role: str, run: str | None) -> h.Headers:
    """The headers that many lines have alike."""
    return h.build(tenant=tenant, schema=_SCHEMA, attempt=attempt, role=role, run_id=run)
