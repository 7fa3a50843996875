"""The table, what a state allows, how long an open one rests."""

from dataclasses import replace
from typing import Any

import pytest
from breaker_builder import ENDPOINT, NOW, SETTINGS

from pipeline.core.breaker import TRANSITIONS, Cause, State, held_back, view_of
from pipeline.core.breaker.machine import counts, refuses, rested_at, row_of
from schemas.errors import ErrorKind
from schemas.events.breaker import Breaker


def test_every_state_can_be_left_and_every_cause_does_something() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert {cause for _, cause in TRANSITIONS} == set(Cause)


def test_calls_go_again_only_by_way_of_a_probe_or_an_operator() -> None:
    into_ramp = {cause for (state, cause), after in TRANSITIONS.items() if after is State.RAMP and state is not after}
    into_closed = {cause for (_, cause), after in TRANSITIONS.items() if after is State.CLOSED}
    assert into_ramp == {Cause.PROBE_OK}
    assert into_closed == {
        Cause.RAMP_DONE,
        Cause.FORCED_CLOSED,
        Cause.AUTO,
        Cause.LIMITED,
        Cause.HESITANT,
        Cause.ANSWERING,
    }


@pytest.mark.parametrize(
    ("facts", "in_flight", "why"),
    [
        ({}, 999, None),
        ({"state": "open", "open_until": NOW + 1}, 0, "open"),
        ({"state": "open", "open_until": NOW - 1}, 0, "open"),
        ({"state": "open", "forced": True}, 0, "open"),
        ({"state": "half_open"}, 0, "half_open"),
        ({"state": "ramp", "allowed_in_flight": 2}, 1, None),
        ({"state": "ramp", "allowed_in_flight": 2}, 2, "ramp"),
        ({"limited_until": NOW + 1}, 0, "limited"),
        ({"limited_until": NOW}, 0, None),
        ({"state": "ramp", "allowed_in_flight": 2, "limited_until": NOW + 1}, 0, "limited"),
        ({"forced": True, "limited_until": NOW + 1}, 999, None),
    ],
)
def test_a_state_says_why_no_call_may_go(facts: dict[str, Any], in_flight: int, why: str | None) -> None:
    assert held_back(view_of(Breaker(ENDPOINT, **facts), in_flight, NOW), NOW) == why


def test_an_unknown_endpoint_is_allowed() -> None:
    assert held_back(view_of(None, 10**6, NOW), NOW) is None


def test_kinds_are_read_from_their_rows() -> None:
    assert [kind for kind in ErrorKind if refuses(kind)] == [
        ErrorKind.AUTH,
        ErrorKind.QUOTA_EXHAUSTED,
        ErrorKind.NOT_FOUND,
    ]
    assert counts("timeout")
    assert not counts("rate_limited")


@pytest.mark.parametrize("kind", ["a_kind_of_tomorrow", "", None])
def test_a_kind_that_we_do_not_know_says_nothing(kind: str | None) -> None:
    assert row_of(kind) is None
    assert not counts(kind)
    assert not refuses(kind)


def test_the_rest_doubles_with_jitter_up_to_the_longest() -> None:
    rests = [rested_at(Breaker(ENDPOINT, epoch=n, opened_count=n), SETTINGS, NOW) - NOW for n in range(1, 200)]
    for n, rest_ms in enumerate(rests, start=1):
        assert min(0.8 * 5_000 * 2 ** (n - 1), 48_000) <= rest_ms <= min(1.2 * 5_000 * 2 ** (n - 1), 60_000)
    assert len(set(rests)) > 50


def test_the_rest_of_a_refusal_is_long_from_the_first_time() -> None:
    breaker = Breaker(ENDPOINT, epoch=1, opened_count=1, last_error="auth")
    assert 48_000 <= rested_at(breaker, SETTINGS, NOW) - NOW <= 60_000


def test_no_probe_goes_before_the_vendors_own_word_is_over() -> None:
    breaker = Breaker(ENDPOINT, epoch=1, opened_count=1, limited_until=NOW + 600_000)
    assert rested_at(breaker, SETTINGS, NOW) == NOW + 600_000
    assert rested_at(replace(breaker, limited_until=NOW + 1), SETTINGS, NOW) > NOW + 3_999
