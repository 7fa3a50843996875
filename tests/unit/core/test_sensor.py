"""What the sensor says of how calls go, and when."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from pipeline.core.sensor import Sensor
from schemas.errors import ERROR_KINDS, ErrorKind
from schemas.events.signal import ProbeResult, Signal

NOW = 1_800_000_000_000
ENDPOINT, OTHER = "openai/gpt-mini/us", "gemini/flash/eu"
PATIENCE_MS = {True: 30_000, False: 120_000}
SAID = {kind for kind, row in ERROR_KINDS.items() if row.counts_for_breaker or row.waits or row.alarms}


def make_sensor() -> Sensor:
    return Sensor("w1", lambda endpoint, stream: PATIENCE_MS[stream])


def call(sensor: Sensor, attempt: str, at: int = NOW, lasts_ms: int = 100, *, stream: bool = True, **end: Any) -> None:
    sensor.started(ENDPOINT, attempt, at, stream=stream)
    sensor.finished(ENDPOINT, attempt, at + lasts_ms, **end)


def settled(first_event_ms: int = 1_000, *, stream: bool = True) -> Sensor:
    """A sensor that knows its endpoint; everything is said."""
    sensor = make_sensor()
    for n in range(20):
        call(sensor, f"known{n}", NOW - 60_000, first_event_ms, stream=stream)
    assert len(sensor.signals(NOW - 10_000)) == 1
    return sensor


def only(signals: list[Signal]) -> Signal:
    (signal,) = signals
    return signal


def test_a_quiet_sensor_says_nothing() -> None:
    sensor = make_sensor()
    assert sensor.signals(NOW) == sensor.urgent(NOW) == []
    assert sensor.silent(NOW) == sensor.silent(NOW, ENDPOINT) == []


def test_a_signal_says_what_happened_since_the_last() -> None:
    sensor = make_sensor()
    call(sensor, "a", lasts_ms=300)
    call(sensor, "b", kind=ErrorKind.TIMEOUT)
    call(sensor, "c", kind=ErrorKind.TIMEOUT)
    sensor.started(ENDPOINT, "d", NOW + 100, stream=True)
    assert only(sensor.signals(NOW + 400)) == Signal(
        ENDPOINT, "w1", NOW + 400, ok=1, errors={"timeout": 2}, consecutive=2, in_flight=1, oldest_silent_ms=300,
        first_event_ewma_ms=300, waiting=1,
    )  # fmt: skip
    assert only(sensor.signals(NOW + 650)) == Signal(
        ENDPOINT,
        "w1",
        NOW + 650,
        consecutive=2,
        in_flight=1,
        oldest_silent_ms=550,
        first_event_ewma_ms=300,
        waiting=1,
    )


def test_signals_come_every_quarter_second_while_something_is_under_way_and_once_after() -> None:
    sensor = make_sensor()
    sensor.started(ENDPOINT, "a", NOW, stream=True)
    said = [at for at in range(NOW, NOW + 1_000, 50) if sensor.signals(at)]
    assert said == [NOW, NOW + 250, NOW + 500, NOW + 750]
    sensor.finished(ENDPOINT, "a", NOW + 1_000, excused=True)
    assert only(sensor.signals(NOW + 1_000)).in_flight == 0
    assert sensor.signals(NOW + 9_000) == []


def test_a_failure_is_said_at_once_and_alone() -> None:
    sensor = make_sensor()
    sensor.started(OTHER, "x", NOW, stream=True)
    call(sensor, "a", kind=ErrorKind.TRANSPORT)
    assert only(sensor.urgent(NOW + 100)).errors == {"transport": 1}
    assert sensor.urgent(NOW + 100) == []
    assert [signal.endpoint for signal in sensor.signals(NOW + 100)] == [OTHER]


def test_no_two_signals_of_an_endpoint_share_their_name() -> None:
    sensor, said = make_sensor(), []
    for n in range(5):
        call(sensor, f"a{n}", kind=ErrorKind.TRANSPORT)
        said += sensor.urgent(NOW)
    assert [signal.at for signal in said] == [NOW + n for n in range(5)]


@pytest.mark.parametrize("kind", [ErrorKind.INVALID_REQUEST, ErrorKind.CONTENT_FILTERED, ErrorKind.CANCELLED])
def test_the_callers_own_faults_say_nothing(kind: ErrorKind) -> None:
    sensor = make_sensor()
    call(sensor, "a", kind=kind, retry_after_s=9.0)
    signal = only(sensor.signals(NOW + 100))
    assert (signal.ok, signal.errors, signal.consecutive, signal.limited_until) == (0, {}, 0, None)


def test_an_excused_end_says_nothing_whatever_its_kind() -> None:
    sensor = make_sensor()
    call(sensor, "a", kind=ErrorKind.TIMEOUT, excused=True)
    call(sensor, "b", excused=True)
    assert sensor.urgent(NOW + 100) == []
    signal = only(sensor.signals(NOW + 100))
    assert (signal.ok, signal.errors, signal.in_flight, signal.first_event_ewma_ms) == (0, {}, 0, None)


def test_failures_in_a_row_last_over_signals_until_a_success() -> None:
    sensor, said = make_sensor(), []
    for n, kind in enumerate([ErrorKind.TIMEOUT, ErrorKind.AUTH, ErrorKind.OVERLOADED, None, ErrorKind.TIMEOUT]):
        call(sensor, f"a{n}", NOW + 1_000 * n, kind=kind)
        said += sensor.signals(NOW + 1_000 * n + 500)
    assert [signal.consecutive for signal in said] == [1, 1, 2, 0, 1]


@pytest.mark.parametrize(
    ("kind", "retry_after_s", "wait_ms"),
    [
        (ErrorKind.RATE_LIMITED, 2.5, 2_500),
        (ErrorKind.RATE_LIMITED, None, 1_000),
        (ErrorKind.RATE_LIMITED, 0.0, None),
        (ErrorKind.OVERLOADED, 7.0, 7_000),
        (ErrorKind.OVERLOADED, None, None),
        (ErrorKind.QUOTA_EXHAUSTED, 3_600.0, None),
    ],
)
def test_the_vendors_word_is_said_until_it_is_over(
    kind: ErrorKind, retry_after_s: float | None, wait_ms: int | None
) -> None:
    sensor = make_sensor()
    call(sensor, "a", lasts_ms=0, kind=kind, retry_after_s=retry_after_s)
    signal = only(sensor.urgent(NOW))
    assert signal.errors == {kind.value: 1}
    assert signal.limited_until == (None if wait_ms is None else NOW + wait_ms)
    call(sensor, "b", NOW + 8_000)
    assert only(sensor.signals(NOW + 8_100)).limited_until is None


def test_before_it_knows_an_endpoint_the_given_patience_decides() -> None:
    sensor = make_sensor()
    sensor.started(ENDPOINT, "a", NOW, stream=True)
    sensor.started(ENDPOINT, "b", NOW, stream=False)
    assert sensor.silent(NOW + 30_000) == []
    assert sensor.silent(NOW + 30_001) == ["a"]
    assert sensor.silent(NOW + 120_001) == ["a", "b"]
    assert sensor.threshold_ms(OTHER, stream=True) == 30_000


@pytest.mark.parametrize(("usual_ms", "threshold_ms"), [(50, 2_000), (1_000, 3_072)])
def test_a_first_event_is_late_after_three_times_the_usual_but_not_within_two_seconds(
    usual_ms: int, threshold_ms: int
) -> None:
    for more_ms, slow in ((0, 0), (1, 1)):
        sensor = settled(usual_ms)
        late_ms = int(sensor.threshold_ms(ENDPOINT, stream=True)) + more_ms
        assert late_ms == pytest.approx(threshold_ms, rel=0.01)
        sensor.started(ENDPOINT, "a", NOW, stream=True)
        sensor.first_event(ENDPOINT, "a", NOW + late_ms)
        sensor.first_event(ENDPOINT, "a", NOW + 9 * late_ms)
        assert only(sensor.signals(NOW + late_ms)).slow == slow


def test_streamed_and_unstreamed_calls_have_their_own_patience() -> None:
    sensor = settled(100, stream=True)
    assert sensor.threshold_ms(ENDPOINT, stream=True) == 2_000
    assert sensor.threshold_ms(ENDPOINT, stream=False) == 120_000


def test_an_unstreamed_answer_is_its_own_first_event() -> None:
    sensor = settled(100, stream=False)
    call(sensor, "a", lasts_ms=2_001, stream=False)
    signal = only(sensor.signals(NOW + 2_001))
    assert (signal.ok, signal.slow) == (1, 1)
    assert signal.first_event_ewma_ms == 290


def test_the_average_told_is_that_of_streams_where_there_are_any() -> None:
    sensor = make_sensor()
    call(sensor, "a", lasts_ms=9_000, stream=False)
    assert only(sensor.signals(NOW + 9_000)).first_event_ewma_ms == 9_000
    call(sensor, "b", lasts_ms=300, stream=True)
    assert only(sensor.signals(NOW + 10_000)).first_event_ewma_ms == 300


def test_silent_calls_are_named_oldest_first_until_their_first_event() -> None:
    sensor = settled(100)
    for n, attempt in enumerate("abcd"):
        sensor.started(ENDPOINT, attempt, NOW + n * 100, stream=True)
    sensor.first_event(ENDPOINT, "b", NOW + 400)
    at = NOW + 2_250
    assert sensor.silent(at) == sensor.silent(at, ENDPOINT) == ["a", "c"]
    assert sensor.silent(at, OTHER) == []
    signal = only(sensor.signals(at))
    assert (signal.in_flight, signal.silent, signal.oldest_silent_ms) == (4, 2, 2_250)
    sensor.finished(ENDPOINT, "a", at, excused=True)
    assert sensor.silent(at) == ["c"]


def test_the_age_told_is_that_of_a_silent_call_not_of_one_that_may_take_longer() -> None:
    sensor = settled(100, stream=True)
    sensor.started(ENDPOINT, "patient", NOW, stream=False)
    sensor.started(ENDPOINT, "stuck", NOW + 20_000, stream=True)
    signal = only(sensor.signals(NOW + 23_000))
    assert (signal.silent, signal.oldest_silent_ms) == (1, 3_000)


def mute(sensor: Sensor, at: int, since_ms: int = 0) -> bool:
    return sensor.silent_endpoints(at, lambda _: since_ms) == [ENDPOINT]


def test_an_endpoint_is_silent_when_nobody_was_answered_since_a_silent_call_began() -> None:
    sensor = settled(100)
    sensor.started(ENDPOINT, "stuck", NOW, stream=True)
    assert not mute(sensor, NOW + 2_000)
    assert mute(sensor, NOW + 2_001)
    assert not mute(sensor, NOW + 2_001, since_ms=NOW)
    call(sensor, "well", NOW + 2_001)
    assert not mute(sensor, NOW + 2_102)


def test_an_endpoint_is_silent_when_half_of_several_calls_are() -> None:
    sensor = settled(100)
    for attempt in "abcde":
        sensor.started(ENDPOINT, attempt, NOW, stream=True)
    for attempt in "abc":
        sensor.first_event(ENDPOINT, attempt, NOW + 1)
    assert not mute(sensor, NOW + 2_001)
    sensor.finished(ENDPOINT, "a", NOW + 2_001)
    assert mute(sensor, NOW + 2_001)


def test_a_probe_may_take_as_long_as_other_calls_do() -> None:
    assert make_sensor().probe_patience_ms(ENDPOINT) is None
    assert settled(100).probe_patience_ms(ENDPOINT) == 2_000
    assert (settled(1_000, stream=False).probe_patience_ms(ENDPOINT) or 0) > 3_000


def test_what_was_never_started_or_is_not_counted_says_nothing() -> None:
    sensor = make_sensor()
    sensor.started(ENDPOINT, "shadow", NOW, stream=True, counted=False)
    for attempt in ("shadow", "unknown"):
        sensor.first_event(ENDPOINT, attempt, NOW + 1)
        sensor.finished(ENDPOINT, attempt, NOW + 2, kind=ErrorKind.TIMEOUT)
    assert sensor.signals(NOW + 1_000) == []


def test_each_probe_has_a_signal_of_its_own_and_counts_as_no_call() -> None:
    sensor = make_sensor()
    call(sensor, "a")
    sensor.probe_finished(ENDPOINT, "p1", kind=None)
    sensor.probe_finished(ENDPOINT, "p2", kind=ErrorKind.AUTH)
    first, second = sensor.urgent(NOW + 100)
    assert (first.ok, first.probe) == (1, ProbeResult("p1", ok=True))
    assert (second.ok, second.errors, second.probe) == (0, {}, ProbeResult("p2", ok=False, kind="auth"))
    assert first.at < second.at
    assert sensor.signals(NOW + 1_000) == []


class Calls(RuleBasedStateMachine):
    """Any calls on two endpoints: what finished is said exactly once."""

    def __init__(self) -> None:
        super().__init__()
        self.sensor, self.now = make_sensor(), NOW
        self.under_way: list[tuple[str, str]] = []
        self.number = 0
        self.ended: Counter[tuple[str, str]] = Counter()
        self.said: list[Signal] = []

    def _hear(self, signals: list[Signal]) -> None:
        self.said += signals
        for signal in signals:
            assert signal.in_flight == sum(endpoint == signal.endpoint for endpoint, _ in self.under_way)
            assert signal.silent <= signal.in_flight

    @rule(endpoint=st.sampled_from([ENDPOINT, OTHER]), stream=st.booleans())
    def a_call_starts(self, endpoint: str, stream: bool) -> None:
        self.number += 1
        self.under_way.append((endpoint, str(self.number)))
        self.sensor.started(endpoint, str(self.number), self.now, stream=stream)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def an_event_comes(self, data: st.DataObject) -> None:
        endpoint, attempt = data.draw(st.sampled_from(self.under_way))
        self.sensor.first_event(endpoint, attempt, self.now)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), kind=st.sampled_from([None, *ErrorKind]), excused=st.booleans(), twice=st.booleans())
    def a_call_ends(self, data: st.DataObject, kind: ErrorKind | None, excused: bool, twice: bool) -> None:
        endpoint, attempt = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        for _ in range(1 + twice):
            self.sensor.finished(endpoint, attempt, self.now, kind=kind, excused=excused)
        if not excused and (kind is None or kind in SAID):
            self.ended[endpoint, kind.value if kind else "ok"] += 1

    @rule(ms=st.sampled_from([0, 1, 100, 250, 40_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms
        self._hear(self.sensor.signals(self.now))

    @rule()
    def failures_are_said(self) -> None:
        self._hear(self.sensor.urgent(self.now))

    def teardown(self) -> None:
        self.now += 1_000
        self._hear(self.sensor.signals(self.now))
        heard: Counter[tuple[str, str]] = Counter()
        for signal in self.said:
            heard.update({(signal.endpoint, kind): number for kind, number in signal.errors.items()})
            heard[signal.endpoint, "ok"] += signal.ok
        assert +heard == self.ended
        for endpoint in (ENDPOINT, OTHER):
            times = [signal.at for signal in self.said if signal.endpoint == endpoint]
            assert all(earlier < later for earlier, later in pairwise(times))


TestCalls = Calls.TestCase
TestCalls.settings = settings(derandomize=True, max_examples=60, stateful_step_count=40, deadline=None)
