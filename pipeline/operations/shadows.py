"""Experiments for people: how far each is, live; orders to start, stop and rewind.

`shadow-progress.v1` -> rows; orders -> `shadows.v1`.

An order is carried out when the stage `shadow` says so, with its number.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from connectors.kafka.tail import Tail
from pipeline.operations.events import rfc3339
from pipeline.operations.experiments import Facts
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t
from schemas.avro_schema import schema_name
from schemas.catalog import Catalog
from schemas.catalog.policies import Shadow
from schemas.codec import decode, encode
from schemas.events import ShadowOrder, ShadowProgress

__all__ = ["NotConfirmed", "ShadowBoard", "board_of", "order"]

CONFIRMED_S: Final = 15.0

Deliver = Callable[..., Awaitable[Any]]


class NotConfirmed(Exception):
    """The order stands, and nobody has carried it out in time."""


class ShadowBoard:
    """The last order and the last word of the stage per experiment, fed by a tail of both topics."""

    def __init__(self) -> None:
        self.orders: dict[str, ShadowOrder] = {}
        self.progress: dict[str, ShadowProgress] = {}
        self._changed = asyncio.Event()

    def heard(self, record: Any) -> None:
        """A record of either topic."""
        if record.topic.endswith(t.SHADOWS.name):
            order = decode(ShadowOrder, record.value)
            if isinstance(order, ShadowOrder) and order.run >= self._run(order.experiment):
                self.orders[order.experiment] = order
        elif isinstance(progress := decode(ShadowProgress, record.value), ShadowProgress):
            self.progress[progress.experiment] = progress
            self._changed.set()

    def rows(self, catalog: Catalog) -> list[dict[str, Any]]:
        """Of the experiments of the catalogue, in its order."""
        return [self._row(row) for row in catalog.shadows]

    def now(self, facts: Facts) -> Facts:
        """What the catalogue says, with what the stage says of it."""
        known = self.progress.get(facts.name) if facts.kind == "shadow" else None
        return facts if known is None else replace(facts, status=known.state)

    def next_run(self, experiment: str) -> int:
        return self._run(experiment) + 1

    async def until_confirmed(self, experiment: str, run: int) -> None:
        while (known := self.progress.get(experiment)) is None or known.run < run:
            self._changed.clear()
            await self._changed.wait()

    def _run(self, experiment: str) -> int:
        orders, known = self.orders.get(experiment), self.progress.get(experiment)
        return max(orders.run if orders else 0, known.run if known else 0)

    def _row(self, row: Shadow) -> dict[str, Any]:
        """`status` until the stage has said anything: unknown."""
        known = self.progress.get(row.name)
        skipped = known.skipped if known else {}
        return {
            "experiment": row.name,
            "status": known.state if known else "unknown",
            "ended_by": known.ended_by if known else None,
            "model": row.model,
            "judge": row.judge,
            "pairs": known.pairs if known else 0,
            "skipped": skipped,
            "sampled": (known.pairs if known else 0) + sum(skipped.values()),
            "budget": {
                "per": row.budget.per,
                "spent_nano_usd": known.spent_nano_usd if known else 0,
                "limit_nano_usd": row.budget.limit_nano_usd,
            },
            "accepted_until": rfc3339(known.accepted_at) if known and known.accepted_at else None,
            "run": known.run if known else 0,
        }


@asynccontextmanager
async def board_of(where: Connection) -> AsyncIterator[ShadowBoard]:
    """A board that knows everything that was written before."""
    board = ShadowBoard()
    topics = [where.topic(t.SHADOWS.name), where.topic(t.SHADOW_PROGRESS.name)]
    tail = Tail(where.bootstrap, topics, board.heard, since_ms=0, security=where.client_options)
    await tail.start()
    try:
        await tail.caught_up.wait()
        yield board
    finally:
        await tail.stop()


async def order(
    board: ShadowBoard, deliver: Deliver, topic: str, *, experiment: str, is_running: bool, from_ms: int | None = None
) -> None:
    """Give it, and return when it is carried out.

    Args:
        board: Where that is seen.
        deliver: `Producers.deliver`.
        topic: `shadows`, by its full name.
        experiment: One of the catalogue's.
        is_running: Start or stop.
        from_ms: Go back to what was accepted then; None: go on.

    Raises:
        NotConfirmed: The order stands, and is carried out when the stage `shadow` is back.
    """
    run = board.next_run(experiment)
    given = ShadowOrder(experiment, is_running, run, time.time_ns() // 1_000_000, from_ms)
    headers = h.build(experiment=experiment, schema=schema_name("shadow-order"))
    try:
        async with asyncio.timeout(CONFIRMED_S):
            await deliver(topic, encode(given), key=experiment.encode(), headers=headers)
            await board.until_confirmed(experiment, run)
    except TimeoutError:
        raise NotConfirmed("the order stands, but no stage `shadow` has carried it out yet; does one run?") from None
