"""How late the first event of an endpoint usually is: a histogram of logarithmic buckets that forgets.

Each observation weighs twice as much as one made `HALF_LIFE_MS` earlier (forward decay: Cormode et al., "Forward Decay",
ICDE 2009), so an outage of seconds does not become the new normal, and a slower model does within minutes.
Slow ones count in full: where one call in ten thinks for long, that is usual, and no silence.
"""

import math

__all__ = ["HALF_LIFE_MS", "MIN_OBSERVATIONS", "Baseline"]

HALF_LIFE_MS = 300_000
MIN_OBSERVATIONS = 20

_PER_OCTAVE = 4
_BUCKETS = 20 * _PER_OCTAVE  # up to 2**20 ms, 17 minutes
_MAX_EXPONENT = 500.0  # well below where a float overflows
_EWMA_SHARE = 0.1


class Baseline:
    """`ewma_ms` is None before the first observation."""

    def __init__(self) -> None:
        self.ewma_ms: float | None = None
        self._observations = 0
        self._weights = [0.0] * _BUCKETS
        self._began_ms: int | None = None
        self._p95_ms: float | None = None

    def observe(self, first_event_ms: int, now_ms: int) -> None:
        self._observations += 1
        weight = math.exp2(self._age(now_ms))  # before the look at the weights, which it may replace
        self._weights[_bucket_of(first_event_ms)] += weight
        self._p95_ms = None
        last = self.ewma_ms
        self.ewma_ms = first_event_ms if last is None else last + _EWMA_SHARE * (first_event_ms - last)

    @property
    def p95_ms(self) -> float | None:
        """The upper edge of its bucket, at most 19 % too high; None while there are too few observations."""
        if self._observations < MIN_OBSERVATIONS:
            return None
        if self._p95_ms is None:
            self._p95_ms = self._percentile(0.95)
        return self._p95_ms

    def _age(self, now_ms: int) -> float:
        """Half-lives since the beginning; where it gets large, the beginning moves."""
        if self._began_ms is None:
            self._began_ms = now_ms
        age = (now_ms - self._began_ms) / HALF_LIFE_MS
        if age < _MAX_EXPONENT:
            return age
        self._weights = [weight * math.exp2(-age) for weight in self._weights]
        self._began_ms = now_ms
        return 0.0

    def _percentile(self, share: float) -> float:
        """Walks down from the slowest; what is left above is at most 1 - share of the weight."""
        left = sum(self._weights) * (1 - share)
        for index in range(_BUCKETS - 1, 0, -1):
            left -= self._weights[index]
            if left < 0:
                return _upper_ms(index)
        return _upper_ms(0)


def _bucket_of(value_ms: int) -> int:
    return min(int(math.log2(max(value_ms, 1)) * _PER_OCTAVE), _BUCKETS - 1)


def _upper_ms(index: int) -> float:
    return math.exp2((index + 1) / _PER_OCTAVE)
