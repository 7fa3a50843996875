"""The table of breakers, and orders."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.operations import breakers
from pipeline.operations.breakers import BreakerBoard, NotCarriedOut, order
from schemas.codec import decode, encode
from schemas.events import Breaker, Signal

NAME = "sim/m/us"


def record(breaker: Breaker) -> Any:
    return SimpleNamespace(value=encode(breaker))


def test_the_higher_epoch_wins_and_the_never_called_are_closed() -> None:
    board = BreakerBoard()
    board.heard(record(Breaker(NAME, "open", 2, since=1_000)))
    board.heard(record(Breaker(NAME, "closed", 1)))
    board.heard(SimpleNamespace(value=b"broken"))
    rows = {row["endpoint"]: row for row in board.rows([NAME, "sim/other/us"])}
    assert (rows[NAME]["state"], rows[NAME]["since"]) == ("open", "1970-01-01T00:00:01.000Z")
    assert (rows["sim/other/us"]["state"], rows["sim/other/us"]["since"]) == ("closed", None)


async def test_an_order_returns_when_it_is_carried_out() -> None:
    board, sent = BreakerBoard(), asyncio.Event()
    signals: list[Signal] = []

    async def deliver(_topic: str, value: bytes, **_: Any) -> None:
        signal = decode(Signal, value)
        assert isinstance(signal, Signal)
        signals.append(signal)
        sent.set()

    giving = asyncio.create_task(order(board, deliver, "signals", endpoint=NAME, forced="open", operator="ann"))
    await sent.wait()
    board.heard(record(Breaker(NAME, "open", 1)))
    await asyncio.sleep(0)
    assert not giving.done()
    board.heard(record(Breaker(NAME, "open", 2, forced=True)))
    await giving
    assert [(signal.endpoint, signal.forced, signal.worker) for signal in signals] == [(NAME, "open", "operator-ann")]


@pytest.mark.parametrize("hangs", [True, False], ids=["broker", "health"])
async def test_an_order_that_nobody_carries_out_ends(monkeypatch: pytest.MonkeyPatch, hangs: bool) -> None:
    monkeypatch.setattr(breakers, "CARRIED_OUT_S", 0.01)

    async def deliver(*_: Any, **__: Any) -> None:
        if hangs:
            await asyncio.Event().wait()

    with pytest.raises(NotCarriedOut):
        await order(BreakerBoard(), deliver, "signals", endpoint=NAME, forced="closed", operator="ann")
