from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.pricing import cost_nano_usd, is_estimate
from schemas.completion import Usage
from schemas.events import Price, Tier

TOKENS = st.integers(0, 10**8)
RATES = st.integers(0, 10**12)


@given(uncached=TOKENS, cached=TOKENS, output=TOKENS, rates=st.tuples(RATES, RATES, RATES))
def test_cost_is_exact_and_rounds_half_up_once(
    uncached: int, cached: int, output: int, rates: tuple[int, int, int]
) -> None:
    usage = Usage(input_tokens=uncached + cached, cache_read_tokens=cached, output_tokens=output)
    exact = Fraction(uncached * rates[0] + cached * rates[1] + output * rates[2], 10**6)
    cost = cost_nano_usd(usage, Price("v", *rates))
    assert Fraction(-1, 2) < cost - exact <= Fraction(1, 2)


def test_more_cached_than_input_is_not_believed() -> None:
    assert cost_nano_usd(Usage(input_tokens=10, cache_read_tokens=20), Price("v", 10**6, 10**6, 0)) == 10


def test_what_was_written_to_the_cache_has_rates_of_its_own() -> None:
    price = Price("v", 100, 10, 1_000, cache_write_nano_usd_per_mtok=125, cache_write_1h_nano_usd_per_mtok=200)
    usage = Usage(
        input_tokens=60 * 10**6,
        cache_read_tokens=10 * 10**6,
        cache_write_tokens=30 * 10**6,
        cache_write_1h_tokens=10 * 10**6,
    )
    assert cost_nano_usd(usage, price) == 20 * 100 + 10 * 10 + 20 * 125 + 10 * 200


def test_without_rates_of_its_own_writing_costs_what_input_costs() -> None:
    usage = Usage(input_tokens=3 * 10**6, cache_write_tokens=2 * 10**6, cache_write_1h_tokens=10**6)
    assert cost_nano_usd(usage, Price("v", 100)) == 300


@pytest.mark.parametrize(
    ("answered", "cost", "estimated"),
    [("flex", 280_000, False), ("default", 560_000, False), ("priority", 980_000, False), ("scale", 560_000, True)],
)
def test_the_tier_that_answered_sets_the_price(answered: str, cost: int, estimated: bool) -> None:
    """BerriAI/litellm#13810, langfuse/langfuse#15942."""
    tiers = {
        "flex": Tier(200_000_000, 200_000_000, 800_000_000),
        "priority": Tier(700_000_000, 700_000_000, 2_800_000_000),
    }
    price = Price("v", 400_000_000, 400_000_000, 1_600_000_000, tiers=tiers)
    usage = Usage(input_tokens=1_000, output_tokens=100, service_tier=answered)
    assert (cost_nano_usd(usage, price), is_estimate(usage, price)) == (cost, estimated)
