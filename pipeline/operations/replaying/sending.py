"""Mode send: the requests of a range go through again, as batch work of their tenant that nobody waits for.

1. what the run sent in an earlier life is read off `requests`, by its header `run-id`
2. what became of it, and of what comes, is followed on `responses` and `costs`
3. each request of the range is skipped for a reason, or sent: so many open at a time, at the rate, within the budget
4. all outcomes are waited for, and for a moment the last lines of the ledger

Ids follow from the run, so sending one twice would be a copy that `route` suppresses; reading first means that none is.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.clickhouse.reader import Reader
from connectors.kafka.producers import Producers
from connectors.kafka.tail import Tail
from pipeline.core.replaying import DEADLINE_S, Skip, Tally, again, consents, worst_case_nano_usd
from pipeline.operations import records
from pipeline.operations.replaying.caught_up import until_caught_up
from pipeline.operations.replaying.errors import Unfinished
from pipeline.operations.replaying.history import Bodies, Progress, Source, Span, history
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t
from schemas.avro_schema import schema_name
from schemas.catalog import Catalog
from schemas.codec import decode, encode
from schemas.events import Cost, Enriched, Request, Response
from schemas.events.ref import TimestampMs
from schemas.ids import partition_key, replayed_id

__all__ = ["Order", "replay_send"]

Told = Callable[[Progress, dict[str, Any]], None]

_MOST_OPEN: Final = 64
_LAST_LINES_S: Final = 15.0
_SLACK_S: Final = 30.0
_TICK_S: Final = 0.5
_SLACK_MS: Final = 60_000


@dataclass(slots=True, frozen=True)
class Order:
    """`model`: instead of what was asked for; `since_ms`: no record of this run is older."""

    run_id: str
    span: Span
    model: str | None = None
    rate: float | None = None
    budget_nano_usd: int | None = None
    source: Source | None = None
    since_ms: TimestampMs = 0


async def replay_send(
    where: Connection, catalog: Catalog, reader: Reader | None, order: Order, told: Told
) -> dict[str, Any]:
    """The figures of the whole run; `told` the same, often. Raises Unfinished, Behind."""
    run = _Run(where, catalog, order, told)
    if order.source == "clickhouse":
        await until_caught_up(where, t.ENRICHED, lambda _: told(run.progress, run.figures()))
    first_ms = await run.find_sent()
    topics = [where.topic(topic.name) for topic in (t.RESPONSES, t.COSTS)]
    tail = Tail(where.bootstrap, topics, run.heard, since_ms=first_ms - _SLACK_MS, security=where.client_options)
    await tail.start()
    bodies = Bodies(where)
    try:
        await run.until(tail.caught_up.is_set)
        async with records.producer(where) as producer:
            async with aclosing(history(where, reader, order.span, order.source, run.progress)) as past:
                async for request in past:
                    await run.take(request, bodies, producer)
            await run.end()
    finally:
        await bodies.close()
        await tail.stop()
    return run.figures()


@dataclass(slots=True)
class _Run:
    where: Connection
    catalog: Catalog
    order: Order
    told: Told
    progress: Progress = field(default_factory=Progress)
    tally: Tally = field(default_factory=Tally)
    skipped: Counter[Skip] = field(default_factory=Counter)
    seen: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    is_spent: bool = False
    sent: int = 0
    began: float = 0.0

    async def find_sent(self) -> TimestampMs:
        """When the first was written; now if none was."""
        topic, first_ms = self.where.topic(t.REQUESTS.name), time.time_ns() // 1_000_000
        async for record in records.scan(self.where, [topic], max(0, self.order.since_ms - _SLACK_MS)):
            if h.text(record.headers, h.RUN_ID) == self.order.run_id and h.text(record.headers, h.ROLE) == h.REPLAY:
                self.tally.sent(h.text(record.headers, h.REQUEST_ID) or "")
                first_ms = min(first_ms, record.timestamp)
        return first_ms

    def heard(self, record: Any) -> None:
        """A record of `responses` or `costs`; most are of others."""
        request_id = h.text(record.headers, h.REQUEST_ID)
        if request_id is None or request_id not in self.tally or h.text(record.headers, h.ROLE) != h.REPLAY:
            return
        is_response = record.topic == self.where.topic(t.RESPONSES.name)
        event = decode(Response, record.value) if is_response else decode(Cost, record.value)
        if isinstance(event, Response):
            self.tally.answered(event)
        elif isinstance(event, Cost):
            self.tally.booked(event)
        self.changed.set()

    async def take(self, request: Enriched, bodies: Bodies, producer: Producers) -> None:
        """One of the range: skipped, or sent, now or in an earlier life."""
        new_id = replayed_id(self.order.run_id, request.tenant, request.request_id)
        if new_id in self.seen:
            return
        self.seen.add(new_id)
        if new_id not in self.tally and (reason := await self._send(request, bodies, producer)) is not None:
            self.skipped[reason] += 1
        self.told(self.progress, self.figures())

    async def end(self) -> None:
        """Every outcome is there; lines of calls that outlived their request may come later than anybody waits."""
        await self.until(lambda: not self.tally.unanswered)
        with contextlib.suppress(Unfinished):
            await self.until(lambda: not self.tally.open, _LAST_LINES_S)

    def figures(self) -> dict[str, Any]:
        return self.tally.figures(self.skipped)

    async def _send(self, request: Enriched, bodies: Bodies, producer: Producers) -> Skip | None:
        """Why not."""
        if not consents(request.tenant, self.catalog) or (request.body is None and request.body_ref is None):
            return Skip.STORE_BODIES  # the second: when it was asked they were not to be kept
        body = await bodies.of(request)
        if body is None:
            return Skip.EXPIRED
        worst = worst_case_nano_usd(request, self.catalog, self.order.model or request.model)
        if not await self._can_afford(worst):
            return Skip.BUDGET
        await self.until(lambda: self.tally.unanswered < _MOST_OPEN)
        await self._keep_rate()
        await self._write(again(request, body, self.order.run_id, self.order.model), request, worst, producer)
        return None

    async def _write(self, asked: Request, request: Enriched, worst: int, producer: Producers) -> None:
        new_id = asked.request_id or ""
        shards = self.catalog.tenants[asked.tenant].shards
        key = partition_key(asked.tenant, shards=shards, conversation_id=None, request_id=new_id)
        said = h.build(
            request_id=new_id, tenant=asked.tenant, role=h.REPLAY, run_id=self.order.run_id,
            replay_of=request.request_id, schema=schema_name("request"),
        )  # fmt: skip
        self.tally.sent(new_id, worst)
        await producer.deliver(self.where.topic(t.REQUESTS.name), encode(asked), key=key.encode(), headers=said)

    async def _can_afford(self, worst_nano_usd: int) -> bool:
        """What is spent, what is open at its worst, and this one. What an earlier life left open is of unknown size."""
        budget, tally = self.order.budget_nano_usd, self.tally
        if budget is None or self.is_spent:
            return budget is None

        def fits() -> bool:
            return tally.cost_nano_usd + tally.owed_nano_usd + worst_nano_usd <= budget

        if not self.sent:
            await self.end()
        await self.until(lambda: fits() or not tally.unanswered)
        with contextlib.suppress(Unfinished):
            await self.until(lambda: fits() or not tally.open, _LAST_LINES_S)
        self.is_spent = not fits()
        return not self.is_spent

    async def _keep_rate(self) -> None:
        self.began = self.began or time.monotonic()
        if self.order.rate:
            due = self.began + self.sent / self.order.rate
            while (left_s := due - time.monotonic()) > 0:
                await asyncio.sleep(min(left_s, _TICK_S))
                self.told(self.progress, self.figures())
        self.sent += 1

    async def until(self, holds: Callable[[], bool], limit_s: float = DEADLINE_S + _SLACK_S) -> None:
        """Raises Unfinished."""
        end = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > end:
                raise Unfinished(f"{self.tally.unanswered} requests have no outcome yet: run the same command again")
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), _TICK_S)
            self.told(self.progress, self.figures())
