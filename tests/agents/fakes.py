"""A stage without a broker: what was emitted and acked stands in lists."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from connectors.kafka.producers import Delivered
from pipeline.tools import Tools
from schemas import headers as h
from schemas.events import Attempt, Call, Delta, Price, Response, RouteInfo

NOW = 1_000_000


@dataclass
class FakeApp:
    """Stands for `StageApp`: acks in a list, tasks and their failures too."""

    acked: list[tuple[str, int, int]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    spawned: list["asyncio.Future[None]"] = field(default_factory=list)
    on_assigned: Any = None
    on_revoked: Any = None

    def ack(self, topic: str, partition: int, offset: int) -> None:
        self.acked.append((topic, partition, offset))

    def spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.spawned.append(task)
        task.add_done_callback(self.watch)

    def watch(self, task: Any) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.failures.append(task.exception())


@dataclass
class FakeEmit:
    attempts: list[Attempt] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    dead: list[tuple[str, str]] = field(default_factory=list)
    deltas: list[Delta] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    async def attempt(self, event: Attempt, key: str) -> None:
        self.attempts.append(event)
        self.order.append(event.phase)

    async def response(self, event: Response, key: str) -> Delivered:
        self.responses.append(event)
        return Delivered("llm.responses.v1", 0, len(self.responses) - 1, NOW)

    async def delta(self, event: Delta) -> None:
        """Slow, as a broker may be: what comes meanwhile has to wait."""
        await asyncio.sleep(0)
        self.deltas.append(event)
        self.order.append("delta")

    async def dead_letter(self, stage: str, record: Any, reason: str, detail: str) -> None:
        self.dead.append((stage, reason))


class FakeScanner:
    """Partitions as lists of records; `gate`, where given, holds each read until it is set. `reads` counts."""

    def __init__(self, gate: Any = None) -> None:
        self.logs: defaultdict[tuple[str, int], list[Any]] = defaultdict(list)
        self.gate, self.reads, self.begun = gate, 0, asyncio.Event()

    async def read(self, topic: str, partition: int, *, since_ms: int | None = None) -> AsyncIterator[Any]:
        self.reads += 1
        self.begun.set()
        records = list(self.logs[topic, partition])
        if self.gate is not None:
            await self.gate.wait()
        for record in records:
            if since_ms is None or record.timestamp >= since_ms:
                yield record


def make_tools(**parts: Any) -> Tools:
    """Only what a test needs; anything else is missing, loudly."""
    known = {
        "topic": lambda name: "llm." + name,
        "now_ms": lambda: NOW,
        "worker": "w1",
        "metrics": SimpleNamespace(count=lambda *_, **__: None, observe=lambda *_, **__: None),
    }
    return SimpleNamespace(**(known | parts))  # type: ignore[return-value]


def make_record(offset: int, value: bytes = b"x", *, topic: str = "llm.calls.sim.v1", **headers: str) -> Any:
    return SimpleNamespace(
        topic=topic, partition=0, offset=offset, value=value, key=b"main", timestamp=NOW, headers=h.build(**headers)
    )


def make_call(number: int = 1, **changes: Any) -> Call:
    facts: dict[str, Any] = {
        "request_id": f"r{number}", "tenant": "main", "partition_key": "main", "attempt": 1, "attempt_id": f"a{number}",
        "role": "primary", "provider": "sim", "model": "m", "upstream": "m", "region": "us", "operation": "chat",
        "stream": False, "deadline_at": NOW + 60_000, "accepted_at": NOW, "routed_at": NOW, "price": Price("v"),
        "route": RouteInfo(), "body": b'{"messages": []}',
    }  # fmt: skip
    return Call(**(facts | changes))
