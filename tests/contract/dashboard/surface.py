"""The admin surface on a port, with a desk that answers from memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from connectors.dashboard import (
    Access,
    ChildProcess,
    Desk,
    NoAnswer,
    UnknownEndpoint,
    UnknownExperiment,
    UnknownOrder,
    serve,
)

ENDPOINT = "sim/gpt-4.1-mini/us"
DOCUMENT: dict[str, Any] = {
    "request": {"request_id": "r-1", "tenant": "acme", "model": "auto"},
    "enriched": {"request_id": "r-1", "tenant": "acme", "model": "auto", "accepted_at": "2026-11-28T10:00:00.000Z"},
    "decisions": [
        {
            "attempt": 1, "cause": "first", "chosen": "gpt-4.1-mini", "reason": "best score",
            "decided_at": "2026-11-28T10:00:00.004Z",
            "ranked": [
                {"model": "gpt-4.1-mini", "score": 0.7, "quality": 0.8, "cents": 0.01, "latency_s": 0.4, "propensity": 1}
            ],
            "excluded": [{"model": "<script>alert(1)</script>", "step": "eligible", "reason": "region"}],
            "view": {ENDPOINT: {"breaker": "half_open", "in_flight": 3, "first_event_ms": None}},
        }
    ],
    "attempts": [
        {
            "attempt": 1, "phase": "finished", "role": "primary", "model": "gpt-4.1-mini", "provider": "sim",
            "result": "error", "error": {"kind": "overloaded", "status": 529}, "duration_ms": 340,
            "started_at": "2026-11-28T10:00:00.010Z", "finished_at": "2026-11-28T10:00:00.350Z",
        }
    ],
    "costs": [{"cost_nano_usd": 1_200, "attempt": 1, "at": "2026-11-28T10:00:00.360Z"}],
    "response": {"outcome": "error", "error": {"code": "all_providers_unavailable"},
                 "finished_at": "2026-11-28T10:00:00.400Z"},
    "shadow": [], "feedback": [],
}  # fmt: skip


REPLAY: dict[str, Any] = {
    "run_id": "send-0a1b", "mode": "send", "from": "2026-11-27T00:00:00.000Z", "to": "2026-11-28T00:00:00.000Z",
    "tenant": "<b>acme</b>", "started_at": "2026-11-28T10:00:00.000Z", "updated_at": "2026-11-28T10:01:00.000Z",
    "status": "interrupted", "model": None, "sent": 12_345, "ok": 12_000, "error": 340, "skipped": {"store_bodies": 7},
    "cost_nano_usd": 1_234_567,
}  # fmt: skip


def breaker(state: str = "closed", *, forced: bool = False) -> dict[str, Any]:
    return {
        "endpoint": ENDPOINT, "state": state, "epoch": 0, "since": None, "open_until": None, "opened_count": 0,
        "limited_until": None, "last_error": None, "cause": "", "forced": forced,
    }  # fmt: skip


@dataclass
class Memory:
    """What the desk answers, and what it was asked."""

    row: dict[str, Any] = field(default_factory=breaker)
    children: list[ChildProcess] = field(default_factory=list)
    answers: dict[str, list[dict[str, Any]]] | None = None
    orders: list[tuple[str, str]] = field(default_factory=list)
    shadow_rows: list[dict[str, Any]] = field(default_factory=lambda: [{"experiment": "nano", "status": "running"}])
    shadow_orders: list[tuple[str, str, int | None]] = field(default_factory=list)
    shadow_works: bool = True
    health_works: bool = True
    broker_answers: bool = True
    is_ready: bool = True
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)

    async def order(self, endpoint: str, word: str) -> None:
        if word not in ("open", "close", "auto"):
            raise UnknownOrder(word)
        if endpoint != ENDPOINT:
            raise UnknownEndpoint(endpoint)
        if not self.health_works:
            raise NoAnswer("health does not run")
        self.orders.append((endpoint, word))
        self.row = breaker("open" if word == "open" else "closed", forced=word != "auto")

    async def order_shadow(self, name: str, word: str, from_ms: int | None) -> None:
        if word not in ("start", "stop"):
            raise UnknownOrder(word)
        if name != "nano":
            raise UnknownExperiment(name)
        if not self.shadow_works:
            raise NoAnswer("shadow does not run")
        self.shadow_orders.append((name, word, from_ms))

    async def explain(self, request_id: str, tenant: str | None) -> dict[str, Any] | None:
        if not self.broker_answers:
            raise NoAnswer("the broker does not answer")
        return DOCUMENT if request_id == "r-1" and tenant in (None, "acme") else None

    async def dead_letters(self) -> list[dict[str, Any]]:
        if not self.broker_answers:
            raise NoAnswer("the broker does not answer")
        return [{"partition": 0, "offset": 7, "reason": "invalid_json"}]

    async def ask(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        self.asked.append((sql, parameters))
        if self.answers is None:
            raise NoAnswer("ConnectError")
        return next(rows for mark, rows in self.answers.items() if mark in sql)

    async def report(self, name: str) -> dict[str, Any] | None:
        if self.answers is None:
            raise NoAnswer("ConnectError")
        return self.reports.get(name)

    async def plots(self, name: str) -> dict[str, Any]:
        if self.answers is None:
            raise NoAnswer("ConnectError")
        return self.columns

    def desk(self) -> Desk:
        return Desk(
            breakers=lambda: [self.row],
            order=self.order,
            shadows=lambda: self.shadow_rows,
            order_shadow=self.order_shadow,
            explain=self.explain,
            dead_letters=self.dead_letters,
            config=lambda: {"catalog": "abc", "routes": {}, "models": {}, "tenants": ["acme"]},
            tenants=lambda: ["acme"],
            children=lambda: self.children,
            replays=lambda: [REPLAY],
            replay=lambda run_id: REPLAY if run_id == REPLAY["run_id"] else None,
            ask=self.ask,
            experiments=lambda: self.experiments,
            report=self.report,
            plots=self.plots,
            is_ready=lambda: self.is_ready,
        )


@asynccontextmanager
async def surface(memory: Memory, access: Access | None = None) -> AsyncIterator[httpx.AsyncClient]:
    runner = await serve(memory.desk(), access or Access(), 0)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}", trust_env=False) as client:
            yield client
    finally:
        await runner.cleanup()


@asynccontextmanager
async def child(page: str, stage: str, instance: int = 0) -> AsyncIterator[ChildProcess]:
    """A process whose /metrics says this."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = page.encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield ChildProcess(stage, instance, server.sockets[0].getsockname()[1])
