"""Confidence sequences for the mean of values without bounds, such as differences of cost or latency. Pure.

They rest on the central limit theorem, made to hold at all times at once: asymptotic, so good once there are some dozens of
values, and longer for tails as heavy as those of latencies. They inform; no verdict hangs on them.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
Annals of Statistics 52 (2024), theorem 2.2 and section B.2 for rho; https://arxiv.org/abs/2103.06476
"""

import math
from dataclasses import dataclass
from typing import Final

from pipeline.core.verdict.intervals import LEVEL, Interval

__all__ = ["Moments", "difference", "mean"]

_TIGHT_AT: Final = 500
"""Values at which the sequence is narrowest, compared with an interval for that number alone."""

_LEAST: Final = 2


@dataclass(slots=True, frozen=True)
class Moments:
    """Of `count` values; None without any. `variance` is that of the values themselves (divided by `count`).

    A database adds these up in a numerically stable way; sums of squares of nano-dollars would leave nothing to subtract.
    """

    count: int
    mean: float | None = None
    variance: float | None = None


def mean(of: Moments, *, alpha: float = 1 - LEVEL) -> Interval | None:
    """Of independent values with one mean, such as the differences of pairs; None if there are fewer than two."""
    if of.count < _LEAST or of.mean is None or of.variance is None:
        return None
    width = _width(of.count, max(0.0, of.variance) * of.count / (of.count - 1), alpha)
    return Interval(of.mean, of.mean - width, of.mean + width, 1 - alpha)


def difference(first: Moments, second: Moments, *, alpha: float = 1 - LEVEL) -> Interval | None:
    """Second less first, of values that form no pairs; None if either side has fewer than two."""
    a, b = mean(first, alpha=alpha / 2), mean(second, alpha=alpha / 2)
    if a is None or b is None or a.estimate is None or b.estimate is None:
        return None
    return Interval(b.estimate - a.estimate, b.low - a.high, b.high - a.low, 1 - alpha)


def _width(count: int, variance: float, alpha: float) -> float:
    odds = -2 * math.log(alpha)
    rho2 = (odds + math.log(odds) + 1) / _TIGHT_AT
    known = count * rho2 + 1
    return math.sqrt(variance * 2 * known / (count**2 * rho2) * math.log(math.sqrt(known) / alpha))
