"""The judge under any order of signals, ticks, orders and restarts."""

from typing import Any

from breaker_builder import ENDPOINT, NOW, SETTINGS, causes, make_judge, make_signal, probes
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pipeline.core.breaker import TRANSITIONS, Cause, Effect, Judge, Probe, Publish, State, held_back, view_of
from schemas.errors import ErrorKind
from schemas.events.breaker import Breaker
from schemas.events.signal import ProbeResult, Signal

PATIENCE_MS = 15_000
LONGEST_LIMIT_MS = 90_000
ORDERED = (Cause.FORCED_OPEN, Cause.FORCED_CLOSED, Cause.AUTO)
BOUND_MS = int(SETTINGS.open_max_s * 1000) + LONGEST_LIMIT_MS + PATIENCE_MS + int(SETTINGS.open_max_s * 1000) + 30_000

KINDS = st.sampled_from(["overloaded", "timeout", "rate_limited", "auth", "invalid_request"])
WORKERS = st.sampled_from(["w1", "w2", "w3"])


class Endpoint(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.judge = make_judge()
        self.taken: list[Signal] = []
        self.unheard_from = 0  # signals before this index were not taken by the present judge
        self.probes: list[Probe] = []
        self.is_probed_until = 0  # without a result
        self.epochs = [0]

    @initialize(ramps=st.booleans())
    def begin(self, ramps: bool) -> None:
        if ramps:
            self.judge = make_judge(state="ramp", since=NOW, at=NOW, allowed_in_flight=1, opened_count=1)

    def _check(self, before: Breaker, effects: list[Effect]) -> None:
        last = before
        for effect in effects:
            if isinstance(effect, Publish):
                self._check_record(last, effect.breaker)
                self.is_probed_until *= effect.breaker.cause not in ("probe_ok", "probe_failed", "probe_lost")
                last = effect.breaker
            else:
                assert (last.state, last.epoch, effect.endpoint) == ("half_open", effect.epoch, ENDPOINT)
                assert self.now >= self.is_probed_until
                self.is_probed_until = self.now + PATIENCE_MS
                self.probes.append(effect)
        assert self.judge.breaker == last
        assert len({probe.epoch for probe in self.probes}) == len(self.probes)
        assert (self.judge.breaker.state == "half_open") == (self._outstanding() is not None)

    def _check_record(self, before: Breaker, after: Breaker) -> None:
        cause = Cause(after.cause)
        assert TRANSITIONS[State(before.state), cause] == after.state
        assert after.epoch > self.epochs[-1]
        self.epochs.append(after.epoch)
        assert not before.forced or cause in ORDERED
        if before.state == "open" and cause is Cause.RESTED:
            assert before.open_until is not None
            assert self.now >= max(before.open_until, before.limited_until or 0)
        if after.state in ("open", "half_open"):
            assert held_back(view_of(after, 0, self.now), self.now) is not None

    def _outstanding(self) -> Probe | None:
        return next((probe for probe in self.probes if probe.epoch == self.judge.breaker.epoch), None)

    def _take(self, signal: Signal) -> list[Effect]:
        before = self.judge.breaker
        effects = self.judge.signal(signal, self.now)
        self.taken.append(signal)
        self._check(before, effects)
        if signal.at <= before.since and signal.probe is None:
            assert not set(causes(effects)) - {*ORDERED, Cause.LIMITED}
        return effects

    def _tick(self) -> None:
        before = self.judge.breaker
        self._check(before, self.judge.tick(self.now))

    def _send(self, lag_ms: int, worker: str, **facts: Any) -> None:
        self.now += 1
        self._take(make_signal(self.now - lag_ms, f"{worker}.{len(self.taken)}", **facts))

    @rule(ms=st.sampled_from([1, 300, 1_000, 7_000, 70_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms
        self._tick()

    @rule()
    def what_is_due_happens(self) -> None:
        self.now = max(self.now, self.judge.due_ms() or 0)
        self._tick()

    @precondition(lambda self: self.judge.breaker.state == "closed" and not self.judge.breaker.forced)
    @rule()
    def an_outage_begins(self) -> None:
        self._send(0, "w1", errors={"overloaded": 5}, consecutive=5)
        self.what_is_due_happens()
        assert self._outstanding() is not None

    @rule(lag_ms=st.integers(0, 12_000), worker=WORKERS, ok=st.integers(0, 12), kind=KINDS, failed=st.integers(0, 3))
    def calls_end(self, lag_ms: int, worker: str, ok: int, kind: str, failed: int) -> None:
        self._send(lag_ms, worker, ok=ok, errors={kind: failed}, consecutive=failed, slow=failed)
        for _ in range(4):
            assert self._take(self.taken[-1]) == []

    @rule(worker=WORKERS, kind=KINDS)
    def many_calls_fail(self, worker: str, kind: str) -> None:
        self._send(0, worker, errors={kind: 5}, consecutive=5)

    @rule(worker=WORKERS, silent=st.integers(1, 3), oldest_ms=st.integers(2_001, 30_000))
    def calls_are_silent(self, worker: str, silent: int, oldest_ms: int) -> None:
        self._send(0, worker, silent=silent, in_flight=3, oldest_silent_ms=oldest_ms)

    @rule(ahead_ms=st.integers(-1_000, LONGEST_LIMIT_MS))
    def the_vendor_limits(self, ahead_ms: int) -> None:
        self._send(0, "w1", errors={"rate_limited": 1}, limited_until=self.now + ahead_ms)

    @rule(word=st.sampled_from(["open", "closed", "auto"]))
    def an_operator_orders(self, word: str) -> None:
        self._send(0, "operator", forced=word)

    @precondition(lambda self: self.probes)
    @rule(data=st.data(), kind=st.sampled_from([None, "overloaded", "auth", "cancelled"]))
    def a_probe_ends(self, data: st.DataObject, kind: str | None) -> None:
        """The one that is out, or a late one that was lost."""
        probe, outstanding = data.draw(st.sampled_from(self.probes[-3:])), self._outstanding()
        epoch = self.judge.breaker.epoch
        self._send(0, "w1", probe=ProbeResult(probe.attempt_id, kind is None, kind))
        assert (self.judge.breaker.epoch > epoch) == (probe == outstanding)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def a_signal_comes_again(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(max(0, len(self.taken) - 8), len(self.taken) - 1))
        for _ in range(3):
            effects = self._take(self.taken[index])
            assert effects == [] or index < self.unheard_from

    @rule(kind=st.sampled_from([ErrorKind.AUTH, ErrorKind.QUOTA_EXHAUSTED]))
    def the_credential_is_refused_elsewhere(self, kind: ErrorKind) -> None:
        before = self.judge.breaker
        self._check(before, self.judge.refused(kind, self.now))

    @rule()
    def the_catalogue_changes(self) -> None:
        before = self.judge.breaker
        self._check(before, self.judge.catalog_changed(self.now))

    @rule()
    def the_owner_restarts(self) -> None:
        self.judge, self.unheard_from = Judge(self.judge.breaker, SETTINGS), len(self.taken)

    def teardown(self) -> None:
        """Once failures stop, it closes by itself, however it stands now."""
        if self.judge.breaker.forced:
            self.an_operator_orders("auto")
        began = self.now
        for _ in range(20):
            due_ms, probe = self.judge.due_ms(), self._outstanding()
            if due_ms is None:
                break
            if probe is not None:
                self._send(0, "w1", probe=ProbeResult(probe.attempt_id, ok=True))
            else:
                self.now = max(self.now, due_ms)
                self._tick()
        assert self.judge.breaker.state == "closed"
        assert self.now - began <= BOUND_MS


TestEndpoint = Endpoint.TestCase
TestEndpoint.settings = settings(derandomize=True, max_examples=150, stateful_step_count=40, deadline=None)


def test_two_judges_that_go_on_from_one_record_send_the_same_probe() -> None:
    first = make_judge(state="open", epoch=7, since=NOW, at=NOW, open_until=NOW + 5_000, opened_count=1)
    second = Judge(first.breaker, SETTINGS)
    assert probes(first.tick(NOW + 5_000)) == probes(second.tick(NOW + 5_500)) != []
