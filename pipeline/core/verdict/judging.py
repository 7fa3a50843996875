"""From what the judge said to what to do. Pure.

| win rate of the shadow | verdict |
|---|---|
| its low end is above 1/2 | promote |
| its high end is below 1/2 | keep |
| else | more |
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.core.verdict.betting import Counts, bounded_mean, is_excluded, mean_of, size
from pipeline.core.verdict.intervals import LEVEL, Interval

__all__ = ["Verdict", "WinRate", "arms", "judged", "rate", "rate_of_arms", "verdict_on"]

Verdict = Literal["promote", "keep", "more"]

_MOST: Final = 10_000_000
"""Pairs in all beyond which nobody waits for a verdict."""

_SETTLED: Final = 4


@dataclass(slots=True, frozen=True)
class WinRate(Interval):
    """How often the shadow is better, a tie counting half.

    `more_needed`: about so many more decide if the present proportions stay; 0 once it is decided, None if that is not in sight.
    """

    verdict: Verdict = "more"
    more_needed: int | None = None


def judged(*, wins: int, ties: int, losses: int) -> WinRate:
    """Of pairs whose answers were compared; `wins` are those of the shadow."""
    counts = {1.0: wins, 0.5: ties, 0.0: losses}
    return _decided(bounded_mean(counts), lambda: _more_pairs(counts))


def verdict_on(*, wins: int, ties: int, losses: int) -> Verdict:
    """The verdict of `judged` alone, for little enough to ask after every pair."""
    counts = {1.0: wins, 0.5: ties, 0.0: losses}
    better = counts if wins > losses else {1.0: losses, 0.5: ties, 0.0: wins}
    if not is_excluded(better, 0.5, (1 - LEVEL) / 2):  # then no end has passed 1/2
        return "more"
    return _verdict(bounded_mean(counts))


def rate(*, wins: int, ties: int, losses: int) -> Interval:
    """The figures of `judged` alone, where nobody asks for a verdict."""
    return bounded_mean({1.0: wins, 0.5: ties, 0.0: losses})


def arms(first: Counts, second: Counts, *, rivals: int = 1) -> WinRate:
    """Of the scores (0..1) that two arms of a split were given; the second is the one that may be promoted.

    The estimate is 1/2 + half the difference of the means: the win rate of scores that are only ever 0 or 1. `more_needed` is
    in scores of both arms together. `rivals`: how many arms are compared with the first; all their verdicts share alpha.
    """
    found = rate_of_arms(first, second, rivals=rivals)
    return _decided(found, lambda: _more_scores(first, second, rivals))


def rate_of_arms(first: Counts, second: Counts, *, rivals: int = 1) -> Interval:
    """The figures of `arms` alone. Each of the two has half of the alpha that they have."""
    alpha = (1 - LEVEL) / rivals
    if not size(first) or not size(second):
        return Interval(None, 0.0, 1.0, 1 - alpha)
    a, b = bounded_mean(first, alpha=alpha / 2), bounded_mean(second, alpha=alpha / 2)
    gap = mean_of(second) - mean_of(first)
    return Interval(0.5 + gap / 2, 0.5 + (b.low - a.high) / 2, 0.5 + (b.high - a.low) / 2, 1 - alpha)


def _decided(found: Interval, more: Callable[[], int | None]) -> WinRate:
    verdict = _verdict(found)
    needed = more() if verdict == "more" else 0
    return WinRate(found.estimate, found.low, found.high, found.level, verdict, needed)


def _verdict(found: Interval) -> Verdict:
    return "promote" if found.low > 0.5 else "keep" if found.high < 0.5 else "more"


def _more_pairs(counts: Counts) -> int | None:
    """Pairs at which a verdict falls, less those that are there: evidence grows without turning back once it grows."""
    there = size(counts)
    if not there or counts[1.0] == counts[0.0]:
        return None
    better = counts if counts[1.0] > counts[0.0] else {1 - value: count for value, count in counts.items()}

    def decides(pairs: float) -> bool:
        scaled = {value: count * pairs / there for value, count in better.items()}
        return is_excluded(scaled, 0.5, (1 - LEVEL) / 2)

    enough = there
    while not decides(enough):
        enough *= 2
        if enough > _MOST:
            return None
    short = enough / 2
    while enough - short > max(0.5, enough / 1000):
        middle = (short + enough) / 2
        short, enough = (short, middle) if decides(middle) else (middle, enough)
    return max(1, math.ceil(enough - there))


def _more_scores(first: Counts, second: Counts, rivals: int) -> int | None:
    """Ends come nearer about as the square root of the size: the size that this asks for, asked again until it stays."""
    there, times = size(first) + size(second), 1.0
    for _ in range(_SETTLED):
        found = rate_of_arms(_times(first, times), _times(second, times), rivals=rivals)
        if found.estimate is None or found.estimate == 0.5:
            return None
        reach = found.estimate - found.low if found.estimate > 0.5 else found.high - found.estimate
        times *= (reach / (found.estimate - 0.5)) ** 2
        if times * there > _MOST:
            return None
    return max(1, math.ceil((times - 1) * there))


def _times(counts: Counts, times: float) -> dict[float, float]:
    return {value: count * times for value, count in counts.items()}
