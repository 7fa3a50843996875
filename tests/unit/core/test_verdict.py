"""Sequences that hold at every look: false verdicts, power, and what must be true of all of them."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.verdict import Moments, arms, bounded_mean, difference, judged, mean, rate, wealth

ALPHA = 0.05
RUNS = 2_000
PAIRS = 2_000
COUNTS = st.dictionaries(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(1, 500), min_size=1)
FEW = st.integers(0, 400)
STEADY = settings(max_examples=60, derandomize=True, deadline=None)


@pytest.fixture(scope="module")
def decides() -> list[int]:
    """By decisive pairs: the least wins that are a verdict. Ties decide nothing: they multiply what a bettor has by 1."""
    needed, wins = [1], 0
    for pairs in range(1, 2 * PAIRS + 1):
        while wins <= pairs and wealth({1.0: wins, 0.0: pairs - wins}, 0.5) < -math.log(ALPHA / 2):
            wins += 1
        needed.append(wins)
    return needed


def first_verdict(decides: list[int], draw: Callable[[], float], p_win: float, most: int) -> tuple[str, int]:
    """Looking after every pair, stopping at the first verdict."""
    wins = 0
    for pairs in range(1, most + 1):
        wins += draw() < p_win
        if wins >= decides[pairs]:
            return "promote", pairs
        if pairs - wins >= decides[pairs]:
            return "keep", pairs
    return "more", most


@pytest.mark.parametrize("pairs", [7, 8, 40, 333, 2 * PAIRS])
def test_the_table_of_the_simulations_is_what_judged_says(decides: list[int], pairs: int) -> None:
    wins = decides[pairs]
    for ties in (0, 50):
        said = [
            judged(wins=won, ties=ties, losses=pairs - won).verdict
            for won in (wins - 1, min(wins, pairs), pairs - min(wins, pairs))
        ]
        assert said == (["more", "promote", "keep"] if wins <= pairs else ["more"] * 3)


def test_peeking_after_every_pair_finds_a_difference_of_equals_in_at_most_one_run_of_twenty(decides: list[int]) -> None:
    draw = random.Random(7).random
    false = sum(first_verdict(decides, draw, 0.5, PAIRS)[0] != "more" for _ in range(RUNS))
    assert 0.01 * RUNS < false <= ALPHA * RUNS


@pytest.mark.parametrize(("p_win", "median", "most"), [(0.6, 260, 900), (0.7, 70, 300), (0.55, 1_100, 2 * PAIRS)])
def test_a_better_shadow_is_found_with_a_sensible_number_of_pairs(
    decides: list[int], p_win: float, median: int, most: int
) -> None:
    draw = random.Random(8).random
    found = [first_verdict(decides, draw, p_win, most) for _ in range(300)]
    assert sorted(pairs for _, pairs in found)[150] <= median
    assert sum(verdict == "promote" for verdict, _ in found) >= 0.95 * 300


@pytest.mark.parametrize("scores", [(0.0, 1.0), (0.0, 0.5, 1.0), (0.0, 0.1, 0.9)])
def test_the_truth_is_ever_outside_in_at_most_one_run_of_twenty(scores: tuple[float, ...]) -> None:
    draw, truth, missed = random.Random(9), sum(scores) / len(scores), 0
    for _ in range(200):
        counts = dict.fromkeys(scores, 0)
        for look in range(1, 201):
            counts[draw.choice(scores)] += 1
            mirrored = {1 - score: number for score, number in counts.items()}
            ends = (wealth(counts, truth), wealth(mirrored, 1 - truth)) if look % 4 == 0 else (0.0, 0.0)
            if max(ends) >= -math.log(ALPHA / 2):
                missed += 1
                break
    assert missed <= ALPHA * 200


@STEADY
@given(COUNTS)
def test_the_estimate_is_between_the_ends_and_they_in_the_range(counts: dict[float, int]) -> None:
    found = bounded_mean(counts)
    assert found.estimate is not None
    assert 0 <= found.low <= found.estimate + 1e-9
    assert found.estimate - 1e-9 <= found.high <= 1


@STEADY
@given(COUNTS)
def test_what_is_excluded_is_poor_in_belief_and_what_is_not_is_possible(counts: dict[float, int]) -> None:
    """The ends are where a bettor has 1/alpha of his stake, and he gets richer the further away."""
    found, rich = bounded_mean(counts), -math.log(ALPHA / 2)
    if found.low > 0:
        assert wealth(counts, found.low) >= rich > wealth(counts, found.low + 2e-6)
    at = [step / 20 for step in range(1, 21)]
    assert all(nearer <= further + 1e-9 for further, nearer in pairwise(wealth(counts, m) for m in at))


@STEADY
@given(
    st.dictionaries(st.integers(0, 1000).map(lambda part: part / 1000), st.integers(1, 40), min_size=12, max_size=60)
)
def test_many_different_values_have_the_same_mean_and_ends_no_narrower(counts: dict[float, int]) -> None:
    found = bounded_mean(counts)
    number = sum(counts.values())
    assert found.estimate == pytest.approx(sum(value * count for value, count in counts.items()) / number)
    rich, mirrored = -math.log(ALPHA / 2), {1 - value: count for value, count in counts.items()}
    assert found.low == 0 or wealth(counts, found.low) >= rich
    assert found.high == 1 or wealth(mirrored, 1 - found.high) >= rich


@STEADY
@given(FEW, FEW, FEW)
def test_who_wins_is_a_matter_of_names(wins: int, ties: int, losses: int) -> None:
    one, other = judged(wins=wins, ties=ties, losses=losses), judged(wins=losses, ties=ties, losses=wins)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=3e-6)
    figures = rate(wins=wins, ties=ties, losses=losses)
    assert (figures.estimate, figures.low, figures.high) == (one.estimate, one.low, one.high)
    opposite = {"promote": "keep", "keep": "promote", "more": "more"}
    assert (other.verdict, other.more_needed) == (opposite[one.verdict], one.more_needed)


@STEADY
@given(FEW, FEW, FEW)
def test_the_verdict_follows_from_the_ends(wins: int, ties: int, losses: int) -> None:
    found = judged(wins=wins, ties=ties, losses=losses)
    assert (found.verdict == "promote") == (found.low > 0.5)
    assert (found.verdict == "keep") == (found.high < 0.5)
    assert (found.more_needed == 0) == (found.verdict != "more")


@STEADY
@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 60))
def test_so_many_more_of_the_same_decide_and_half_as_many_do_not(wins: int, ties: int, losses: int) -> None:
    found, there = judged(wins=wins, ties=ties, losses=losses), wins + ties + losses
    if not found.more_needed:
        return

    counts, rich = {1.0: max(wins, losses), 0.5: ties, 0.0: min(wins, losses)}, -math.log(ALPHA / 2)

    def after(more: float) -> float:
        """What somebody has who bets on a difference, the present proportions kept."""
        return wealth({value: count * (1 + more / there) for value, count in counts.items()}, 0.5)

    assert after(found.more_needed) >= rich
    assert after(0.98 * (there + found.more_needed) - there - 1) < rich


def test_nothing_judged_excludes_nothing_and_promises_nothing() -> None:
    found = judged(wins=0, ties=0, losses=0)
    assert (found.estimate, found.low, found.high, found.level) == (None, 0.0, 1.0, 0.95)
    assert (found.verdict, found.more_needed) == ("more", None)


@pytest.mark.parametrize(("wins", "ties", "losses"), [(50, 0, 50), (0, 100, 0), (500_001, 0, 500_000)])
def test_no_end_is_in_sight_where_nobody_is_better(wins: int, ties: int, losses: int) -> None:
    found = judged(wins=wins, ties=ties, losses=losses)
    assert (found.verdict, found.more_needed) == ("more", None)


def test_ten_million_pairs_are_no_trouble() -> None:
    found = judged(wins=5_010_000, ties=10**6, losses=4_990_000)
    assert found.verdict == "promote"
    assert 0.5 < found.low < 0.5010
    assert found.high < 0.5016


@STEADY
@given(COUNTS, COUNTS)
def test_arms_are_compared_by_both_their_sequences(first: dict[float, int], second: dict[float, int]) -> None:
    found = arms(first, second)
    a, b = bounded_mean(first, alpha=ALPHA / 2), bounded_mean(second, alpha=ALPHA / 2)
    assert (found.verdict == "promote") == (b.low > a.high)
    assert (found.verdict == "keep") == (b.high < a.low)
    assert found.estimate is not None
    assert 0 <= found.low <= found.estimate + 1e-9
    assert found.estimate - 1e-9 <= found.high <= 1


@STEADY
@given(COUNTS, COUNTS)
def test_verdicts_on_several_arms_share_alpha(first: dict[float, int], second: dict[float, int]) -> None:
    found, alone = arms(first, second, rivals=3), arms(first, second)
    a, b = bounded_mean(first, alpha=ALPHA / 6), bounded_mean(second, alpha=ALPHA / 6)
    assert (found.verdict == "promote") == (b.low > a.high)
    assert (found.verdict == "keep") == (b.high < a.low)
    assert (found.estimate, found.level) == (alone.estimate, pytest.approx(1 - ALPHA / 3))
    assert found.low <= alone.low + 2e-6
    assert alone.high <= found.high + 2e-6


def test_of_arms_too_it_is_said_how_many_more() -> None:
    found = arms({0.0: 40, 1.0: 60}, {0.0: 25, 1.0: 75})
    assert found.verdict == "more"
    assert found.more_needed is not None
    times = 1 + 1.1 * found.more_needed / 200
    assert arms({0.0: 40 * times, 1.0: 60 * times}, {0.0: 25 * times, 1.0: 75 * times}).verdict == "promote"
    assert arms({1.0: 5}, {}).more_needed is None
    assert arms({0.0: 5, 1.0: 5}, {0.0: 5, 1.0: 5}).more_needed is None


def test_means_without_bounds_hold_at_every_look() -> None:
    """Differences of latencies: skewed, with a long tail. Asymptotic, so the first looks are not counted."""
    draw, missed = random.Random(10), 0
    for _ in range(200):
        total = squares = 0.0
        for number in range(1, 601):
            value = draw.lognormvariate(4, 0.8) - draw.lognormvariate(4, 0.8)
            total, squares = total + value, squares + value * value
            if number < 50 or number % 5:
                continue
            found = mean(Moments(number, total / number, squares / number - (total / number) ** 2))
            assert found is not None
            if not found.low <= 0 <= found.high:
                missed += 1
                break
    assert missed <= ALPHA * 200


def test_a_difference_of_means_is_found_and_has_the_unit_of_the_values() -> None:
    found = mean(Moments(500, 120.0, 300.0**2))
    assert found is not None
    assert found.estimate == 120.0
    assert found.low == pytest.approx(120 - 300 * 0.13588, rel=0.001)
    apart = difference(Moments(500, 900.0, 200.0**2), Moments(400, 700.0, 250.0**2))
    assert apart is not None
    assert (apart.estimate, apart.low < apart.high < 0) == (-200.0, True)


@pytest.mark.parametrize("few", [Moments(0), Moments(1, 5.0, 0.0), Moments(7, None, None)])
def test_of_fewer_than_two_values_nothing_is_said(few: Moments) -> None:
    assert mean(few) is None
    assert difference(few, Moments(5, 1.0, 1.0)) is None
    assert difference(Moments(5, 1.0, 1.0), few) is None
