"""What the window counts, forgets and refuses to count."""

from typing import Any

from breaker_builder import NOW, failures, make_signal

from pipeline.core.breaker.window import Sums, Window

LENGTH_MS = 10_000


def make_window(floor_ms: int = 0) -> Window:
    return Window(LENGTH_MS, floor_ms)


def test_counts_of_all_workers_add_up_and_leave_after_the_window() -> None:
    window = make_window()
    window.add(make_signal(NOW, "w1", ok=3, slow=2), NOW)
    window.add(make_signal(NOW + 1, "w2", ok=1, errors={"timeout": 2, "rate_limited": 9, "auth": 1}), NOW + 1)
    assert window.sums == Sums(ok=4, errors=2, slow=2)
    window.add(make_signal(NOW + LENGTH_MS + 300), NOW + LENGTH_MS + 300)
    assert window.sums == Sums()


def test_shares_are_nothing_without_samples() -> None:
    assert (Sums(slow=4).error_share, Sums(slow=4).slow_share) == (0.0, 0.0)
    assert (Sums(3, 1, 2).error_share, Sums(3, 1, 2).slow_share) == (0.25, 0.5)


def test_the_same_signal_counts_once() -> None:
    window, signal = make_window(), failures(NOW, 3)
    assert [window.add(signal, NOW), window.add(signal, NOW + 50)] == [True, False]
    assert (window.sums.errors, window.in_a_row) == (3, 3)


def test_what_is_too_old_too_far_ahead_or_before_the_state_says_nothing() -> None:
    window = make_window(floor_ms=NOW - 5_000)
    for at in (NOW - LENGTH_MS, NOW + LENGTH_MS, NOW - 5_000):
        assert not window.add(failures(at), NOW)
    assert window.add(failures(NOW - 4_999, 1), NOW)
    assert window.add(failures(NOW + 100, 1), NOW)
    assert window.in_a_row == 2


def test_a_new_state_starts_from_nothing_but_knows_whom_it_heard() -> None:
    window, ahead = make_window(), failures(NOW + 500, 3)
    window.add(ahead, NOW)
    window.clear(NOW)
    assert (window.sums, window.in_a_row, window.last_kind) == (Sums(), 0, None)
    assert not window.add(ahead, NOW + 1)


def test_failures_in_a_row_are_those_of_all_workers_since_anybodys_success() -> None:
    window = make_window()
    window.add(failures(NOW, 2), NOW)
    window.add(failures(NOW + 10, 1, worker="w2"), NOW + 10)
    assert window.in_a_row == 3
    window.add(make_signal(NOW + 20, "w3", ok=1), NOW + 20)
    assert window.in_a_row == 0


def test_of_a_signal_with_both_only_the_trailing_failures_are_in_a_row() -> None:
    window = make_window()
    window.add(make_signal(NOW, ok=1, errors={"transport": 5}, consecutive=2), NOW)
    assert (window.in_a_row, window.sums.errors, window.last_kind) == (2, 5, "transport")


def test_a_late_success_ends_only_the_row_before_it() -> None:
    window = make_window()
    window.add(failures(NOW, 2), NOW)
    window.add(failures(NOW + 100, 3, worker="w2"), NOW + 100)
    window.add(make_signal(NOW + 50, "w3", ok=1), NOW + 110)
    assert window.in_a_row == 3


def test_a_late_failure_from_before_a_success_is_not_in_a_row() -> None:
    window = make_window()
    window.add(make_signal(NOW + 50, "w2", ok=1), NOW + 50)
    window.add(failures(NOW, 4), NOW + 60)
    assert (window.in_a_row, window.sums.errors) == (0, 4)


def silent(at: int, number: int, in_flight: int, oldest_ms: int = 3_000, worker: str = "w1") -> dict[str, Any]:
    return {"at": at, "worker": worker, "silent": number, "in_flight": in_flight, "oldest_silent_ms": oldest_ms}


def is_silent(*signals: dict[str, Any], now_ms: int = NOW, floor_ms: int = 0) -> bool:
    window = make_window(floor_ms)
    for facts in signals:
        window.add(make_signal(**facts), now_ms)
    return window.is_silent(now_ms)


def test_one_stuck_call_among_healthy_ones_is_no_silence() -> None:
    healthy = {"at": NOW - 100, "worker": "w2", "ok": 1, "in_flight": 3}
    assert not is_silent(healthy, silent(NOW, 1, 1))
    assert not is_silent(healthy, silent(NOW, 2, 6))


def test_nobody_answering_since_a_call_began_is_silence() -> None:
    assert is_silent(silent(NOW, 1, 9))
    assert is_silent({"at": NOW - 3_001, "ok": 1}, silent(NOW, 1, 9))


def test_several_silent_calls_that_are_half_of_all_are_silence() -> None:
    healthy = {"at": NOW - 100, "worker": "w2", "ok": 1, "in_flight": 1}
    assert is_silent(healthy, silent(NOW, 2, 3))


def test_several_silent_calls_are_silence_once_nobody_was_answered_for_long_by_what_is_usual() -> None:
    many = silent(NOW, 2, 60)  # the oldest stuck since long before the last success
    assert not is_silent({"at": NOW - 1_900, "ok": 1}, many)
    assert is_silent({"at": NOW - 2_000, "ok": 1}, many)
    assert not is_silent({"at": NOW - 2_000, "ok": 1}, many | {"first_event_ewma_ms": 700})


def test_a_success_that_was_said_just_after_a_call_began_may_have_been_before_it() -> None:
    assert is_silent({"at": NOW - 2_500, "ok": 1}, silent(NOW, 1, 9))
    assert not is_silent({"at": NOW - 2_499, "ok": 1}, silent(NOW, 1, 9))


def test_a_worker_that_is_not_heard_any_more_is_not_silent() -> None:
    assert not is_silent(silent(NOW - 2_000, 3, 3))


def test_a_call_from_before_the_state_is_not_its_silence() -> None:
    assert not is_silent(silent(NOW, 1, 1), floor_ms=NOW - 1_000)


def test_an_older_signal_does_not_replace_what_a_worker_does_now() -> None:
    assert not is_silent({"at": NOW, "in_flight": 1}, silent(NOW - 300, 1, 1))
