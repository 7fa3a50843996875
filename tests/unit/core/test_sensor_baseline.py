"""How late is late: the percentile, its forgetting, the average."""

import pytest

from pipeline.core.sensor.baseline import HALF_LIFE_MS, Baseline

NOW = 1_800_000_000_000


def observed(*values_ms: int, at: int = NOW) -> Baseline:
    baseline = Baseline()
    for value_ms in values_ms:
        baseline.observe(value_ms, at)
    return baseline


def test_nothing_is_known_before_twenty_observations() -> None:
    assert observed().ewma_ms is None
    assert observed(*[100] * 19).p95_ms is None
    assert observed(*[100] * 20).p95_ms is not None


@pytest.mark.parametrize("value_ms", [0, 1, 7, 100, 333, 4_000, 250_000, 10**6])
def test_the_percentile_is_never_below_the_value_and_at_most_a_fifth_above(value_ms: int) -> None:
    p95_ms = observed(*[value_ms] * 30).p95_ms
    assert p95_ms is not None
    assert value_ms <= p95_ms <= max(value_ms, 1) * 1.2


def test_what_is_too_long_for_the_last_bucket_counts_there() -> None:
    assert observed(*[10**9] * 20).p95_ms == pytest.approx(2**20)


def test_one_slow_call_in_twenty_five_does_not_move_it_but_one_in_ten_does() -> None:
    rare, often = observed(*[100] * 24, 9_000).p95_ms, observed(*[100] * 18, 9_000, 9_000).p95_ms
    assert rare is not None
    assert often is not None
    assert rare < 120
    assert often > 9_000


def test_a_short_slow_time_does_not_become_normal_and_a_long_one_does() -> None:
    baseline = Baseline()
    for n in range(600):
        baseline.observe(100, NOW + n * 1_000)
    for n in range(10):
        baseline.observe(5_000, NOW + 600_000 + n * 1_000)
    assert baseline.p95_ms is not None
    assert baseline.p95_ms < 120
    for n in range(120):
        baseline.observe(5_000, NOW + 610_000 + n * 1_000)
    assert baseline.p95_ms > 5_000


def test_it_works_for_months() -> None:
    baseline = Baseline()
    for n in range(2_000):
        baseline.observe(400 if n < 1_000 else 800, NOW + n * HALF_LIFE_MS)
    assert baseline.p95_ms == pytest.approx(861, abs=2)


def test_the_average_follows() -> None:
    baseline = observed(100)
    assert baseline.ewma_ms == 100
    baseline.observe(200, NOW)
    assert baseline.ewma_ms == pytest.approx(110)
