"""`millrace replay --mode decide`: the decisions of a range made again, and what would have been different.

1. the catalogues that were in force, and since when Kafka has every record
2. what it has no more is read from ClickHouse, in this process
3. the rest in segments, by worker processes: as many as there are cores
4. their sums, added up, are the report

Under the catalogues of then every decision comes out as it was logged, to the last field; one that does not is a bug.
"""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import orjson

from connectors.clickhouse.reader import Reader
from pipeline.core.redeciding.tally import Tally
from pipeline.core.redeciding.verdict import report
from pipeline.operations.redeciding.catalogs import catalogs_of
from pipeline.operations.redeciding.segments import Segment, kept_since, segments_of
from pipeline.operations.redeciding.tables import replay_rows
from pipeline.operations.redeciding.worker import Order
from pipeline.operations.running import Connection
from schemas.catalog import Catalog

__all__ = ["History", "ReplayFailed", "replay_decide"]

Tell = Callable[[int, int], None]
"""Is told how much was done, of how much; by an estimate, so the two need not meet at the end."""

_WORTH_A_PROCESS: Final = 5_000
"""Requests; a process takes a second to start."""

_LINE_BYTES: Final = 2**26


class ReplayFailed(Exception):
    """It has no result; the text is for people."""


@dataclass(slots=True, frozen=True)
class History:
    """Where the past is read: Kafka, and `reader` for what that has no more; `source` names one of them alone."""

    where: Connection
    reader: Reader | None = None
    source: Literal["kafka", "clickhouse"] | None = None


async def replay_decide(
    history: History, *, from_ms: int, to_ms: int, policy: Catalog | None, tell: Tell, tenant: str = ""
) -> dict[str, Any]:
    """The document of CONTRACT 8, but for run id, mode and range.

    Args:
        history: where to read.
        from_ms: requests that were accepted at or after, epoch ms.
        to_ms: and before.
        policy: decides instead of the catalogues that were in force.
        tell: progress.
        tenant: whose decisions; empty: everybody's but the platform's own.

    Raises:
        ReplayFailed: A process ended before its work was done.
        StoreError: ClickHouse does not answer.
        KafkaError: Kafka does not.
    """
    began = time.monotonic()
    border = await _border(history, from_ms, to_ms)
    tally, sources = Tally(), []
    if from_ms < border:
        assert history.reader is not None
        sources.append("clickhouse")
        catalogs = await catalogs_of(history.where)
        await replay_rows(history.reader, catalogs, policy, (from_ms, border), tally, tenant=tenant, tell=tell)
    if border < to_ms:
        sources.append("kafka")
        order = Order(
            history.where.bootstrap,
            history.where.topic_prefix,
            bool(history.where.client_options),
            border,
            tenant,
            policy.document().decode() if policy else "",
            policy.hash if policy else "",
        )
        await _from_topics(history.where, order, to_ms, tally, tell)
    seconds = time.monotonic() - began
    return {**report(tally), "sources": sources, "seconds": seconds, "decisions_per_s": tally.decisions / seconds}


async def _border(history: History, from_ms: int, to_ms: int) -> int:
    """Before this time ClickHouse is read, from then on Kafka."""
    if history.source == "clickhouse":
        return to_ms
    since_ms = await kept_since(history.where)
    if since_ms <= from_ms:
        return from_ms
    if history.reader is None or history.source == "kafka":
        raise ReplayFailed("Kafka has not the whole range any more, and no ClickHouse is to be read")
    return min(since_ms, to_ms)


async def _from_topics(where: Connection, order: Order, to_ms: int, tally: Tally, tell: Tell) -> None:
    cores = os.cpu_count() or 1
    segments = await segments_of(where, order.from_ms, to_ms, at_least=cores)
    queue: asyncio.Queue[Segment] = asyncio.Queue()
    for segment in segments:
        queue.put_nowait(segment)
    progress = _Progress(sum(segment.requests for segment in segments), tell)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(cores, len(segments), 1 + progress.total // _WORTH_A_PROCESS)):
            group.create_task(_hand_out(order, queue, tally, progress))


@dataclass(slots=True)
class _Progress:
    total: int
    tell: Tell
    done: int = 0

    def add(self, count: int) -> None:
        self.done += count
        self.tell(self.done, max(self.total, self.done))


async def _hand_out(order: Order, queue: asyncio.Queue[Segment], tally: Tally, progress: _Progress) -> None:
    """One process, until nothing is left to do."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline.operations.redeciding.worker", stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES
    )
    assert process.stdin is not None
    try:
        process.stdin.write(order.line())
        while not queue.empty():
            process.stdin.write(orjson.dumps(asdict(queue.get_nowait())) + b"\n")
            tally.add(await _tally_of(process, progress))
        process.stdin.close()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _tally_of(process: Process, progress: _Progress) -> Tally:
    assert process.stdout is not None
    while line := await process.stdout.readline():
        said = orjson.loads(line)
        if "segment" in said:
            return Tally.of_plain(said["segment"])
        progress.add(said["looked_at"])
    raise ReplayFailed("a process of the replay ended before its work was done; see what it said above")
