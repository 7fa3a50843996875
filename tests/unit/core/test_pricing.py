from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.pricing import cost_nano_usd, estimated_usage
from schemas.completion import Usage
from schemas.events import Price

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


def test_an_estimate_says_so() -> None:
    assert estimated_usage(3, 4) == Usage(input_tokens=3, output_tokens=4, estimated=True)
