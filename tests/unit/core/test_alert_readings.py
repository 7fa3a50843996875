"""What the terms of alert rules are worth."""

from typing import Any

import pytest

from pipeline.core.alerting import Backlog, Calls, Outages, Tally, consumer_lag, freshness_s
from pipeline.core.alerting.readings import MIN_CALLS, WINDOW_MS
from schemas.events import Alert, Attempt, AttemptError, Breaker

NOW = 1_767_225_600_000
ENDPOINT = "openai/gpt/us"
OF_ENDPOINT = (("endpoint", ENDPOINT), ("provider", "openai"))
OF_PROVIDER = (("provider", "openai"),)


def make_attempt(number: int, *, error: AttemptError | None = None, **facts: Any) -> Attempt:
    result = "error" if error else "ok"
    given = {"phase": "finished", "result": result, "role": "primary", "provider": "openai", **facts}
    return Attempt(
        request_id="r", tenant="t", attempt=1, attempt_id=f"a{number}", model="gpt", region="us", worker="0-a",
        started_at=NOW, error=error, **given,
    )  # fmt: skip


def breaker(state: str, epoch: int, since: int) -> Breaker:
    return Breaker(ENDPOINT, state, epoch, since, since)


def test_an_outage_lasts_from_the_first_opening_until_it_is_closed() -> None:
    outages = Outages()
    for epoch, (state, at) in enumerate([("open", 0), ("half_open", 5), ("open", 6), ("half_open", 16), ("ramp", 17)]):
        outages.note(breaker(state, epoch + 1, NOW + at * 1000))
        assert outages.breaker_open_s({ENDPOINT}, NOW + 20_000) == {OF_ENDPOINT: 20.0}
    outages.note(breaker("closed", 9, NOW + 21_000))
    assert outages.breaker_open_s({ENDPOINT}, NOW + 30_000) == {OF_ENDPOINT: 0.0}
    outages.note(breaker("open", 10, NOW + 40_000))
    assert outages.breaker_open_s({ENDPOINT}, NOW + 41_000) == {OF_ENDPOINT: 1.0}


def test_a_record_that_comes_late_changes_nothing() -> None:
    outages = Outages()
    outages.note(breaker("open", 5, NOW))
    outages.note(breaker("closed", 4, NOW + 1))
    assert outages.breaker_open_s({ENDPOINT}, NOW + 2_000) == {OF_ENDPOINT: 2.0}


def test_an_outage_whose_first_record_is_compacted_away_is_as_long_as_its_alert_says() -> None:
    alert = Alert("id", "down", "firing", "breaker_open_s", ">", 60.0, 61.0, dict(OF_ENDPOINT), NOW, NOW + 61_000, "c")
    outages = Outages([alert])
    outages.note(breaker("half_open", 40, NOW + 500_000))
    assert outages.breaker_open_s({ENDPOINT}, NOW + 600_000) == {OF_ENDPOINT: 600.0}
    outages.note(breaker("closed", 41, NOW + 600_000))
    outages.note(breaker("open", 42, NOW + 700_000))
    assert outages.breaker_open_s({ENDPOINT}, NOW + 701_000) == {OF_ENDPOINT: 1.0}


def test_the_error_rate_is_of_the_last_minute_and_counts_each_call_once() -> None:
    calls = Calls()
    failed = AttemptError("provider_fault")
    for number in range(10):
        for _ in range(2):
            calls.note(make_attempt(number, error=failed if number < 4 else None), NOW)
    assert calls.error_rate() == {OF_PROVIDER: 0.4}
    calls.forget(NOW + WINDOW_MS - 1)
    assert calls.error_rate() == {OF_PROVIDER: 0.4}
    calls.forget(NOW + WINDOW_MS)
    assert calls.error_rate() == {}


def test_few_calls_say_nothing() -> None:
    calls = Calls()
    for number in range(MIN_CALLS - 1):
        calls.note(make_attempt(number, error=AttemptError("timeout"), first_event_ms=5), NOW)
    assert (calls.error_rate(), calls.p95_first_token_s()) == ({}, {})


@pytest.mark.parametrize(
    ("attempt", "counts"),
    [
        (make_attempt(1), True),
        (make_attempt(1, error=AttemptError("rate_limited")), True),
        (make_attempt(1, error=AttemptError("auth")), True),
        (make_attempt(1, error=AttemptError("a kind of tomorrow")), True),
        (make_attempt(1, error=AttemptError("invalid_request")), False),
        (make_attempt(1, error=AttemptError("content_filtered")), False),
        (make_attempt(1, error=AttemptError("context_too_long")), False),
        (make_attempt(1, error=AttemptError("transport", code="handed_over")), False),
        (make_attempt(1, result="cancelled"), False),
        (make_attempt(1, result="unknown"), False),
        (make_attempt(1, phase="started", result=None), False),
    ],
)
def test_what_says_something_of_the_provider(attempt: Attempt, counts: bool) -> None:
    calls = Calls()
    calls.note(attempt, NOW)
    for number in range(100, 100 + MIN_CALLS - 1):
        calls.note(make_attempt(number), NOW)
    assert bool(calls.error_rate()) == counts


def test_the_95th_percentile_is_of_good_streams() -> None:
    calls = Calls()
    for number in range(100):
        calls.note(make_attempt(number, first_event_ms=(number + 1) * 10), NOW)
    calls.note(make_attempt(200, first_event_ms=99_000, error=AttemptError("timeout")), NOW)
    calls.note(make_attempt(201), NOW)
    assert calls.p95_first_token_s() == {OF_PROVIDER: 0.95}


def test_dead_letters_are_counted_over_a_minute() -> None:
    tally = Tally()
    assert tally.dead_letters_per_min() == {(): 0.0}
    for at in (0, 30_000):
        tally.note(NOW + at)
    tally.forget(NOW + WINDOW_MS)
    assert tally.dead_letters_per_min() == {(): 1.0}


def test_lag_is_summed_over_the_partitions_of_a_group_and_freshness_is_that_of_the_worst() -> None:
    backlogs = [
        Backlog("millrace-sink", "costs.v1", 3, 4.0),
        Backlog("millrace-sink", "costs.v1", 2, 1.0),
        Backlog("millrace-sink", "attempts.v1", 0),
    ]
    costs, attempts = ((("group", "millrace-sink"), ("topic", topic)) for topic in ("costs.v1", "attempts.v1"))
    assert consumer_lag(backlogs) == {costs: 5.0, attempts: 0.0}
    assert freshness_s(backlogs) == {(("topic", "costs.v1"),): 4.0, (("topic", "attempts.v1"),): 0.0}


def test_how_fresh_rows_are_is_not_known_while_a_place_that_is_behind_could_not_be_read() -> None:
    assert freshness_s([Backlog("millrace-sink", "costs.v1", 3)]) is None


def test_an_endpoint_that_left_the_catalogue_is_no_subject() -> None:
    outages = Outages()
    outages.note(breaker("open", 1, NOW))
    assert outages.breaker_open_s(set(), NOW) == {}
