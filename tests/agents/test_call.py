"""The call stage without broker and provider."""

import asyncio
from types import SimpleNamespace
from typing import Any

from pipeline.agents.call import DRAIN_S, CallStage
from pipeline.agents.sensing import Sensing
from pipeline.agents.slots import Slots
from pipeline.stage import Assigned, Batch
from schemas.catalog import Timeouts
from schemas.catalog.guards import Breaker
from schemas.codec import encode
from schemas.events import Attempt
from schemas.roles import Lane
from tests.agents.fakes import NOW, FakeApp, FakeEmit, make_call, make_record, make_tools


class RaisingDriver:
    async def complete(self, *_: Any, **__: Any) -> Any:
        raise KeyError("a mistake of an adapter")


class HangingDriver:
    """Never answers; `asked` is set once somebody waits."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def complete(self, *_: Any, **__: Any) -> Any:
        self.asked.set()
        await asyncio.Event().wait()


def make_stage(
    driver: Any, *, max_in_flight: int = 1, lane: Lane = "interactive"
) -> tuple[CallStage, FakeApp, FakeEmit]:
    app, emit = FakeApp(), FakeEmit()
    providers = {"sim": SimpleNamespace(timeouts=Timeouts())}
    catalog = SimpleNamespace(providers=providers, breaker=Breaker(), places=lambda provider, lane: max_in_flight)
    loaded = SimpleNamespace(catalog=catalog)
    tools = make_tools(loaded=loaded)
    return CallStage(tools, emit, app, {"sim": driver}, Sensing(tools, emit), lane), app, emit  # type: ignore[arg-type]


def batch(*offsets: int) -> Batch:
    return Batch("llm.calls.sim.v1", 0, [make_record(offset, encode(make_call(offset))) for offset in offsets])


async def ended(stage: CallStage) -> None:
    await asyncio.gather(*(flight.task for flight in stage._in_flight.values() if flight.task))


async def test_an_adapter_that_raises_is_a_failed_attempt_and_not_the_end_of_the_process() -> None:
    stage, app, emit = make_stage(RaisingDriver())
    await stage.handle(batch(1))
    await ended(stage)
    started, finished = emit.attempts
    assert (started.phase, finished.phase, finished.result) == ("started", "finished", "error")
    assert finished.error is not None
    assert (finished.error.kind, finished.error.code) == ("provider_fault", "internal")
    assert app.acked == [("llm.calls.sim.v1", 0, 1)]
    assert app.failures == []


async def test_what_may_have_been_delivered_before_is_given_back_and_not_executed() -> None:
    stage, app, emit = make_stage(RaisingDriver())
    await app.on_assigned({("llm.calls.sim.v1", 0): Assigned(end=2, committed=1)})
    await stage.handle(batch(1))
    assert [attempt.phase for attempt in emit.attempts] == ["returned"]
    assert app.acked == [("llm.calls.sim.v1", 0, 1)]


async def test_a_call_that_is_revoked_is_kept_and_goes_on() -> None:
    driver = HangingDriver()
    stage, app, emit = make_stage(driver)
    await stage.handle(batch(1))
    await driver.asked.wait()
    await app.on_revoked({("llm.calls.sim.v1", 0)})
    assert [attempt.phase for attempt in emit.attempts] == ["started", "kept"]
    assert stage.in_flight() == {"sim": 1}
    stage.cancel(make_record(0, topic="llm.cancels.v1", request_id="r1", tenant="main"))
    await ended(stage)


async def test_a_cancel_closes_the_upstream_and_is_booked() -> None:
    driver = HangingDriver()
    stage, app, emit = make_stage(driver)
    await stage.handle(batch(1))
    await driver.asked.wait()
    stage.cancel(make_record(0, topic="llm.cancels.v1", request_id="r1", tenant="main"))
    await ended(stage)
    assert [attempt.result for attempt in emit.attempts] == [None, "cancelled"]
    assert len(app.acked) == 1


async def test_an_experiment_takes_back_what_it_has_ordered_and_may_order_anew() -> None:
    stage, app, emit = make_stage(RaisingDriver(), max_in_flight=4, lane="bulk")
    stage.cancel(make_record(0, topic="llm.cancels.v1", request_id="r1", tenant="main"))
    calls = [
        make_call(1, attempt_id=f"{role}-{late}", role=role, routed_at=NOW + late)
        for role in ("shadow", "primary")
        for late in (0, 1)
    ]
    records = [make_record(offset, encode(call)) for offset, call in enumerate(calls)]
    await stage.handle(Batch("llm.calls.sim.bulk.v1", 0, records))
    await asyncio.gather(*app.spawned)
    await ended(stage)
    results = {attempt.attempt_id: attempt.result for attempt in emit.attempts if attempt.phase == "finished"}
    assert results == {
        "shadow-0": "cancelled", "shadow-1": "error", "primary-0": "cancelled", "primary-1": "cancelled",
    }  # fmt: skip


async def test_what_an_experiment_has_begun_goes_on_though_it_is_taken_back(monkeypatch: Any) -> None:
    monkeypatch.setitem(DRAIN_S, "bulk", 0.01)
    driver = HangingDriver()
    stage, _, emit = make_stage(driver, max_in_flight=2, lane="bulk")
    calls = [make_call(number, attempt_id=role, role=role) for number, role in enumerate(("shadow", "primary"))]
    await stage.handle(
        Batch("llm.calls.sim.bulk.v1", 0, [make_record(n, encode(call)) for n, call in enumerate(calls)])
    )
    await driver.asked.wait()
    for number in (0, 1):
        stage.cancel(make_record(0, topic="llm.cancels.v1", request_id=f"r{number}", tenant="main"))
    primary = stage._in_flight["primary"].task
    assert primary is not None
    await primary
    assert [(attempt.role, attempt.result) for attempt in emit.attempts[2:]] == [("primary", "cancelled")]
    assert list(stage._in_flight) == ["shadow"]
    await stage.drain()


async def test_a_draining_stage_takes_no_more_and_acks_nothing_it_did_not_take(monkeypatch: Any) -> None:
    monkeypatch.setitem(DRAIN_S, "interactive", 0.01)
    driver = HangingDriver()
    stage, app, emit = make_stage(driver)
    taking = asyncio.create_task(stage.handle(batch(1, 2)))
    await driver.asked.wait()
    await stage.drain()
    await taking
    assert [attempt.request_id for attempt in emit.attempts] == ["r1", "r1"]
    assert emit.attempts[-1].error is not None
    assert emit.attempts[-1].error.code == "handed_over"
    assert app.acked == [("llm.calls.sim.v1", 0, 1)]


async def test_of_the_places_at_a_provider_a_process_has_the_share_of_its_partitions() -> None:
    stage, app, _ = make_stage(HangingDriver(), max_in_flight=6)
    for partitions, places in (((0, 1), 6), ((1,), 3)):
        await app.on_assigned({("llm.calls.sim.v1", number): Assigned(end=0, committed=0) for number in partitions})
        assert stage._slots["sim"].places == places


async def test_of_the_bulk_lane_it_counts_the_partitions_of_that() -> None:
    stage, app, _ = make_stage(HangingDriver(), max_in_flight=6, lane="bulk")
    await app.on_assigned({("llm.calls.sim.bulk.v1", 0): Assigned(end=0, committed=0)})
    assert stage._slots["sim"].places == 3


async def test_in_the_bulk_lane_nothing_that_waits_for_a_place_holds_up_what_comes() -> None:
    driver = HangingDriver()
    stage, app, emit = make_stage(driver, lane="bulk")
    async with asyncio.timeout(5):
        await stage.handle(batch(1, 2, 2))  # one place: the second waits for it, and its copy
    for request_id in ("r1", "r2"):
        await driver.asked.wait()
        driver.asked.clear()
        assert stage.in_flight() == {"sim": 1}
        flight = next(iter(stage._in_flight.values()))
        stage.cancel(make_record(0, topic="llm.cancels.v1", request_id=request_id, tenant="main"))
        assert flight.task is not None
        await flight.task
    await asyncio.gather(*app.spawned)
    assert [attempt.request_id for attempt in emit.attempts if attempt.phase == "started"] == ["r1", "r2"]
    assert stage._slots["sim"].taken == 0
    assert len(app.acked) == 3


async def test_a_place_is_free_once_the_provider_has_answered_though_the_log_does_not_know_yet() -> None:
    stage, _, emit = make_stage(RaisingDriver())
    both_answered, written = asyncio.Event(), asyncio.Event()

    async def attempt(event: Attempt, _: str) -> None:
        emit.attempts.append(event)
        if event.phase == "finished":
            if len(emit.attempts) == 4:
                both_answered.set()
            await written.wait()

    emit.attempt = attempt  # type: ignore[method-assign]
    await stage.handle(batch(1, 2))  # one place: the second waits for it
    await both_answered.wait()
    assert stage.in_flight() == {"sim": 2}
    written.set()
    await ended(stage)
    assert stage._slots["sim"].taken == 0


async def test_a_place_is_given_once_fewer_are_taken_than_there_are() -> None:
    slots = Slots(lambda: 2)
    await slots.take()
    await slots.take()
    slots.share(1, 2)
    waiting = asyncio.ensure_future(slots.take())
    slots.release()
    await asyncio.sleep(0)
    assert not waiting.done()
    slots.release()
    await waiting
    assert slots.taken == 1


async def test_places_follow_the_catalogue_but_not_into_one_that_has_lost_the_provider() -> None:
    stage, _, _ = make_stage(HangingDriver(), max_in_flight=6)
    loaded = stage._tools.loaded
    loaded.catalog = SimpleNamespace(providers=loaded.catalog.providers, places=lambda provider, lane: 4)  # type: ignore[misc]
    assert stage._slots["sim"].places == 4
    loaded.catalog = SimpleNamespace(providers={}, places=None)  # type: ignore[misc]
    assert stage._slots["sim"].places == 6
