"""What `route` remembers of the partitions it owns, and how it takes one over.

The state is a fold of topics: nothing here is written for its own sake, but `idempotency`. The un-acked records of
`requests` and `retries.due` are the durable list of open work; a takeover reads what has happened to them.
"""

import asyncio
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.journey import Journey
from pipeline.stage import Assigned
from pipeline.tools import Tools
from schemas import headers as h
from schemas import topics as t
from schemas.codec import Undecodable, decode
from schemas.events import Attempt, Cost, Idempotency, Parked, Ref
from schemas.roles import BULK_ROLES

ANSWERED_MEMORY = 100_000
IDEMPOTENCY_MEMORY = 500_000
BOOKED_MEMORY = 50_000
SLACK_MS = 1_000
LOOK_BACK_MS = 60_000
"""Outcomes of the last minute are known after a takeover, so that a record produced twice is answered once."""

Id = tuple[str, str]
"""(tenant, request id)."""


@dataclass(slots=True)
class OpenRequest:
    """A journey with what the shell needs: the record to ack, its timers, logs not yet acked.

    `due_at` is that of its last wait: records of earlier ones are copies.
    """

    journey: Journey
    source: tuple[str, int, int]
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    logs: list[asyncio.Task[None]] = field(default_factory=list)
    due_at: int = 0

    def forget_timers(self) -> None:
        while self.timers:
            self.timers.pop().cancel()


@dataclass(slots=True, frozen=True)
class Line:
    """What stands in the ledger for an attempt, or will once `written`."""

    cost_nano_usd: int
    estimated: bool
    written: "asyncio.Future[None] | None" = None


@dataclass(slots=True)
class Partition:
    """One owned partition of the tenant key.

    `answered`: outcome known, with its place where known. `booked`: lines of the ledger by their cost id.
    """

    open: dict[Id, OpenRequest] = field(default_factory=dict)
    history: defaultdict[Id, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    answered: OrderedDict[Id, Ref | None] = field(default_factory=OrderedDict)
    idempotency: OrderedDict[Id, Idempotency] = field(default_factory=OrderedDict)
    booked: OrderedDict[str, Line] = field(default_factory=OrderedDict)

    def answer(self, request: Id, ref: Ref | None) -> None:
        """The first record is the outcome: of two places the earlier one stays."""
        known = self.answered.get(request)
        if known is None or (ref is not None and ref.offset < known.offset):
            self.answered[request] = ref
        self.history.pop(request, None)
        while len(self.answered) > ANSWERED_MEMORY:
            self.answered.popitem(last=False)

    def book(self, cost_id: str, line: Line) -> None:
        self.booked[cost_id] = line
        while len(self.booked) > BOOKED_MEMORY:
            self.booked.popitem(last=False)

    def store(self, event: Idempotency) -> None:
        """The newest last, so that the oldest are dropped where there are too many."""
        key = (event.tenant, event.request_id)
        self.idempotency[key] = event
        self.idempotency.move_to_end(key)
        while len(self.idempotency) > IDEMPOTENCY_MEMORY:
            self.idempotency.popitem(last=False)

    def stored(self, request: Id, now_ms: int) -> Idempotency | None:
        """What a key stood for, while it is valid."""
        event = self.idempotency.get(request)
        if event is not None and event.expires_at <= now_ms:
            del self.idempotency[request]
            return None
        return event


class Ownership:
    """The partitions of this worker; `gained` reads the state of new ones before their first record is handled."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._partitions: dict[int, Partition] = {}

    def get(self, partition: int) -> Partition | None:
        return self._partitions.get(partition)

    def find(self, request: Id) -> tuple[Partition, OpenRequest] | None:
        for partition in self._partitions.values():
            if request in partition.open:
                return partition, partition.open[request]
        return None

    def knows(self, request: Id) -> bool:
        """Open or answered here: its outcome is not for anybody else to give."""
        return any(request in known.open or request in known.answered for known in self._partitions.values())

    async def gained(self, assigned: dict[tuple[str, int], Assigned]) -> None:
        """Kept partitions keep their state; lost ones are forgotten, with their timers."""
        requests = self._tools.topic(t.REQUESTS.name)
        owned = {partition for topic, partition in assigned if topic == requests}
        for lost in set(self._partitions) - owned:
            for request in self._partitions.pop(lost).open.values():
                request.forget_timers()
        for number in sorted(owned - set(self._partitions)):
            self._partitions[number] = await self._take_over(number, assigned)

    async def _take_over(self, number: int, assigned: dict[tuple[str, int], Assigned]) -> Partition:
        partition = Partition()
        now = self._tools.now_ms()
        since = await self._first_open_ms(number, assigned, now)
        async for record in self._read(t.IDEMPOTENCY, number, None):
            event = decode(Idempotency, record.value)
            if not isinstance(event, Undecodable) and event.expires_at > now:
                partition.store(event)
        async for record in self._read(t.RESPONSES, number, min(since, now - LOOK_BACK_MS)):
            if (request := id_of(record)) is not None:
                partition.answer(request, Ref(record.topic, record.partition, record.offset))
        settled = self._tools.topic(t.ATTEMPTS.name), number
        async for record in self._read(t.COSTS, number, await self._committed_ms(settled, assigned, now) - SLACK_MS):
            cost = decode(Cost, record.value)
            if not isinstance(cost, Undecodable):
                partition.book(cost.cost_id, Line(cost.cost_nano_usd, cost.estimated))
        async for record in self._read(t.ATTEMPTS, number, since):
            if id_of(record) in partition.answered:
                continue  # most are: their headers say it, undecoded
            attempt = decode(Attempt, record.value)
            if not isinstance(attempt, Undecodable) and attempt.role not in BULK_ROLES:
                partition.history[attempt.tenant, attempt.request_id].append(attempt)
        return partition

    async def _first_open_ms(self, number: int, assigned: dict[tuple[str, int], Assigned], now: int) -> int:
        """When the oldest request that may be open was accepted."""
        places = [(self._tools.topic(topic.name), number) for topic in (t.REQUESTS, t.RETRIES_DUE)]
        return min([await self._committed_ms(place, assigned, now) for place in places]) - SLACK_MS

    async def _committed_ms(self, place: tuple[str, int], assigned: dict[tuple[str, int], Assigned], now: int) -> int:
        """The time of the first record that is not committed; now if all are."""
        known = assigned.get(place)
        if known is None or (known.committed or 0) >= known.end:
            return now
        record = await self._tools.scanner.fetch(*place, known.committed or 0)
        return now if record is None else _accepted_ms(record)

    def _read(self, topic: t.Topic, partition: int, since_ms: int | None) -> Any:
        return self._tools.scanner.read(self._tools.topic(topic.name), partition, since_ms=since_ms)


def id_of(record: Any) -> Id | None:
    """(tenant, request id) by headers; None for a record without them."""
    tenant, request_id = h.text(record.headers, h.TENANT), h.text(record.headers, h.REQUEST_ID)
    return (tenant, request_id) if tenant and request_id else None


def _accepted_ms(record: Any) -> int:
    parked = decode(Parked, record.value) if record.topic.endswith(t.RETRIES_DUE.name) else None
    if isinstance(parked, Parked):
        return parked.request.accepted_at
    return int(record.timestamp)
