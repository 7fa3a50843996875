"""health with fakes: what it writes, in which order, and what it knows after a takeover."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.agents.health import HealthStage
from pipeline.stage import Assigned, Batch
from schemas.catalog import Catalog
from schemas.codec import encode
from schemas.events import Breaker, Call, Signal
from tests.agents.fakes import NOW, FakeApp, FakeScanner, make_record, make_tools

TOPIC = "llm.signals.v1"
ENDPOINT, OTHER = "sim/a/us", "sim/b/us"
RATES = {"input_per_mtok_usd": 1, "output_per_mtok_usd": 2}
CATALOG = Catalog.model_validate(
    {
        "version": 1,
        "providers": {"sim": {"adapter": "openai", "base_url": "http://127.0.0.1:1/v1", "region": "us"}},
        "models": {"a": {"provider": "sim", "price": RATES}, "b": {"provider": "sim", "price": RATES}},
        "tenants": {"t": {}},
    }
)


class FakeEmit:
    def __init__(self, app: FakeApp) -> None:
        self.said: list[Any] = []
        self.acked_before: list[int] = []
        self._app = app

    async def breaker(self, event: Breaker) -> None:
        self.said.append(event)
        self.acked_before.append(len(self._app.acked))

    async def call(self, event: Call) -> None:
        self.said.append(event)

    async def dead_letter(self, stage: str, record: Any, reason: str, detail: str) -> None:
        self.said.append((stage, reason))


def make_stage(now: list[int] | None = None) -> tuple[HealthStage, FakeApp, FakeEmit, FakeScanner]:
    app, scanner = FakeApp(), FakeScanner()
    emit = FakeEmit(app)
    metrics = SimpleNamespace(set=lambda *_, **__: None)
    clock = now or [NOW]
    tools = make_tools(
        loaded=SimpleNamespace(catalog=CATALOG), scanner=scanner, metrics=metrics, now_ms=lambda: clock[0]
    )
    return HealthStage(tools, emit, app), app, emit, scanner  # type: ignore[arg-type]


def signals(*said: Signal) -> Batch:
    return Batch(TOPIC, 0, [make_record(at, encode(signal), topic=TOPIC) for at, signal in enumerate(said)])


def failing(endpoint: str = ENDPOINT, at: int = NOW, kind: str = "provider_fault", count: int = 5) -> Signal:
    return Signal(endpoint, "w1", at, errors={kind: count}, consecutive=count)


def known(stage: HealthStage) -> list[tuple[str, int]]:
    return [(judge.breaker.state, judge.breaker.epoch) for judge in stage._judges.values()]


async def test_a_transition_is_written_before_the_signal_that_caused_it_is_acked() -> None:
    stage, app, emit, _ = make_stage()
    await stage.handle(signals(failing()))
    assert [(said.endpoint, said.state) for said in emit.said] == [(ENDPOINT, "open")]
    assert emit.acked_before == [0]
    assert app.acked == [(TOPIC, 0, 0)]


async def test_a_refused_credential_takes_out_the_endpoints_of_its_provider() -> None:
    stage, _, emit, _ = make_stage()
    await stage.handle(signals(Signal(OTHER, "w1", NOW, ok=1), failing(kind="auth", count=1)))
    assert {(said.endpoint, said.state) for said in emit.said} == {(ENDPOINT, "open"), (OTHER, "open")}


async def test_a_refused_credential_takes_out_an_endpoint_that_nobody_has_called_yet() -> None:
    stage, _, emit, _ = make_stage()
    await stage.handle(signals(failing(kind="auth", count=1)))
    assert [(said.endpoint, said.state) for said in emit.said] == [(ENDPOINT, "open"), (OTHER, "open")]


async def test_after_its_rest_one_probe_goes_to_the_model_of_the_endpoint() -> None:
    now = [NOW]
    stage, _, emit, _ = make_stage(now)
    await stage.handle(signals(failing()))
    (judge,) = stage._judges.values()
    now[0] = judge.due_ms() or 0
    await stage._do(judge, judge.tick(now[0]))
    probe = emit.said[-1]
    assert isinstance(probe, Call)
    assert (probe.role, probe.tenant, probe.model, probe.max_tokens) == ("probe", "_platform", "a", 16)
    assert emit.said[-2].state == "half_open"


async def test_a_taker_over_goes_on_from_the_table() -> None:
    stage, _, emit, scanner = make_stage()
    scanner.logs["llm.breakers.v1", 0] = [
        make_record(0, encode(Breaker(ENDPOINT, "open", epoch=3, since=NOW, at=NOW, open_until=NOW + 5_000)))
    ]
    await stage._assigned({(TOPIC, 0): Assigned(0, None)})
    assert known(stage) == [("open", 3)]
    await stage.handle(signals(failing()))
    assert emit.said == []
    await stage._assigned({})
    assert known(stage) == []


async def test_a_taker_over_does_not_believe_the_late_word_of_an_owner_before() -> None:
    stage, _, _, scanner = make_stage()
    epochs = [Breaker(ENDPOINT, "open", epoch=4, since=NOW, at=NOW), Breaker(ENDPOINT, "ramp", epoch=3, at=NOW)]
    scanner.logs["llm.breakers.v1", 0] = [make_record(at, encode(event)) for at, event in enumerate(epochs)]
    await stage._assigned({(TOPIC, 0): Assigned(0, None)})
    assert known(stage) == [("open", 4)]


@pytest.mark.parametrize("endpoint", ["nobody/x/us", ""])
async def test_an_endpoint_that_nobody_offers_has_no_breaker(endpoint: str) -> None:
    stage, app, emit, _ = make_stage()
    await stage.handle(signals(failing(endpoint)))
    assert (emit.said, len(app.acked)) == ([], 1)


async def test_what_cannot_be_decoded_is_a_dead_letter() -> None:
    stage, app, emit, _ = make_stage()
    await stage.handle(Batch(TOPIC, 0, [make_record(0, b"x", topic=TOPIC)]))
    assert emit.said[0][0] == "health"
    assert len(app.acked) == 1


async def test_a_late_word_of_an_owner_before_is_answered_with_the_word_in_force() -> None:
    """Compaction keeps the last record of an endpoint, whatever its epoch."""
    stage, _, emit, scanner = make_stage()
    opened, late = Breaker(ENDPOINT, "open", epoch=4, since=NOW, at=NOW), Breaker(ENDPOINT, "ramp", epoch=3, at=NOW)
    scanner.logs["llm.breakers.v1", 0] = [make_record(0, encode(opened))]
    await stage._assigned({(TOPIC, 0): Assigned(0, None)})
    for at, event in enumerate((opened, late)):
        stage.overheard(make_record(at, encode(event)))
    await asyncio.sleep(0)
    assert emit.said == [opened]


async def test_what_readers_go_by_the_judge_goes_by_too() -> None:
    stage, _, emit, _ = make_stage()
    await stage.handle(signals(failing()))
    stage.overheard(make_record(0, encode(emit.said[0])))
    stage.overheard(make_record(1, encode(Breaker(ENDPOINT, "half_open", epoch=7, since=NOW, at=NOW))))
    await asyncio.sleep(0)
    assert known(stage) == [("half_open", 7)]
    assert len(emit.said) == 1
