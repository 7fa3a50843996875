"""What vendors say they will still take, as their simulators say it and as it may come."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.providers.rate_limits import pause_s
from connectors.providers.retry_after import MAX_WAIT_S
from connectors.simulator.anthropic.errors import rate_headers as anthropic_headers
from connectors.simulator.config import Allowance
from connectors.simulator.limits import Limiter
from connectors.simulator.openai.errors import rate_headers as openai_headers
from schemas.completion import Usage

NOW = 1_790_000_000.0
USAGE = Usage(40, 10)


def openai(limit: str, remaining: str, reset: str, name: str = "requests") -> dict[str, str]:
    words = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"x-ratelimit-{word}-{name}": value for word, value in words.items()}


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, 0.0),
        (openai("60", "1", "59s"), 0.0),
        (openai("60", "0", "1m0s"), 1.0),
        (openai("60", "0", "0s"), 0.0),
        (openai("60", "0", "soon"), 0.0),
        (openai("many", "0", "1m0s"), 0.0),
        (openai("60", "", "1m0s"), 0.0),
        (openai("0", "0", "1m0s"), 0.0),
        (openai("30000", "50", "59.9s", "tokens"), 0.0),
        (openai("30000", "0", "1m0s", "tokens"), 0.1),
        (openai("1000", "0", "1m0s", "tokens"), 0.6),
        (openai("1", "0", "48h0m0s"), MAX_WAIT_S),
    ],
)
def test_headers_say_when_one_more_call_fits(headers: dict[str, str], wait_s: float) -> None:
    assert pause_s(headers, USAGE, now=NOW) == pytest.approx(wait_s)


def test_a_large_call_does_not_close_the_endpoint_to_small_ones() -> None:
    assert pause_s(openai("100000", "10000", "54s", "tokens"), Usage(80_000, 10_000), now=NOW) == 0.0


def test_resets_that_are_moments_are_read_from_when_the_headers_came() -> None:
    reset = datetime.fromtimestamp(NOW + 60, UTC).isoformat()
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": reset,
    }
    assert pause_s(headers, USAGE, now=NOW) == pytest.approx(1.2)
    assert pause_s(headers, USAGE, now=NOW + 61) == 0.0


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
@given(requests=st.integers(2, 600), calls=st.integers(1, 700))
def test_after_the_pause_the_simulated_vendor_takes_one_more_call_and_not_much_before(
    vendor: str, requests: int, calls: int
) -> None:
    limiter = Limiter(Allowance(requests, 10**9))
    states = [limiter.take("k", "m", tokens=50, now=NOW) for _ in range(calls)]
    good = [state for state in states if not state.short_of][-1]
    headers = openai_headers(good) if vendor == "openai" else anthropic_headers(good, NOW)
    wait_s = pause_s(headers, USAGE, now=NOW)
    is_empty = calls >= requests
    assert (wait_s > 0) == is_empty
    assert not limiter.take("k", "m", tokens=50, now=NOW + wait_s + 0.001).short_of
    if is_empty:
        exact_s = 60 / requests
        assert exact_s - 0.001 <= wait_s <= exact_s + 1 / requests + 0.001
