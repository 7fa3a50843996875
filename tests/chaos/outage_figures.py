"""Figures of an outage: from what callers saw, what the providers saw, and what the topics say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI

from schemas.events import Attempt, Breaker
from tests.chaos.faulty import ANSWER, Faulty
from tests.chaos.ledger import Answer, Ledger, ask

WINDOW_S = 10.0


@dataclass
class Load:
    """Requests at a steady rate, in turn over routes, tenants, streamed and whole."""

    clients: Sequence[AsyncOpenAI]
    routes: Sequence[str]
    rate: float
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, "asyncio.Task[Answer]"]] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        going = asyncio.create_task(self._go())
        try:
            yield
        finally:
            going.cancel()

    async def _go(self) -> None:
        loop = asyncio.get_running_loop()
        start, number = loop.time(), 0
        while True:
            await asyncio.sleep(max(0.0, start + number / self.rate - loop.time()))
            self._ask(number)
            number += 1

    def _ask(self, number: int) -> None:
        route, turn = self.routes[number % len(self.routes)], number // len(self.routes)
        client = self.clients[turn // 2 % len(self.clients)]
        self.asked.append((route, asyncio.create_task(ask(client, route, stream=turn % 2 == 0, headers=self.headers))))

    async def answers(self) -> list[tuple[str, Answer]]:
        return [(route, await task) for route, task in self.asked]


def is_good(answer: Answer) -> bool:
    return (answer.error, answer.text, answer.finish) == ("", ANSWER, ["stop"])


def percentile(values: Sequence[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 3) if values else 0.0


@dataclass(frozen=True)
class Span:
    """From when until when, in seconds since the epoch."""

    start: float
    end: float

    def holds(self, ms: int) -> bool:
        return self.start * 1000 <= ms < self.end * 1000


def trip(ledger: Ledger, endpoint: str, since: float) -> Breaker | None:
    found = (b for b in ledger.breakers if b.endpoint == endpoint and b.state == "open" and b.at >= since * 1000)
    return min(found, key=lambda breaker: breaker.epoch, default=None)


def calls(ledger: Ledger, span: Span, allowed: Callable[[Attempt], bool] = lambda _: True) -> list[Attempt]:
    """Calls that were made; probes are nobody's request."""
    return [
        event
        for event in ledger.attempts
        if event.phase == "started" and event.role != "probe" and span.holds(event.started_at) and allowed(event)
    ]


def of_trip(ledger: Ledger, endpoint: str, down: Span, offered: int) -> dict[str, Any]:
    """How long it took to take the endpoint out, and what still went there afterwards."""
    provider, opened = endpoint.partition("/")[0], trip(ledger, endpoint, down.start)
    if opened is None:
        return {"tripped": False}
    failed = [
        event
        for event in ledger.attempts
        if event.phase == "finished" and event.provider == provider and event.result == "error"
        and down.holds(event.finished_at or 0) and (event.finished_at or 0) <= opened.at and event.role != "probe"
        and event.error is not None and event.error.code != "breaker_open"
    ]  # fmt: skip
    first = min(calls(ledger, down, lambda event: event.provider == provider), key=lambda event: event.started_at)
    after = calls(ledger, Span(opened.at / 1000, down.end), lambda event: event.provider == provider)
    return {
        "tripped": True,
        "cause": opened.cause,
        "trip_s": round((opened.at - first.started_at) / 1000, 3),
        "failures_to_trip": len(failed),
        "calls_after_trip": len(after),
        "calls_after_trip_per_request": round(len(after) / offered, 3),
    }


def of_recovery(ledger: Ledger, endpoint: str, healed: float) -> dict[str, Any]:
    """When it was closed again, and how often it opened for anything but a probe that had begun before."""
    records = [b for b in ledger.breakers if b.endpoint == endpoint and b.at >= healed * 1000]
    closed = [breaker.at for breaker in records if breaker.state == "closed"]
    trips = [b.cause for b in records if b.state == "open" and b.cause not in ("probe_failed", "probe_lost")]
    return {"closed_s": round(closed[0] / 1000 - healed, 3) if closed else None, "second_trips": trips}


def probes_at_once(provider: Faulty) -> int:
    """The most that were under way at a time, as the provider saw them."""
    probes = [call for call in provider.calls if call.is_probe]
    edges = [(call.at, 1) for call in probes] + [(call.ended or float("inf"), -1) for call in probes]
    most = now = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


def worst_amplification(ledger: Ledger, span: Span) -> dict[str, Any]:
    """In the worst 10 s: calls, first calls of their request, and how far from 1.2 x firsts + 10 (positive: over it)."""
    seen: set[str] = set()
    made = sorted(calls(ledger, span), key=lambda event: event.started_at)
    rows = [(event.started_at / 1000, _is_first(event.request_id, seen)) for event in made]
    worst: dict[str, Any] = {"over": float("-inf")}
    for at, _ in rows:
        within = [is_first for moment, is_first in rows if at - WINDOW_S < moment <= at]
        over = len(within) - 1.2 * sum(within) - WINDOW_S
        if over > worst["over"]:
            worst = {"over": round(over, 1), "calls": len(within), "firsts": sum(within)}
    return worst


def _is_first(request_id: str, seen: set[str]) -> bool:
    is_first = request_id not in seen
    seen.add(request_id)
    return is_first
