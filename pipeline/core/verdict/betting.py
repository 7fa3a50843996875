"""Confidence sequences for the mean of values in 0..1, by betting. Pure; counts of values suffice, their order is irrelevant.

Whoever doubts that the mean is as small as m bets on larger values: a value x multiplies what he has by 1 + l (x - m). If m is
the mean, this is a fair game, so that he ever has 1/alpha times his stake with a chance of at most alpha (Ville's inequality):
at any time, not only at the end. Every m at which he has become so rich is excluded.

1. he does not know the best stake and divides his money over a grid of them, l = c/m; each part is played to the end
2. what a part has is (1 - c + c x/m) multiplied over all values: it falls as m rises, so what is not excluded is an interval,
   and its lower end is found by halving
3. at the mean of the values themselves he has at most 1 (the geometric mean is not above the arithmetic one): the estimate is
   always inside
4. the upper end is the lower end of 1 - x; each end has half of alpha

Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024), section 4 and remark on
mixtures over constant bets; https://arxiv.org/abs/2010.09686
"""

import math
from collections.abc import Mapping
from typing import Final

from pipeline.core.verdict.intervals import LEVEL, Interval

__all__ = ["Counts", "bounded_mean", "is_excluded", "mean_of", "size", "wealth"]

Counts = Mapping[float, float]
"""Value in 0..1 -> how often it was seen; a part of one where counts are scaled."""

_STAKES: Final = tuple(0.95 * 0.7**step for step in range(24))
"""From what finds a landslide in ten values to what finds a difference of 0.0002 in a hundred million."""

_PRIOR: Final = tuple(math.sqrt(stake) / sum(map(math.sqrt, _STAKES)) for stake in _STAKES)
"""More money on what differs much: it is found in a third of the time, and what differs little needs many values anyway."""

_TOLERANCE: Final = 1e-6

_FINE: Final = 11
"""More different values than this are parted between eleven."""


def bounded_mean(counts: Counts, *, alpha: float = 1 - LEVEL) -> Interval:
    """Of independent values with one mean; the ends are in 0..1."""
    if not size(counts):
        return Interval(None, 0.0, 1.0, 1 - alpha)
    counts = _on_tenths(counts) if len(counts) > _FINE else counts
    mirrored = {1 - value: count for value, count in counts.items()}
    low, high = _lower_end(counts, alpha / 2), 1 - _lower_end(mirrored, alpha / 2)
    return Interval(mean_of(counts), low, high, 1 - alpha)


def size(counts: Counts) -> float:
    return math.fsum(counts.values())


def mean_of(counts: Counts) -> float:
    """Of at least one value."""
    return math.fsum(value * count for value, count in counts.items()) / size(counts)


def is_excluded(counts: Counts, mean: float, alpha: float) -> bool:
    """Whether the values say that their mean is above `mean`; wrongly with a chance of at most `alpha`, ever."""
    return wealth(counts, mean) >= -math.log(alpha)


def wealth(counts: Counts, mean: float) -> float:
    """Logarithm of what somebody has who began with 1 and bets that the true mean is above `mean` (above 0, up to 1)."""
    values = [(value / mean, count) for value, count in counts.items() if count]
    parts = [
        math.log(prior) + sum(count * math.log1p(stake * (ratio - 1)) for ratio, count in values)
        for stake, prior in zip(_STAKES, _PRIOR, strict=True)
    ]
    most = max(parts)
    return most + math.log(math.fsum(math.exp(part - most) for part in parts))


def _on_tenths(counts: Counts) -> dict[float, float]:
    """Each value parted between the tenths beside it: the same mean for less work.

    What is parted earns a bettor less, for a logarithm is concave: the ends move apart a little, never together.
    """
    found = dict.fromkeys((tenth / 10 for tenth in range(11)), 0.0)
    for value, count in counts.items():
        below = min(9, int(value * 10))
        above = min(1.0, max(0.0, value * 10 - below))
        found[below / 10] += count * (1 - above)
        found[(below + 1) / 10] += count * above
    return found


def _lower_end(counts: Counts, alpha: float) -> float:
    """The largest mean known to be excluded, to a millionth; 0 if none is."""
    excluded, possible = 0.0, mean_of(counts)
    while possible - excluded > _TOLERANCE:
        middle = (excluded + possible) / 2
        if is_excluded(counts, middle, alpha):
            excluded = middle
        else:
            possible = middle
    return excluded
