"""The table of experiments, and orders."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.operations import shadows
from pipeline.operations.shadows import NotConfirmed, ShadowBoard, order
from schemas.catalog import Catalog
from schemas.codec import decode, encode
from schemas.events import ShadowOrder, ShadowProgress
from tests.unit.core.shadow_builder import catalog


def _order(run: int, *, is_running: bool = True) -> Any:
    return SimpleNamespace(topic="llm.shadows.v1", value=encode(ShadowOrder("try-new", is_running, run, 1)))


def _progress(run: int, **said: Any) -> Any:
    value = encode(ShadowProgress("try-new", run, "running", 1, **said))
    return SimpleNamespace(topic="llm.shadow-progress.v1", value=value)


def _catalog() -> Catalog:
    row = {"name": "try-new", "model": "new", "budget": {"usd": 1.5}}
    return Catalog.model_validate({**catalog().model_dump(mode="json"), "shadows": [row]})


def test_a_row_says_what_the_stage_said_last() -> None:
    board = ShadowBoard()
    assert board.rows(_catalog())[0]["status"] == "unknown"
    board.heard(_progress(1, pairs=3, skipped={"budget": 2}, spent_nano_usd=7, accepted_at=1_000))
    board.heard(SimpleNamespace(topic="llm.shadows.v1", value=b"broken"))
    (row,) = board.rows(_catalog())
    assert (row["status"], row["pairs"], row["skipped"], row["sampled"]) == ("running", 3, {"budget": 2}, 5)
    assert row["budget"] == {"per": "day", "spent_nano_usd": 7, "limit_nano_usd": 1_500_000_000}
    assert row["accepted_until"] == "1970-01-01T00:00:01.000Z"


def test_orders_are_numbered_on() -> None:
    board = ShadowBoard()
    assert board.next_run("try-new") == 1
    board.heard(_order(4))
    board.heard(_order(2, is_running=False))
    assert board.orders["try-new"].is_running
    assert board.next_run("try-new") == 5


async def test_an_order_returns_when_the_stage_says_its_number() -> None:
    board, sent = ShadowBoard(), asyncio.Event()
    given: list[ShadowOrder] = []

    async def deliver(_topic: str, value: bytes, **_: Any) -> None:
        said = decode(ShadowOrder, value)
        assert isinstance(said, ShadowOrder)
        given.append(said)
        sent.set()

    ordering = asyncio.ensure_future(
        order(board, deliver, "llm.shadows.v1", experiment="try-new", is_running=True, from_ms=5)
    )
    await sent.wait()
    board.heard(_progress(0))
    await asyncio.sleep(0)
    assert not ordering.done()
    board.heard(_progress(1))
    await ordering
    assert (given[0].run, given[0].is_running, given[0].from_at) == (1, True, 5)


async def test_an_order_that_no_stage_carries_out_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deliver(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(shadows, "CONFIRMED_S", 0.01)
    with pytest.raises(NotConfirmed, match="does one run"):
        await order(ShadowBoard(), deliver, "llm.shadows.v1", experiment="try-new", is_running=False)
