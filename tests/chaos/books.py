"""Everything that the topics say of requests, by request id: pieces, attempts, ledger, outcome."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from schemas.codec import decode
from schemas.events import Attempt, Cost, Delta, Response

TOPICS: dict[str, type] = {
    "llm.deltas.v1": Delta, "llm.attempts.v1": Attempt, "llm.costs.v1": Cost, "llm.responses.v1": Response,
}  # fmt: skip


@dataclass(slots=True)
class Books:
    """What the topics say of one request; the first outcome is the one that counts. `lines`: of the ledger, copies too."""

    deltas: list[Delta] = field(default_factory=list)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    response: Response | None = None
    lines: int = 0

    def take(self, event: Any) -> None:
        match event:
            case Delta(kind="chunk"):
                self.deltas.append(event)
            case Attempt(phase="finished"):
                self.attempts.setdefault(event.attempt_id, event)
            case Cost():
                self.lines += 1
                known = self.costs.setdefault(event.attempt_id, event)
                assert (known.cost_id, known.cost_nano_usd) == (event.cost_id, event.cost_nano_usd)
            case Response():
                self.response = self.response or event

    @property
    def is_complete(self) -> bool:
        if self.response is None or len(self.attempts) < self.response.attempts:
            return False
        return self.attempts.keys() == self.costs.keys()

    def said(self, attempt: int) -> str:
        pieces = [piece for delta in self.deltas if delta.attempt == attempt for piece in orjson.loads(delta.data)]
        return "".join(piece.get("content") or "" for piece in pieces)


@contextlib.asynccontextmanager
async def books_of(kafka: str) -> AsyncIterator[tuple[defaultdict[str, Books], asyncio.Event]]:
    found: defaultdict[str, Books] = defaultdict(Books)
    changed = asyncio.Event()
    consumer = AIOKafkaConsumer(*TOPICS, bootstrap_servers=kafka, auto_offset_reset="earliest", group_id=None)

    async def read() -> None:
        async for record in consumer:
            event: Any = decode(TOPICS[record.topic], record.value)
            found[event.request_id].take(event)
            changed.set()

    await consumer.start()
    reading = asyncio.create_task(read())
    try:
        yield found, changed
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await consumer.stop()


async def complete(
    found: defaultdict[str, Books], changed: asyncio.Event, wanted: set[str], *, timeout_s: float = 30
) -> None:
    missing = wanted
    try:
        async with asyncio.timeout(timeout_s):
            while missing := {request_id for request_id in missing if not found[request_id].is_complete}:
                changed.clear()
                await changed.wait()
    except TimeoutError:
        raise AssertionError({request_id: found[request_id] for request_id in list(missing)[:3]}) from None
