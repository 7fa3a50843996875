"""Rules over time: each episode is told once at its beginning and once at its end."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.core.alerting import Rules
from pipeline.core.alerting.rules import CLEAR_MS, clear_ms
from schemas.catalog import Alert as Rule
from schemas.events import Alert
from schemas.ids import alert_id

NOW = 1_767_225_600_000
A, B = (("provider", "a"),), (("provider", "b"),)


def make_rule(when: str = "error_rate > 0.5", *, name: str = "many-errors", for_s: float = 0.0, to: str = "") -> Rule:
    return Rule(name=name, when=when, for_s=for_s, to=(f"webhook:{to}",) if to else ())


class Clock:
    """Rules with a clock: `after(s, ...)` is a step that much later."""

    def __init__(self, *rules: Rule, history: tuple[Alert, ...] = ()) -> None:
        self.rules, self.asked, self.now = Rules(history), rules, NOW

    def after(self, seconds: float, **readings: dict) -> list[tuple[str, str]]:  # type: ignore[type-arg]
        """Name and state of what was said; a term that is not given is not known."""
        return [(alert.name, alert.state) for alert in self.events(seconds, **readings)]

    def events(self, seconds: float, **readings: dict) -> list[Alert]:  # type: ignore[type-arg]
        self.now += round(seconds * 1000)
        return self.rules.step(self.asked, readings, self.now, catalog="c1")


FIRING, RESOLVED = ("many-errors", "firing"), ("many-errors", "resolved")


def test_a_condition_that_holds_fires_once_and_ends_once_it_has_not_held_for_half_a_minute() -> None:
    clock = Clock(make_rule())
    assert clock.after(0, error_rate={A: 0.9}) == [FIRING]
    assert clock.after(60, error_rate={A: 1.0}) == []
    assert clock.after(1, error_rate={A: 0.1}) == []
    assert clock.after(29.9, error_rate={A: 0.1}) == []
    assert clock.after(0.1, error_rate={A: 0.1}) == [RESOLVED]
    assert clock.after(60, error_rate={A: 0.1}) == []


@pytest.mark.parametrize(
    ("when", "holds", "fails"),
    [("error_rate > 0.5", 0.6, 0.5), ("error_rate >= 0.5", 0.5, 0.4), ("error_rate < 0.5", 0.4, 0.5),
     ("error_rate <= 0.5", 0.5, 0.6)],
)  # fmt: skip
def test_all_four_comparisons(when: str, holds: float, fails: float) -> None:
    assert Clock(make_rule(when)).after(0, error_rate={A: holds}) == [FIRING]
    assert Clock(make_rule(when)).after(0, error_rate={A: fails}) == []


def test_it_has_to_hold_without_a_break_for_for_s() -> None:
    clock = Clock(make_rule(for_s=60))
    assert clock.after(0, error_rate={A: 0.9}) == []
    assert clock.after(59, error_rate={A: 0.9}) == []
    assert clock.after(0.5, error_rate={A: 0.1}) == []
    assert clock.after(1, error_rate={A: 0.9}) == []
    (alert,) = clock.events(60, error_rate={A: 0.9})
    assert (alert.since, alert.at) == (clock.now - 60_000, clock.now)


def test_an_alert_that_comes_back_within_half_a_minute_is_the_same_one() -> None:
    clock = Clock(make_rule())
    clock.after(0, error_rate={A: 0.9})
    for _ in range(10):
        assert clock.after(20, error_rate={A: 0.1}) == []
        assert clock.after(5, error_rate={A: 0.9}) == []


def test_each_subject_is_an_alert_of_its_own() -> None:
    clock = Clock(make_rule())
    first = clock.events(0, error_rate={A: 0.9, B: 0.1})
    second = clock.events(1, error_rate={A: 0.9, B: 0.9})
    assert [alert.labels for alert in first + second] == [{"provider": "a"}, {"provider": "b"}]
    assert first[0].alert_id != second[0].alert_id


def test_what_nobody_knows_neither_begins_nor_ends_anything() -> None:
    clock = Clock(make_rule())
    clock.after(0, error_rate={A: 0.9})
    assert clock.after(3600) == []
    assert [alert.labels for alert in clock.rules.firing] == [{"provider": "a"}]


def test_a_subject_that_is_gone_does_not_hold_and_its_last_value_is_told() -> None:
    clock = Clock(make_rule())
    clock.after(0, error_rate={A: 0.9})
    clock.after(1, error_rate={})
    (alert,) = clock.events(30, error_rate={})
    assert (alert.state, alert.value) == ("resolved", 0.9)


def test_both_records_of_an_episode_have_one_id_and_the_next_episode_another() -> None:
    clock = Clock(make_rule())
    (began,) = clock.events(0, error_rate={A: 0.9})
    clock.after(1, error_rate={A: 0.0})
    (ended,) = clock.events(30, error_rate={A: 0.0})
    (again,) = clock.events(1, error_rate={A: 0.9})
    assert began.alert_id == ended.alert_id == alert_id("many-errors", {"provider": "a"}, began.since)
    assert again.alert_id != began.alert_id


def test_a_rule_that_goes_ends_its_alerts_for_those_who_were_told() -> None:
    clock = Clock(make_rule(to="OPS"))
    clock.after(0, error_rate={A: 0.9})
    clock.asked = ()
    (alert,) = clock.events(1, error_rate={A: 0.9})
    assert (alert.state, alert.to) == ("resolved", ["webhook:OPS"])


def test_a_rule_that_asks_for_another_term_begins_anew() -> None:
    clock = Clock(make_rule())
    clock.after(0, error_rate={A: 0.9})
    clock.asked = (make_rule("p95_first_token_s > 1"),)
    assert clock.after(1, error_rate={A: 0.9}, p95_first_token_s={A: 2.0}) == [RESOLVED, FIRING]


def test_who_joined_a_rule_meanwhile_is_told_of_the_end() -> None:
    clock = Clock(make_rule(to="OPS"))
    clock.after(0, error_rate={A: 0.9})
    clock.asked = (make_rule(to="CHAT"),)
    clock.after(1, error_rate={A: 0.0})
    (alert,) = clock.events(30, error_rate={A: 0.0})
    assert alert.to == ["webhook:OPS", "webhook:CHAT"]


def test_a_successor_goes_on_from_the_records() -> None:
    first = Clock(make_rule())
    history = tuple(first.events(0, error_rate={A: 0.9}))
    successor = Clock(make_rule(), history=history)
    assert successor.after(10, error_rate={A: 0.9}) == []
    successor.after(1, error_rate={A: 0.0})
    (alert,) = successor.events(30, error_rate={A: 0.0})
    assert (alert.state, alert.alert_id) == ("resolved", history[0].alert_id)


class Episodes(RuleBasedStateMachine):
    """Any readings, gaps and takeovers: what is said is always a row of begin, end, begin, end."""

    @initialize(for_s=st.sampled_from([0.0, 5.0, 90.0]))
    def begin(self, for_s: float) -> None:
        self.rule = make_rule(for_s=for_s)
        self.now = NOW
        self.said: list[Alert] = []
        self.rules = Rules()
        self.held_since: dict[tuple, int] = {}  # type: ignore[type-arg]
        self.failed_since: dict[tuple, int] = {}  # type: ignore[type-arg]

    @rule(seconds=st.sampled_from([1, 4, 29, 30, 61]), holding=st.sets(st.sampled_from([A, B])))
    def look(self, seconds: int, holding: set) -> None:  # type: ignore[type-arg]
        self.now += seconds * 1000
        for labels in (A, B):
            since, other = (self.held_since, self.failed_since)[:: 1 if labels in holding else -1]
            since.setdefault(labels, self.now)
            other.pop(labels, None)
        values = {labels: 0.9 if labels in holding else 0.1 for labels in (A, B)}
        for alert in self.rules.step([self.rule], {"error_rate": values}, self.now, catalog="c1"):
            labels = tuple(alert.labels.items())
            if alert.state == "firing":
                assert self.now - self.held_since[labels] >= self.rule.for_s * 1000
            else:
                assert self.now - self.failed_since[labels] >= clear_ms(self.rule) >= CLEAR_MS
            self.said.append(alert)

    @rule(seconds=st.sampled_from([1, 100]))
    def nobody_knows(self, seconds: int) -> None:
        self.now += seconds * 1000
        assert self.rules.step([self.rule], {}, self.now, catalog="c1") == []

    @precondition(lambda self: self.said)
    @rule()
    def another_takes_over(self) -> None:
        before = self.rules.firing
        self.rules = Rules(self.said)
        assert sorted(alert.alert_id for alert in self.rules.firing) == sorted(alert.alert_id for alert in before)

    @invariant()
    def begin_and_end_take_turns(self) -> None:
        for labels in (A, B):
            mine = [alert for alert in getattr(self, "said", ()) if tuple(alert.labels.items()) == labels]
            assert [alert.state for alert in mine] == ["firing", "resolved"] * (len(mine) // 2) + ["firing"] * (
                len(mine) % 2
            )
            assert [a.alert_id for a in mine[::2]][: len(mine) // 2] == [a.alert_id for a in mine[1::2]]
            assert len({alert.alert_id for alert in mine}) == (len(mine) + 1) // 2


TestEpisodes = Episodes.TestCase
