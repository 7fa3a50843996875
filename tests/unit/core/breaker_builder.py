"""Short ways to say what a worker saw and what a judge answered."""

from typing import Any

from pipeline.core.breaker import Effect, Judge, Probe, Publish
from schemas.catalog.guards import Breaker as Settings
from schemas.events.breaker import Breaker
from schemas.events.signal import ProbeResult, Signal

NOW = 1_800_000_000_000
ENDPOINT = "openai/gpt-mini/us"
SETTINGS = Settings()


def make_signal(at: int, worker: str = "w1", **facts: Any) -> Signal:
    return Signal(ENDPOINT, worker, at, **facts)


def make_judge(settings: Settings = SETTINGS, **facts: Any) -> Judge:
    return Judge(Breaker(ENDPOINT, **facts), settings)


def failures(at: int, number: int = 5, kind: str = "overloaded", **facts: Any) -> Signal:
    return make_signal(at, errors={kind: number}, consecutive=number, **facts)


def causes(effects: list[Effect]) -> list[str]:
    return [effect.breaker.cause for effect in effects if isinstance(effect, Publish)]


def probes(effects: list[Effect]) -> list[Probe]:
    return [effect for effect in effects if isinstance(effect, Probe)]


def opened(kind: str = "overloaded", settings: Settings = SETTINGS) -> Judge:
    judge = make_judge(settings)
    judge.signal(failures(NOW, kind=kind), NOW)
    assert judge.breaker.state == "open"
    return judge


def rest(judge: Judge) -> Probe:
    """Let the open time pass; the probe that goes out."""
    due_ms = judge.due_ms()
    assert due_ms is not None
    (probe,) = probes(judge.tick(due_ms))
    return probe


def answer(judge: Judge, probe: Probe, at: int, *, ok: bool = True, kind: str | None = None) -> list[Effect]:
    return judge.signal(make_signal(at, probe=ProbeResult(probe.attempt_id, ok, kind)), at)


def ramping(kind: str = "overloaded") -> Judge:
    judge = opened(kind)
    answer(judge, rest(judge), judge.breaker.since + 100)
    assert judge.breaker.state == "ramp"
    return judge
