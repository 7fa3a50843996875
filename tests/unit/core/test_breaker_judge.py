"""One endpoint's judge, step by step."""

from typing import Any

import pytest
from breaker_builder import (
    ENDPOINT,
    NOW,
    SETTINGS,
    answer,
    causes,
    failures,
    make_judge,
    make_signal,
    opened,
    probes,
    ramping,
    rest,
)

from pipeline.core.breaker import Judge, Publish, probe_of
from pipeline.core.breaker.judge import PROBE_PATIENCE_MS
from schemas.catalog.guards import Breaker as Settings
from schemas.errors import ErrorKind
from schemas.events.signal import ProbeResult


@pytest.mark.parametrize(
    ("facts", "cause", "last_error"),
    [
        ({"errors": {"overloaded": 5}, "consecutive": 5}, "failing", "overloaded"),
        ({"ok": 8, "errors": {"timeout": 2}, "consecutive": 0}, "error_rate", "timeout"),
        ({"ok": 10, "slow": 5}, "slow_rate", None),
        ({"silent": 1, "in_flight": 1, "oldest_silent_ms": 2_500}, "silent", "timeout"),
        ({"errors": {"auth": 1}}, "refused", "auth"),
        ({"errors": {"quota_exhausted": 1}}, "refused", "quota_exhausted"),
        ({"errors": {"not_found": 1}}, "refused", "not_found"),
    ],
)
def test_a_closed_one_opens_by_each_rule(facts: dict[str, Any], cause: str, last_error: str | None) -> None:
    judge = make_judge()
    effects = judge.signal(make_signal(NOW, **facts), NOW)
    assert effects == [Publish(judge.breaker)]
    breaker = judge.breaker
    assert (breaker.state, breaker.cause, breaker.last_error) == ("open", cause, last_error)
    assert (breaker.epoch, breaker.since, breaker.at, breaker.opened_count) == (1, NOW, NOW, 1)
    assert breaker.open_until == judge.due_ms()


@pytest.mark.parametrize(
    "facts",
    [
        {"errors": {"overloaded": 4}, "consecutive": 4},
        {"ok": 7, "errors": {"timeout": 2}, "consecutive": 0},
        {"ok": 9, "errors": {"timeout": 1}, "consecutive": 1},
        {"ok": 10, "slow": 4},
        {"errors": {"rate_limited": 50}},
        {"errors": {"invalid_request": 50, "a_kind_of_tomorrow": 50}},
        {"ok": 1, "errors": {"not_found": 1}},
        {"errors": {"auth": 0}},
        {"in_flight": 4, "oldest_silent_ms": 1_900},
    ],
)
def test_a_closed_one_stays_closed_below_each_rule(facts: dict[str, Any]) -> None:
    judge = make_judge()
    assert judge.signal(make_signal(NOW, **facts), NOW) == []
    assert (judge.due_ms(), judge.tick(NOW + 10**9)) == (None, [])


def test_failures_of_several_workers_open_it_together() -> None:
    judge = make_judge()
    for n in range(4):
        assert judge.signal(failures(NOW + n, 1, worker=f"w{n}"), NOW + n) == []
    assert causes(judge.signal(failures(NOW + 4, 1, worker="w4"), NOW + 4)) == ["failing"]


def test_a_signal_that_comes_again_opens_nothing_again() -> None:
    judge = ramping()
    since = judge.breaker.since
    for signal in (failures(NOW), failures(NOW + 1), failures(since)):
        assert judge.signal(signal, since + 200) == []


def test_an_open_one_rests_then_sends_exactly_one_probe() -> None:
    judge = opened()
    due_ms = judge.due_ms()
    assert due_ms is not None
    assert 4_000 <= due_ms - NOW <= 6_000
    assert judge.tick(due_ms - 1) == []
    effects = judge.tick(due_ms)
    assert effects == [Publish(judge.breaker), probe_of(ENDPOINT, 2)]
    assert (judge.breaker.state, judge.breaker.epoch, judge.breaker.opened_count) == ("half_open", 2, 1)
    assert judge.tick(due_ms + 1) == []


def test_a_probe_names_itself_by_endpoint_and_epoch() -> None:
    assert probe_of(ENDPOINT, 2) == probe_of(ENDPOINT, 2)
    assert probe_of(ENDPOINT, 2).attempt_id != probe_of(ENDPOINT, 3).attempt_id
    assert probe_of(ENDPOINT, 2).request_id == "probe:openai:gpt-mini:us:2"


@pytest.mark.parametrize("kind", ["overloaded", "rate_limited", "auth", None, "a_kind_of_tomorrow"])
def test_a_failed_probe_opens_it_longer(kind: str | None) -> None:
    judge = opened()
    effects = answer(judge, rest(judge), judge.breaker.since + 100, ok=False, kind=kind)
    assert causes(effects) == ["probe_failed"]
    assert (judge.breaker.opened_count, judge.breaker.last_error) == (2, kind)
    assert judge.breaker.open_until is not None
    assert judge.breaker.open_until - judge.breaker.since >= 8_000


@pytest.mark.parametrize("kind", ["invalid_request", "content_filtered", "context_too_long"])
def test_a_probe_that_was_our_fault_shows_that_somebody_answers(kind: str) -> None:
    judge = opened()
    assert causes(answer(judge, rest(judge), judge.breaker.since + 100, ok=False, kind=kind)) == ["probe_ok"]


def test_a_probe_that_was_cut_off_is_lost() -> None:
    judge = opened("not_found")
    effects = answer(judge, rest(judge), judge.breaker.since + 100, ok=False, kind="cancelled")
    assert causes(effects) == ["probe_lost"]


def test_a_probe_without_result_is_lost_and_what_it_was_about_stays_known() -> None:
    judge = opened("auth")
    probe, since = rest(judge), judge.breaker.since
    assert judge.tick(since + 14_999) == []
    assert causes(judge.tick(since + 15_000)) == ["probe_lost"]
    assert judge.breaker.last_error == "auth"
    assert answer(judge, probe, since + 15_100) == []


def test_the_result_of_an_earlier_probe_says_nothing_about_this_one() -> None:
    judge = opened()
    lost = rest(judge)
    judge.tick(judge.breaker.since + 15_000)
    rest(judge)
    assert answer(judge, lost, judge.breaker.since + 10) == []
    assert judge.breaker.state == "half_open"


def test_what_late_calls_say_does_not_disturb_a_probe() -> None:
    judge = opened()
    rest(judge)
    at = judge.breaker.since + 10
    assert judge.signal(failures(at, 50), at) == []


def test_a_ramp_doubles_each_second_and_closes_after_six() -> None:
    judge = ramping()
    since, seen = judge.breaker.since, []
    while judge.breaker.state == "ramp":
        seen.append((judge.breaker.at - since, judge.breaker.allowed_in_flight, judge.breaker.since))
        judge.tick(judge.due_ms() or 0)
    assert seen == [(n * 1_000, 2**n, since) for n in range(6)]
    closed = judge.breaker
    assert (closed.cause, closed.at - since, closed.allowed_in_flight) == ("ramp_done", 6_000, None)
    assert (closed.opened_count, closed.last_error, closed.open_until) == (0, None, None)


def test_a_ramp_that_was_held_up_closes_once_enough_calls_may_go() -> None:
    judge = make_judge(state="ramp", since=NOW, at=NOW + 5_000, allowed_in_flight=64)
    assert causes(judge.tick(NOW + 6_000)) == ["ramp_done"]
    judge = make_judge(state="ramp", since=NOW, at=NOW + 1_000, allowed_in_flight=64)
    assert causes(judge.tick(NOW + 2_000)) == ["ramp_done"]


def test_the_first_failing_call_of_a_ramp_opens_it_again() -> None:
    judge = ramping()
    at = judge.breaker.since + 500
    assert causes(judge.signal(failures(at, 1), at)) == ["ramp_failing"]
    assert (judge.breaker.opened_count, judge.breaker.last_error) == (2, "overloaded")


def test_a_rare_failure_holds_a_ramp_up_for_a_second() -> None:
    judge = ramping()
    since = judge.breaker.since
    assert judge.signal(make_signal(since + 500, ok=9, errors={"timeout": 1}, consecutive=1), since + 500) == []
    assert judge.tick(since + 1_499) == []
    assert causes(judge.tick(since + 1_500)) == ["ramp_step"]
    assert judge.signal(make_signal(since + 1_600, errors={"rate_limited": 1}), since + 1_600) == []
    assert judge.due_ms() == since + 2_500


def test_background_noise_does_not_hold_a_ramp_for_ever() -> None:
    judge = ramping()
    since = at = judge.breaker.since
    while judge.breaker.state == "ramp":
        at += 900
        judge.signal(make_signal(at, ok=19, errors={"timeout": 1}), at)
        judge.tick(at)
    assert judge.breaker.cause == "ramp_done"
    assert at - since <= 31_000


@pytest.mark.parametrize(
    ("facts", "last_error"),
    [
        ({"ok": 10, "slow": 5}, None),
        ({"silent": 2, "in_flight": 2, "oldest_silent_ms": 300}, "timeout"),
        ({"ok": 99, "errors": {"transport": 5}, "consecutive": 5}, "transport"),
    ],
)
def test_a_ramp_is_judged_by_the_usual_rules_too(facts: dict[str, Any], last_error: str | None) -> None:
    judge = ramping()
    at = judge.breaker.since + 500
    assert causes(judge.signal(make_signal(at, **facts), at)) == ["ramp_failing"]
    assert judge.breaker.last_error == last_error


def test_a_refusal_in_a_ramp_rests_long() -> None:
    judge = ramping()
    at = judge.breaker.since + 500
    assert causes(judge.signal(failures(at, 1, kind="auth"), at)) == ["refused"]
    assert (judge.breaker.open_until or 0) - at >= 48_000


def test_retry_after_moves_the_limit_and_is_no_failure() -> None:
    judge = make_judge()
    limited = make_signal(NOW, errors={"rate_limited": 9}, limited_until=NOW + 3_000)
    assert causes(judge.signal(limited, NOW)) == ["limited"]
    assert (judge.breaker.state, judge.breaker.limited_until, judge.breaker.since) == ("closed", NOW + 3_000, 0)
    for until in (NOW + 3_000, NOW + 2_000, None):
        assert judge.signal(make_signal(NOW + 1, limited_until=until), NOW + 1) == []
    assert judge.signal(make_signal(NOW - 9_000, "late", limited_until=NOW - 1), NOW) == []


def test_a_limit_postpones_the_probe_of_an_open_one() -> None:
    judge = opened()
    judge.signal(make_signal(NOW + 1, limited_until=NOW + 60_000), NOW + 1)
    assert (judge.breaker.state, judge.breaker.open_until) == ("open", NOW + 60_000)
    assert judge.due_ms() == NOW + 60_000
    judge.signal(make_signal(NOW + 2, "w2", limited_until=NOW + 61_000), NOW + 2)
    assert judge.breaker.since == NOW


def test_a_limit_keeps_a_later_open_time() -> None:
    judge = opened("auth")
    open_until = judge.breaker.open_until
    judge.signal(make_signal(NOW + 1, limited_until=NOW + 1_000), NOW + 1)
    assert (judge.breaker.cause, judge.breaker.open_until) == ("limited", open_until)


def test_a_probe_answered_with_too_many_calls_waits_for_the_vendors_word() -> None:
    judge = opened()
    probe, at = rest(judge), judge.breaker.since + 100
    result = ProbeResult(probe.attempt_id, ok=False, kind="rate_limited")
    assert causes(judge.signal(make_signal(at, probe=result, limited_until=at + 300_000), at)) == ["probe_failed"]
    assert judge.breaker.open_until == judge.breaker.limited_until == at + 300_000


def test_a_limit_said_while_half_open_is_in_the_next_record() -> None:
    judge = opened()
    probe, at = rest(judge), judge.breaker.since + 100
    assert judge.signal(make_signal(at, limited_until=at + 9_000), at) == []
    answer(judge, probe, at + 100)
    assert (judge.breaker.state, judge.breaker.limited_until) == ("ramp", at + 9_000)


def test_a_changed_catalogue_probes_what_was_refused_and_nothing_else() -> None:
    refused, failing, fresh = opened("auth"), opened(), make_judge()
    effects = refused.catalog_changed(NOW + 10)
    assert causes(effects) == ["catalog_changed"]
    assert len(probes(refused.tick(NOW + 10))) == 1
    assert refused.catalog_changed(NOW + 20) == failing.catalog_changed(NOW + 10) == fresh.catalog_changed(NOW) == []


def test_a_changed_catalogue_may_bring_other_settings() -> None:
    judge = make_judge()
    judge.catalog_changed(NOW, Settings(consecutive_failures=1))
    assert causes(judge.signal(failures(NOW + 1, 1), NOW + 1)) == ["failing"]


def test_a_refused_credential_takes_its_other_endpoints_out() -> None:
    judge = make_judge()
    assert causes(judge.refused(ErrorKind.AUTH, NOW)) == ["refused"]
    assert judge.refused(ErrorKind.AUTH, NOW + 1) == []
    assert judge.breaker.last_error == "auth"


def order(word: str, at: int) -> Any:
    return make_signal(at, "operator", forced=word)


@pytest.mark.parametrize("word", ["open", "closed"])
def test_a_forced_one_holds_whatever_happens(word: str) -> None:
    judge = make_judge()
    assert causes(judge.signal(order(word, NOW), NOW)) == [f"forced_{word}"]
    assert (judge.breaker.state, judge.breaker.forced, judge.due_ms()) == (word, True, None)
    assert judge.signal(failures(NOW + 1, 50, limited_until=NOW + 5_000), NOW + 1) == []
    assert judge.refused(ErrorKind.AUTH, NOW + 2) == judge.catalog_changed(NOW + 2) == judge.tick(NOW + 10**9) == []
    assert judge.signal(order(word, NOW + 3), NOW + 3) == []


def test_the_end_of_forced_open_is_a_probe_of_forced_closed_nothing_more() -> None:
    judge = make_judge()
    judge.signal(order("open", NOW), NOW)
    assert causes(judge.signal(order("auto", NOW + 1), NOW + 1)) == ["auto"]
    assert (len(probes(judge.tick(NOW + 1))), judge.breaker.forced) == (1, False)
    judge.signal(order("closed", NOW + 2), NOW + 2)
    assert causes(judge.signal(order("auto", NOW + 3), NOW + 3)) == ["auto"]
    assert (judge.breaker.state, judge.breaker.forced) == ("closed", False)


@pytest.mark.parametrize("word", ["open", "closed"])
def test_orders_in_the_middle_of_a_probe_lead_to_no_second_one(word: str) -> None:
    judge = opened()
    rest(judge)
    began = judge.breaker.since
    for number, said in enumerate((word, "auto")):
        judge.signal(order(said, began + number), began + number)
    judge.signal(failures(began + 2), began + 2)
    assert judge.breaker.state == "open"
    judge = restarted(judge)
    assert judge.due_ms() == began + PROBE_PATIENCE_MS
    assert len(probes(judge.tick(began + PROBE_PATIENCE_MS))) == 1


def test_a_half_open_one_of_the_first_version_is_not_waited_for_for_ever() -> None:
    judge = make_judge(state="half_open", epoch=3, since=NOW, at=NOW)
    assert causes(judge.tick(NOW + PROBE_PATIENCE_MS)) == ["probe_lost"]


def test_an_operator_closes_what_was_refused() -> None:
    judge = opened("not_found")
    assert causes(judge.signal(order("closed", NOW + 1), NOW + 1)) == ["forced_closed"]
    assert (judge.breaker.opened_count, judge.breaker.last_error) == (0, None)


def test_an_order_counts_however_late_but_not_after_a_later_one() -> None:
    judge = make_judge()
    assert causes(judge.signal(order("open", NOW - 900_000), NOW)) == ["forced_open"]
    assert judge.signal(order("closed", NOW - 900_001), NOW) == []
    assert judge.signal(order("auto", NOW - 900_000), NOW) == []


def test_auto_and_unknown_words_say_nothing_to_one_that_is_not_forced() -> None:
    judge = opened()
    assert judge.signal(order("auto", NOW + 1), NOW + 1) == judge.signal(order("ajar", NOW + 2), NOW + 2) == []


def restarted(judge: Judge) -> Judge:
    return Judge(judge.breaker, SETTINGS)


def test_after_a_restart_an_open_one_stays_open_until_its_time() -> None:
    judge = restarted(opened())
    assert judge.signal(failures(NOW), NOW + 5) == []
    assert causes(judge.tick(judge.breaker.open_until or 0)) == ["rested"]


def test_after_a_restart_the_probe_that_is_out_still_counts() -> None:
    judge = opened()
    probe = rest(judge)
    later = restarted(judge)
    assert causes(answer(later, probe, later.breaker.since + 5_000)) == ["probe_ok"]


def test_after_a_restart_a_probe_without_result_is_lost() -> None:
    judge = opened()
    rest(judge)
    later = restarted(judge)
    assert later.tick(later.breaker.since + 14_999) == []
    assert causes(later.tick(later.breaker.since + 15_000)) == ["probe_lost"]


def test_after_a_restart_a_ramp_goes_on() -> None:
    judge = ramping()
    judge.tick(judge.due_ms() or 0)
    later = restarted(judge)
    assert later.due_ms() == judge.due_ms()
    later.tick(later.due_ms() or 0)
    assert later.breaker.allowed_in_flight == 4


def waiting(at: int, oldest_ms: int, number: int = 6, **facts: Any) -> Any:
    said = {"waiting": number, "in_flight": number, "oldest_silent_ms": oldest_ms, "first_event_ewma_ms": 200}
    return make_signal(at, **(said | facts))


def test_where_all_calls_wait_and_nobody_has_an_answer_others_are_preferred_before_it_is_silence() -> None:
    judge = make_judge()
    assert judge.signal(waiting(NOW + 900, 900), NOW + 900) == []
    assert causes(judge.signal(waiting(NOW + 1_150, 1_150), NOW + 1_150)) == ["hesitant"]
    assert (judge.breaker.state, judge.breaker.hesitant) == ("closed", True)
    assert judge.signal(waiting(NOW + 1_400, 1_400), NOW + 1_400) == []
    assert causes(judge.signal(waiting(NOW + 2_100, 2_100, silent=2), NOW + 2_100)) == ["silent"]
    assert (judge.breaker.state, judge.breaker.hesitant) == ("open", False)


@pytest.mark.parametrize(
    "facts",
    [{"number": 3}, {"in_flight": 13}, {"first_event_ewma_ms": 700}, {"ok": 1}],
    ids=["few", "most_are_answered", "usually_slow", "somebody_was_answered"],
)
def test_it_is_no_hesitation_where(facts: dict[str, Any]) -> None:
    judge = make_judge()
    assert judge.signal(waiting(NOW + 1_150, 1_150, **facts), NOW + 1_150) == []


def test_hesitation_ends_with_an_answer_or_after_a_while_since_where_nobody_goes_nobody_sees() -> None:
    answered, left = make_judge(), make_judge()
    for judge in (answered, left):
        judge.signal(waiting(NOW + 1_150, 1_150), NOW + 1_150)
    assert causes(answered.signal(make_signal(NOW + 1_400, ok=6), NOW + 1_400)) == ["answering"]
    assert left.due_ms() == NOW + 3_150
    assert causes(restarted(left).tick(NOW + 3_150)) == ["answering"]
    assert left.breaker.state == "closed"
