"""The retry budget: what a quiet and a busy system may do, and the bound under any arrivals."""

from bisect import bisect_right

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.retry_budget import RetryBudget

NOW = 1_800_000_000_000
WINDOW_MS = 10_000


def taken(budget: RetryBudget, at: int, tries: int = 1_000) -> int:
    return sum(budget.take("openai", at) for _ in range(tries))


def test_a_quiet_system_may_retry_ten_times_in_ten_seconds() -> None:
    budget = RetryBudget()
    assert budget.tokens("openai", NOW) == 10.0
    assert taken(budget, NOW) == 10
    assert (taken(budget, NOW + 9_999), taken(budget, NOW + 10_100)) == (0, 10)


def test_five_first_attempts_earn_one_retry() -> None:
    budget = RetryBudget(floor_per_s=0)
    for n in range(50):
        budget.first_attempt("openai", NOW + n)
    assert budget.tokens("openai", NOW + 50) == 10.0
    assert taken(budget, NOW + 50) == 10
    assert budget.tokens("openai", NOW + 50) == 0.0


def test_what_was_earned_expires_after_nine_seconds() -> None:
    budget = RetryBudget(floor_per_s=0)
    for _ in range(50):
        budget.first_attempt("openai", NOW)
    assert budget.tokens("openai", NOW + 8_800) == 10.0
    assert budget.tokens("openai", NOW + 9_000) == 0.0


def test_providers_do_not_share() -> None:
    budget = RetryBudget()
    assert taken(budget, NOW) == 10
    assert budget.take("gemini", NOW)


def test_a_ratio_of_nothing_leaves_the_floor() -> None:
    budget = RetryBudget(ratio=0)
    for _ in range(500):
        budget.first_attempt("openai", NOW)
    assert taken(budget, NOW) == 10


ARRIVALS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 40, 99, 100, 700, 5_000, 9_999, 10_000]), st.integers(0, 60), st.integers(0, 30)),
    max_size=60,
)  # fmt: skip


@settings(derandomize=True, max_examples=200, deadline=None)
@given(arrivals=ARRIVALS, offset=st.integers(0, 99))
def test_calls_in_any_ten_seconds_up_to_a_second_after_a_retry_are_at_most_a_fifth_more_and_one_a_second(
    arrivals: list[tuple[int, int, int]], offset: int
) -> None:
    budget, at = RetryBudget(), NOW + offset
    firsts: list[int] = []
    retries: list[int] = []
    for gap_ms, first, wanted in arrivals:
        at += gap_ms
        for _ in range(first):
            budget.first_attempt("openai", at)
        firsts += [at] * first
        retries += [at] * taken(budget, at, wanted)
    for end in {retry_at + after for retry_at in retries for after in (0, 437, 999)}:
        in_window = [bisect_right(calls, end) - bisect_right(calls, end - WINDOW_MS) for calls in (firsts, retries)]
        assert sum(in_window) <= 1.2 * in_window[0] + 10 + 1e-6


@settings(derandomize=True, max_examples=100, deadline=None)
@given(arrivals=ARRIVALS)
def test_retries_of_any_ten_seconds_are_paid_by_the_twenty_before_their_end(
    arrivals: list[tuple[int, int, int]],
) -> None:
    """Windows that end without a retry, too: their first attempts may have gone, what they paid for has not."""
    budget, at = RetryBudget(), NOW
    firsts: list[int] = []
    retries: list[int] = []
    for gap_ms, first, wanted in arrivals:
        at += gap_ms
        for _ in range(first):
            budget.first_attempt("openai", at)
        firsts += [at] * first
        retries += [at] * taken(budget, at, wanted)
    for end in range(NOW, at + WINDOW_MS, 977):
        made = bisect_right(retries, end) - bisect_right(retries, end - WINDOW_MS)
        paid = bisect_right(firsts, end) - bisect_right(firsts, end - 2 * WINDOW_MS)
        assert made <= 0.2 * paid + 10 + 1e-6
