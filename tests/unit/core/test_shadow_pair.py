"""The way of a pair, and the same way with everybody dying on it: a small world of lane, worker, log and owner."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.lost import orphaned
from pipeline.core.shadowing import Budget, Forward, Pair, Plan, Recover, Write, admit
from pipeline.core.shadowing.leg import GRACE_MS, Leg, LegState
from pipeline.core.shadowing.pair import PRIMARY_PATIENCE_MS
from schemas.completion import Usage
from schemas.events import Attempt, Outcome, Response, ShadowComparison
from tests.unit.core.shadow_builder import NOW, catalog, event, request, response, row, situation


def _pair(judge: str = "none") -> Pair:
    asked = request()
    plan = admit(row(judge=judge), asked, catalog(), situation(), Budget(10**12, "day"))
    assert isinstance(plan, Plan)
    return Pair("try-new", asked, plan, judge, body={"messages": []})


def _order(steps: list[Any]) -> Leg:
    (step,) = steps
    assert isinstance(step, Forward)
    step.leg.forwarded(NOW + 1_000)
    return step.leg


def _answer(leg: Leg, text: str = "no") -> Response:
    return response(text, request_id=leg.request_id, attempts=leg.number, model=leg.model)


def _written(steps: list[Any]) -> ShadowComparison:
    (step,) = steps
    assert isinstance(step, Write)
    return step.comparison


def test_a_shadow_is_called_once_its_primary_has_an_outcome() -> None:
    pair = _pair()
    assert pair.step(NOW) == []
    leg = _order(pair.primary_came(response("yes"), NOW))
    assert (leg.role, leg.model, leg.number) == ("shadow", "new", 1)
    assert pair.heard(event(leg, "started"), NOW) == []
    assert pair.heard(event(leg, "finished"), NOW) == []
    found = _written(pair.answered(_answer(leg), NOW + 5))
    assert (found.status, found.exact, found.winner, found.at) == ("compared", False, None, NOW + 5)
    assert found.primary is not None and found.shadow is not None
    assert (found.primary.cost_nano_usd, found.primary.total_ms) == (20_000, 800)
    assert (found.shadow.outcome, found.shadow.cost_nano_usd, found.shadow.total_ms) == ("ok", 20_000, 700)
    assert pair.step(NOW) == []


def test_errors_of_either_side_make_a_pair_too() -> None:
    pair = _pair("rules")
    failed = response(outcome="error", error=Outcome("provider_fault", "broken"), body=None, model=None, usage=None)
    leg = _order(pair.primary_came(failed, NOW))
    pair.heard(event(leg, "started"), NOW)
    pair.heard(event(leg, "finished"), NOW)
    found = _written(pair.answered(_answer(leg), NOW))
    assert (found.status, found.winner, found.token_f1) == ("compared", "shadow", None)
    pair = _pair("rules")
    leg = _order(pair.primary_came(response(), NOW))
    pair.heard(event(leg, "started"), NOW)
    found = _written(pair.heard(event(leg, "finished", code="timeout", duration_ms=30_000), NOW))
    assert found.shadow is not None
    assert (found.shadow.outcome, found.winner) == ("timeout", "primary")


def test_a_call_that_was_lost_with_its_worker_says_nothing_of_the_model() -> None:
    pair = _pair("rules")
    started = event(_order(pair.primary_came(response(), NOW)), "started")
    pair.heard(started, NOW)
    found = _written(pair.heard(orphaned(started, Usage(10), NOW), NOW))
    assert found.shadow is not None
    assert (found.status, found.shadow.outcome, found.winner) == ("compared", "orphaned", None)


@pytest.mark.parametrize(("code", "reason"), [("breaker_open", "breaker_open"), ("deadline_exceeded", "expired")])
def test_a_shadow_that_was_not_called_is_skipped(code: str, reason: str) -> None:
    pair = _pair()
    leg = _order(pair.primary_came(response(), NOW))
    found = _written(pair.heard(event(leg, "finished", code=code), NOW))
    assert (found.status, found.reason, found.shadow) == ("skipped", reason, None)


def test_a_primary_without_an_outcome_is_skipped_once_its_log_has_been_read_so_far() -> None:
    pair = _pair()
    assert pair.never_came(NOW + 10**9, NOW + 60_000) == []
    found = _written(pair.never_came(NOW, NOW + 60_000 + 30_001))
    assert (found.status, found.reason) == ("skipped", "no_primary_outcome")
    patient = Pair("try-new", request(deadline_at=NOW + 10**9), pair.plan, "none")
    assert patient.never_came(NOW, NOW + PRIMARY_PATIENCE_MS) == []
    assert _written(patient.never_came(NOW, NOW + PRIMARY_PATIENCE_MS + 1)).reason == "no_primary_outcome"


@pytest.mark.parametrize(
    ("said", "winner"),
    [
        (('{"better":"2"}', '{"better":"1"}'), "shadow"),
        (('{"better":"1"}', '{"better":"1"}'), "tie"),
        (("?", "?"), "tie"),
    ],
)
def test_a_judge_is_asked_twice_with_the_answers_in_both_orders(said: tuple[str, str], winner: str) -> None:
    pair = _pair("judge")
    leg = _order(pair.primary_came(response(), NOW))
    pair.heard(event(leg, "finished"), NOW)
    steps: list[Any] = pair.answered(_answer(leg), NOW)
    legs = [_order([step]) for step in steps]
    assert [(each.role, each.number) for each in legs] == [("judge", 2), ("judge", 3)]
    for each, text in zip(legs, said, strict=True):
        pair.answered(_answer(each, text), NOW)
    pair.heard(event(legs[0], "finished"), NOW)
    found = _written(pair.heard(event(legs[1], "finished"), NOW))
    assert (found.winner, found.judge, found.judge_cost_nano_usd) == (winner, "judge", 40_000)


def test_a_judge_is_not_asked_what_rules_can_say() -> None:
    pair = _pair("judge")
    leg = _order(pair.primary_came(response(), NOW))
    pair.heard(event(leg, "started"), NOW)
    found = _written(pair.heard(event(leg, "finished", code="timeout", duration_ms=9), NOW))
    assert (found.winner, found.judge_cost_nano_usd) == ("primary", 0)


def test_a_call_that_came_back_unsent_is_ordered_again_as_the_same_attempt() -> None:
    pair = _pair()
    leg = _order(pair.primary_came(response(), NOW))
    known = leg.attempt_id
    again = _order(pair.heard(event(leg, "returned", worker="w2"), NOW))
    assert again.attempt_id == known


def test_a_call_whose_worker_died_is_recovered_once() -> None:
    pair = _pair()
    leg = _order(pair.primary_came(response(), NOW))
    pair.heard(event(leg, "started", worker="w1"), NOW)
    (step,) = pair.heard(event(leg, "returned", worker="w2"), NOW)
    assert isinstance(step, Recover)
    assert pair.step(NOW) == []
    found = _written(pair.heard(orphaned(step.started, Usage(100), NOW), NOW))
    assert found.shadow is not None
    assert (found.shadow.outcome, found.shadow.cost_nano_usd) == ("orphaned", 100_000)


@pytest.mark.parametrize("kept", [True, False])
def test_a_worker_that_lives_finishes_its_call(kept: bool) -> None:
    pair = _pair()
    leg = _order(pair.primary_came(response(), NOW))
    pair.heard(event(leg, "started"), NOW)
    if kept:
        pair.heard(event(leg, "kept"), NOW)
    assert pair.heard(event(leg, "returned", worker="w2" if kept else "w1"), NOW) == []


def test_silence_is_bounded_by_the_deadline() -> None:
    pair = _pair()
    leg = _order(pair.primary_came(response(), NOW))
    late = NOW + 1_000 + GRACE_MS + 1
    assert pair.step(late - 1) == []
    assert _order(pair.step(late)).attempt_id == leg.attempt_id
    pair.heard(event(leg, "started"), NOW)
    (step,) = pair.step(late)
    assert isinstance(step, Recover)


def test_a_call_that_was_taken_back_is_ordered_anew_as_another_attempt() -> None:
    pair = _pair()
    leg = _order(pair.primary_came(response(), NOW))
    first = leg.attempt_id
    again = _order(pair.heard(_taken_back(leg), NOW))
    assert (again.number, again.attempt_id != first) == (4, True)


def _taken_back(leg: Leg) -> Attempt:
    found = event(leg, "finished", code="cancelled")
    found.result = "cancelled"
    return found


# --- a world in which everybody dies ----------------------------------------------------------------------------


@dataclass
class World:
    """One request, judged by a model. The log is what the broker has; everything else dies."""

    log: list[Attempt | Response] = field(default_factory=list)
    lane: list[tuple[int, Leg]] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    comparisons: list[ShadowComparison] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    running: list[tuple[int, Leg]] = field(default_factory=list)
    end: int = 0
    place: int = 0
    worker: int = 0
    owner: Pair | None = None
    heard: int = 0
    wanted: list[Forward] = field(default_factory=list)
    lost: list[Attempt] = field(default_factory=list)

    def take_over(self) -> None:
        """A new owner reads the log from its beginning, unless the comparison is there."""
        self.wanted, self.lost, self.heard, self.owner = [], [], 0, None
        if not self.comparisons:
            self.owner = _pair("judge")
            self._act(self.owner.primary_came(response(), NOW))
            self.hear(len(self.log))
            self.wanted = [step for step in self.wanted if step.leg.state is LegState.WAITING]

    def hear(self, count: int) -> None:
        for said in self.log[self.heard : self.heard + count]:
            self.heard += 1
            if self.owner is not None:
                heard = self.owner.heard(said, NOW) if isinstance(said, Attempt) else self.owner.answered(said, NOW)
                self._act(heard)

    def _act(self, steps: list[Any]) -> None:
        for step in steps:
            match step:
                case Forward():
                    self.wanted.append(step)
                case Recover(started=started):
                    self.lost.append(started)
                case Write(comparison=comparison):
                    self.comparisons.append(comparison)
                    self.owner = None

    def order(self) -> None:
        while self.wanted:
            leg = self.wanted.pop(0).leg
            if leg.state is LegState.WAITING:
                self.lane.append((len(self.lane), _copy(leg)))
                leg.forwarded(NOW + 10**9)
                return

    def close_books(self) -> None:
        for started in self.lost:
            ended = any(
                isinstance(e, Attempt) and e.attempt_id == started.attempt_id and e.phase == "finished"
                for e in self.log
            )
            if not ended:
                self.log.append(orphaned(started, Usage(100), NOW))
        self.lost = []

    def work(self) -> None:
        """The worker takes the next record of the lane: gives it back, drops it, or begins."""
        if self.place >= len(self.lane):
            return
        offset, leg = self.lane[self.place]
        self.place += 1
        if offset < self.end:
            if leg.attempt_id not in self.seen:
                self.log.append(event(leg, "returned", worker=f"w{self.worker}"))
        elif leg.attempt_id not in self.seen:
            self.seen.add(leg.attempt_id)
            self.log.append(event(leg, "started", worker=f"w{self.worker}"))
            self.calls[leg.attempt_id] = self.calls.get(leg.attempt_id, 0) + 1
            self.running.append((offset, leg))

    def finish(self) -> None:
        if self.running:
            _, leg = self.running.pop(0)
            self.log.append(_answer(leg, '{"better":"1"}'))
            self.log.append(event(leg, "finished", worker=f"w{self.worker}"))

    def kill_worker(self) -> None:
        """Its successor begins at the oldest record that is not done, and knows nothing.

        It needs a second to start: longer than the owner's tail is behind (docs/decisions/0011).
        """
        self.hear(len(self.log))
        undone = [offset for offset, _ in self.running]
        self.place = min([*undone, self.place])
        self.running, self.seen, self.end, self.worker = [], set(), len(self.lane), self.worker + 1


def _copy(leg: Leg) -> Leg:
    return Leg(leg.tenant, leg.request_id, leg.role, leg.model, leg.place, number=leg.number)


DEEDS = st.lists(
    st.sampled_from(["order", "work", "finish", "hear", "close", "kill owner", "kill worker"]), min_size=1, max_size=60
)


@settings(max_examples=300, deadline=None)
@given(DEEDS)
def test_whoever_dies_there_is_one_comparison_and_no_call_is_made_twice(deeds: list[str]) -> None:
    world = World()
    world.take_over()
    for deed in deeds:
        match deed:
            case "order":
                world.order()
            case "work":
                world.work()
            case "finish":
                world.finish()
            case "hear":
                world.hear(1)
            case "close":
                world.close_books()
            case "kill owner":
                world.take_over()
            case "kill worker":
                world.kill_worker()
    for _ in range(60):  # nobody dies any more
        world.order()
        world.work()
        world.finish()
        world.hear(10)
        world.close_books()
    assert len(world.comparisons) == 1
    assert all(count == 1 for count in world.calls.values())
    booked: dict[str, int] = {}
    for said in world.log:
        if isinstance(said, Attempt) and said.phase == "finished" and said.attempt_id not in booked:
            booked[said.attempt_id] = 20_000 if said.result == "ok" else 100_000
    (found,) = world.comparisons
    assert found.shadow is not None
    assert found.shadow.cost_nano_usd + found.judge_cost_nano_usd == sum(booked.values())
