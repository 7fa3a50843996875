"""Calls of an experiment wait for places, and give them back, whatever becomes of them."""

import asyncio
from types import SimpleNamespace
from typing import Any

from pipeline.agents.mirror_calls import MirrorCalls
from pipeline.core.shadowing import Budget, Forward, Leg, Pair, Plan, admit
from schemas.events import Attempt, Call
from tests.agents.fakes import make_tools
from tests.unit.core.shadow_builder import NOW, catalog, event, request, response, row, situation


def pair() -> tuple[Pair, Leg]:
    """Its primary has its outcome."""
    asked = request()
    plan = admit(row(), asked, catalog(), situation(), Budget(10**12, "day"))
    assert isinstance(plan, Plan)
    found = Pair("try-new", asked, plan, "none")
    (step,) = found.primary_came(response(), NOW)
    assert isinstance(step, Forward)
    return found, step.leg


def taken_back(leg: Leg) -> Attempt:
    found = event(leg, "finished", code="cancelled")
    found.result = "cancelled"
    return found


async def test_a_call_that_was_taken_back_leaves_its_place_to_others() -> None:
    ordered: asyncio.Queue[Call] = asyncio.Queue()
    emit: Any = SimpleNamespace(call=ordered.put)
    under_way: dict[str, str] = {}
    tools = make_tools(loaded=SimpleNamespace(catalog=catalog()), now_ms=lambda: NOW)
    calls = MirrorCalls(tools, emit, "try-new", None, under_way)  # type: ignore[arg-type]
    asked, leg = pair()
    calls.open()
    running = asyncio.create_task(calls.run())
    seen = []
    for _ in range(3):
        calls.want(asked, leg)
        calls.note(asked)
        seen.append((await ordered.get()).attempt_id)
        assert list(under_way) == seen[-1:]
        asked.heard(taken_back(leg), NOW)
        calls.note(asked)
        assert under_way == {}
    assert len(set(seen)) == 3
    running.cancel()


async def test_a_model_that_a_reload_removed_is_not_called_and_ends_nothing() -> None:
    ordered: asyncio.Queue[Call] = asyncio.Queue()
    emit: Any = SimpleNamespace(call=ordered.put)
    gone = catalog().model_copy(update={"models": {}})
    loaded = SimpleNamespace(catalog=gone)
    calls = MirrorCalls(make_tools(loaded=loaded, now_ms=lambda: NOW), emit, "try-new", None, {"a": "new"})  # type: ignore[arg-type]
    asked, leg = pair()
    calls.open()
    running = asyncio.create_task(calls.run())
    calls.want(asked, leg)
    calls.note(asked)
    await asyncio.sleep(0)
    assert not running.done() and ordered.empty()
    loaded.catalog = catalog()
    calls.note(asked)
    assert (await ordered.get()).attempt_id == leg.attempt_id
    running.cancel()
