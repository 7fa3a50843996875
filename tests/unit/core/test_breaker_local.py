"""The fast path of one process, and who wins: it or health."""

import pytest
from breaker_builder import ENDPOINT, NOW, SETTINGS

from pipeline.core.breaker import LocalBreaker
from schemas.errors import ErrorKind
from schemas.events.breaker import Breaker


def make_local(failures: int = 0, **facts: int) -> LocalBreaker:
    local = LocalBreaker(lambda: SETTINGS, **facts)
    for _ in range(failures):
        local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW)
    return local


def test_an_unknown_endpoint_is_allowed_and_its_success_is_no_news() -> None:
    local = make_local()
    local.succeeded(ENDPOINT, NOW)
    assert local.allows(ENDPOINT, 10**6, NOW) is None


def test_so_many_failures_in_a_row_open_it_at_once_and_for_a_while() -> None:
    local = make_local()
    assert [local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW) for _ in range(6)] == [False] * 4 + [True, False]
    assert local.allows(ENDPOINT, 0, NOW + 4_999) == "open"
    assert local.allows(ENDPOINT, 0, NOW + 5_000) is None
    assert local.allows("openai/other/us", 0, NOW) is None


def test_a_success_in_between_starts_the_count_anew() -> None:
    local = make_local(failures=4)
    local.succeeded(ENDPOINT, NOW)
    assert not local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW)
    assert local.allows(ENDPOINT, 0, NOW) is None


def test_after_its_rest_one_failure_opens_it_again_and_one_success_forgets() -> None:
    local = make_local(failures=5)
    assert local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW + 5_000)
    local.succeeded(ENDPOINT, NOW + 5_001)  # of a call that began before: it stays open
    assert local.allows(ENDPOINT, 0, NOW + 5_001) == "open"
    local.succeeded(ENDPOINT, NOW + 10_000)
    assert not local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW + 10_001)


def test_after_its_rest_one_call_at_a_time_goes_until_one_is_well() -> None:
    local = make_local(failures=5)
    assert [local.allows(ENDPOINT, number, NOW + 5_000) for number in (0, 1)] == [None, "ramp"]
    local.succeeded(ENDPOINT, NOW + 5_001)
    assert local.allows(ENDPOINT, 1, NOW + 5_001) is None


def test_silence_opens_it_for_a_while_but_not_one_that_is_held_closed() -> None:
    local = make_local()
    local.silent(ENDPOINT, NOW)
    local.silent(ENDPOINT, NOW + 4_000)  # it is out: nothing new
    assert local.allows(ENDPOINT, 0, NOW + 4_999) == "open"
    assert [local.allows(ENDPOINT, number, NOW + 5_000) for number in (0, 1)] == [None, "ramp"]
    local.heard(Breaker(ENDPOINT, epoch=1, forced=True))
    local.silent(ENDPOINT, NOW + 6_000)
    assert local.allows(ENDPOINT, 9, NOW + 6_000) is None


def test_a_failure_of_a_call_from_before_the_state_says_nothing_about_it() -> None:
    local = make_local()
    local.heard(Breaker(ENDPOINT, "ramp", epoch=3, since=NOW))
    for _ in range(5):
        assert not local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW + 100, began_ms=NOW - 1)
    assert local.since_ms(ENDPOINT) == NOW
    assert [local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW + 100, began_ms=NOW) for _ in range(5)][-1]


def test_while_no_calls_go_there_there_is_no_time_since_when_they_do() -> None:
    local = make_local()
    assert local.since_ms(ENDPOINT) == 0
    local.heard(Breaker(ENDPOINT, "open", epoch=1, since=NOW))
    assert local.since_ms(ENDPOINT) == 0


@pytest.mark.parametrize("kind", [ErrorKind.AUTH, ErrorKind.QUOTA_EXHAUSTED, ErrorKind.NOT_FOUND])
def test_one_refusal_opens_it(kind: ErrorKind) -> None:
    local = make_local()
    assert local.failed(ENDPOINT, kind, NOW)
    assert local.allows(ENDPOINT, 0, NOW) == "open"


@pytest.mark.parametrize("kind", [ErrorKind.INVALID_REQUEST, ErrorKind.RATE_LIMITED, ErrorKind.CANCELLED])
def test_what_is_no_fault_of_the_endpoint_does_not_count(kind: ErrorKind) -> None:
    local = make_local(failures=4)
    assert not local.failed(ENDPOINT, kind, NOW)
    assert local.allows(ENDPOINT, 0, NOW) is None


def test_the_vendors_word_limits_until_its_time_and_the_latest_word_holds() -> None:
    local = make_local()
    local.limited(ENDPOINT, NOW + 2_000)
    local.limited(ENDPOINT, NOW + 1_000)
    assert local.allows(ENDPOINT, 0, NOW + 1_999) == "limited"
    assert local.allows(ENDPOINT, 0, NOW + 2_000) is None


def test_what_health_says_after_a_local_trip_wins() -> None:
    local = make_local(failures=5)
    local.heard(Breaker(ENDPOINT, "ramp", epoch=4, cause="probe_ok", allowed_in_flight=2))
    assert local.allows(ENDPOINT, 1, NOW) is None
    assert local.allows(ENDPOINT, 2, NOW) == "ramp"
    assert not local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW)


@pytest.mark.parametrize(("epoch", "cause"), [(3, "ramp_done"), (2, "ramp_done"), (4, "limited")])
def test_an_old_record_and_one_that_only_limits_leave_a_local_trip(epoch: int, cause: str) -> None:
    local = make_local()
    local.heard(Breaker(ENDPOINT, epoch=3, cause="ramp_done"))
    for _ in range(5):
        local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW)
    local.heard(Breaker(ENDPOINT, epoch=epoch, cause=cause))
    assert local.allows(ENDPOINT, 0, NOW) == "open"


def test_it_is_out_if_either_says_so() -> None:
    local = make_local()
    local.heard(Breaker(ENDPOINT, "open", epoch=2, open_until=NOW))
    local.heard(Breaker(ENDPOINT, "closed", epoch=1))
    assert local.allows(ENDPOINT, 0, NOW + 10**9) == "open"


def test_forced_closed_is_allowed_whatever_this_process_saw() -> None:
    local = make_local()
    local.heard(Breaker(ENDPOINT, epoch=2, cause="forced_closed", forced=True))
    local.limited(ENDPOINT, NOW + 1_000)
    for _ in range(9):
        local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW)
    assert local.allows(ENDPOINT, 10**6, NOW) is None


def test_its_memory_is_bounded_and_the_least_recently_touched_goes_first() -> None:
    local = make_local(max_endpoints=2)
    for endpoint in ("a", "b", "a", "c"):
        local.limited(endpoint, NOW + 1_000)
    assert [local.allows(endpoint, 0, NOW) for endpoint in "abc"] == ["limited", None, "limited"]


def test_settings_that_change_are_in_force_at_once() -> None:
    settings = [SETTINGS]
    local = LocalBreaker(lambda: settings[0])
    settings[0] = SETTINGS.model_copy(update={"consecutive_failures": 2})
    assert [local.failed(ENDPOINT, ErrorKind.TIMEOUT, NOW) for _ in range(2)] == [False, True]
