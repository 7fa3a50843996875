"""Breakers for people: the table of all endpoints, live, and orders to hold one. `breakers.v1` -> rows; orders -> `signals.v1`.

An order is a signal like any other; it is carried out when the stage `health` says so on `breakers.v1`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from connectors.kafka.tail import Tail
from pipeline.operations.events import plain
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t
from schemas.avro_schema import schema_name
from schemas.codec import decode, encode
from schemas.events import Breaker, Signal

__all__ = ["ORDERS", "BreakerBoard", "NotCarriedOut", "board_of", "order"]

ORDERS: Final[Mapping[str, str]] = {"open": "open", "close": "closed", "auto": "auto"}
"""What an operator says, and what the signal then says."""

CARRIED_OUT_S: Final = 10.0

Deliver = Callable[..., Awaitable[Any]]


class NotCarriedOut(Exception):
    """The order was sent, and nobody did it in time."""


class BreakerBoard:
    """The record of the highest epoch per endpoint, fed by a tail of `breakers.v1`."""

    def __init__(self) -> None:
        self.breakers: dict[str, Breaker] = {}
        self._changed = asyncio.Event()

    def heard(self, record: Any) -> None:
        breaker = decode(Breaker, record.value)
        if not isinstance(breaker, Breaker):
            return
        if breaker.epoch >= self.breakers.get(breaker.endpoint, breaker).epoch:
            self.breakers[breaker.endpoint] = breaker
            self._changed.set()

    def rows(self, endpoints: Iterable[str] = ()) -> list[dict[str, Any]]:
        """By endpoint; those of `endpoints` that were never called are closed. Times as RFC 3339."""
        known = {endpoint: Breaker(endpoint) for endpoint in endpoints} | self.breakers
        return [_row(known[endpoint]) for endpoint in sorted(known)]

    async def until_carried_out(self, endpoint: str, forced: str) -> None:
        while not _is_carried_out(self.breakers.get(endpoint, Breaker(endpoint)), forced):
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def board_of(where: Connection) -> AsyncIterator[BreakerBoard]:
    """A board that knows everything that was written before."""
    board = BreakerBoard()
    tail = Tail(where.bootstrap, [where.topic(t.BREAKERS.name)], board.heard, since_ms=0, security=where.client_options)
    await tail.start()
    try:
        await tail.caught_up.wait()
        yield board
    finally:
        await tail.stop()


async def order(
    board: BreakerBoard, deliver: Deliver, topic: str, *, endpoint: str, forced: str, operator: str
) -> None:
    """Send it, and return when it is carried out.

    Args:
        board: Where that is seen.
        deliver: `Producers.deliver`.
        topic: `signals`, by its full name.
        endpoint: One of the catalogue's.
        forced: A value of ORDERS.
        operator: Who gives it; for the record.

    Raises:
        NotCarriedOut: The order may still be, when `health` is back.
    """
    signal = Signal(endpoint, f"operator-{operator}", time.time_ns() // 1_000_000, forced=forced)
    headers = h.build(schema=schema_name("signal"))
    try:
        async with asyncio.timeout(CARRIED_OUT_S):
            await deliver(topic, encode(signal), key=endpoint.encode(), headers=headers)
            await board.until_carried_out(endpoint, forced)
    except TimeoutError:
        raise NotCarriedOut("the order was sent, but the stage `health` has not carried it out; does it run?") from None


def _is_carried_out(breaker: Breaker, forced: str) -> bool:
    return breaker.forced == (forced != "auto") and forced in ("auto", breaker.state)


def _row(breaker: Breaker) -> dict[str, Any]:
    """An endpoint that was never called has no times."""
    row: dict[str, Any] = plain(breaker)
    return row | {name: None for name in ("since", "at") if not getattr(breaker, name)}
