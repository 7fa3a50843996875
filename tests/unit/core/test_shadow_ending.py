"""When an experiment ends by itself: fed comparison by comparison, across takeovers, it agrees with the report on all of them."""

import random
from collections import Counter
from dataclasses import asdict
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.shadowing import Budget, ended_by
from pipeline.core.verdict import judged, verdict_on
from schemas.events import ShadowComparison, ShadowProgress
from tests.unit.core.shadow_builder import NOW, row

ALPHA, RUNS, PAIRS = 0.05, 2_000, 300
DECIDING = row(judge="rules", stop_on_verdict=True)
WINNERS = ("shadow", "primary", "tie", None)
STEADY = settings(max_examples=60, derandomize=True, deadline=None)


def _compared(winner: str | None, *, is_pair: bool = True) -> ShadowComparison:
    status = "compared" if is_pair else "skipped"
    return ShadowComparison(
        "try-new", "r", "acme", status, NOW, NOW, reason=None if is_pair else "budget", winner=winner
    )


def _saved(budget: Budget) -> ShadowProgress:
    said = {name: value for name, value in asdict(budget).items() if name not in ("limit_nano_usd", "per", "reserved")}
    return ShadowProgress("try-new", 1, "running", NOW, **said)


def _said_by_the_report(seen: list[ShadowComparison]) -> str:
    words = Counter(each.winner for each in seen if each.status == "compared")
    return judged(wins=words["shadow"], ties=words["tie"], losses=words["primary"]).verdict


STRETCH = st.tuples(st.sampled_from(WINNERS), st.integers(1, 12), st.booleans(), st.booleans())


@settings(STEADY, max_examples=20)
@given(st.lists(STRETCH, min_size=1, max_size=12))
def test_it_ends_when_and_only_when_the_report_has_a_verdict(
    stretches: list[tuple[str | None, int, bool, bool]],
) -> None:
    budget, seen = Budget(1, "day"), list[ShadowComparison]()
    for winner, length, is_pair, dies in stretches:
        for _ in range(length):
            seen.append(_compared(winner if is_pair else None, is_pair=is_pair))
            budget.fold(seen[-1], 0, len(seen) - 1)
            assert ended_by(DECIDING, budget) == ("verdict" if _said_by_the_report(seen) != "more" else None)
        if dies:
            budget = Budget.resumed(1, "day", _saved(budget))
            budget.fold(seen[-1], 0, len(seen) - 1)  # read again, and known


@STEADY
@given(st.integers(0, 3_000), st.integers(0, 3_000), st.integers(0, 3_000))
def test_asked_after_every_pair_it_is_the_verdict_of_the_report(wins: int, ties: int, losses: int) -> None:
    assert verdict_on(wins=wins, ties=ties, losses=losses) == judged(wins=wins, ties=ties, losses=losses).verdict


@pytest.mark.parametrize("losses", [0, 7, 40, 400, 4_000])
def test_also_where_one_pair_more_decides(losses: int) -> None:
    wins = losses
    while judged(wins=wins, ties=3, losses=losses).verdict == "more":
        wins += 1
    assert [verdict_on(wins=won, ties=3, losses=losses) for won in (wins - 1, wins)] == ["more", "promote"]
    assert [verdict_on(wins=losses, ties=3, losses=won) for won in (wins - 1, wins)] == ["more", "keep"]


def test_equals_that_stop_on_a_verdict_have_one_in_at_most_one_run_of_twenty() -> None:
    draw, false = random.Random(11).random, 0

    @cache
    def ends(wins: int, losses: int) -> bool:
        return ended_by(DECIDING, Budget(1, "day", judged={"shadow": wins, "primary": losses})) is not None

    for _ in range(RUNS):
        wins = 0
        for pairs in range(1, PAIRS + 1):
            wins += draw() < 0.5
            if ends(wins, pairs - wins):
                false += 1
                break
    assert 0.01 * RUNS < false <= ALPHA * RUNS


def test_enough_pairs_end_it_with_or_without_a_verdict() -> None:
    won = {"shadow": 100}
    assert ended_by(row(), Budget(1, "day", pairs=100, judged=won)) is None
    assert ended_by(row(stop_after_pairs=101), Budget(1, "day", pairs=100, judged=won)) is None
    assert ended_by(row(stop_after_pairs=100), Budget(1, "day", pairs=100, judged=won)) == "pairs"
    both = row(judge="rules", stop_on_verdict=True, stop_after_pairs=200)
    assert ended_by(both, Budget(1, "day", pairs=100, judged=won)) == "verdict"
    assert ended_by(both, Budget(1, "day", pairs=200)) == "pairs"


def test_without_a_judge_there_is_no_verdict_to_stop_on() -> None:
    with pytest.raises(ValidationError, match="needs a `judge`"):
        row(stop_on_verdict=True)
