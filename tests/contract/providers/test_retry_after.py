"""Retry-After in all its forms."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.providers.retry_after import MAX_WAIT_S, retry_after_s, wait_in_text

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": " 0.4 "}, 0.4),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "+3"}, 3),
        ({"retry-after": "1000000000"}, MAX_WAIT_S),
        ({"retry-after": "9" * 400}, MAX_WAIT_S),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0),
        ({"retry-after": "Wed, 21 Oct 2037 07:28:00 GMT"}, MAX_WAIT_S),
        ({"retry-after": "Wed, 99 Foo 2037 07:28:00 GMT"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2),
        ({}, None),
    ],
)
def test_headers_are_read(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after_s(headers, now=NOW) == wait


def test_a_header_goes_before_the_body_and_the_body_before_resets() -> None:
    resets = {"x-ratelimit-reset-tokens": "6m0s"}
    assert retry_after_s({"retry-after": "3", **resets}, now=NOW, hint=2.4, use_resets=True) == 3
    assert retry_after_s(resets, now=NOW, hint=2.4, use_resets=True) == 2.4
    assert retry_after_s(resets, now=NOW, use_resets=True) == 360
    assert retry_after_s(resets, now=NOW) is None


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"x-ratelimit-reset-requests": "12ms", "x-ratelimit-remaining-requests": "0"}, 0.012),
        ({"x-ratelimit-reset-requests": "1h2m3.5s"}, 3723.5),
        (
            {
                "x-ratelimit-reset-requests": "8m",
                "x-ratelimit-remaining-requests": "4",
                "x-ratelimit-reset-tokens": "2s",
            },
            2,
        ),
        ({"x-ratelimit-reset-requests": "8m", "x-ratelimit-remaining-requests": "4"}, None),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-reset-tokens": "30s",
                "x-ratelimit-remaining-tokens": "99",
            },
            30,
        ),
        ({"x-ratelimit-reset-tokens": "5"}, 5),
        ({"x-ratelimit-reset-tokens": "5 fortnights"}, None),
        ({"x-ratelimit-reset-tokens": "garbage"}, None),
    ],
)
def test_the_reset_of_the_exhausted_limit_counts(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after_s(headers, now=NOW, use_resets=True) == (None if wait is None else pytest.approx(wait))


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("Rate limit reached. Please try again in 6m0s. Visit", 360),
        ("Please retry in 2.4s.", 2.4),
        ("Please retry after 20 seconds or ask for more", 20),
        ("Try again in 120ms", 0.12),
        ("try again in 1 minute 30 seconds", 90),
        ("try again in 3 foos", None),
        ("try again later", None),
        ("", None),
    ],
)
def test_a_wait_is_found_in_the_text(text: str, wait: float | None) -> None:
    assert wait_in_text(text) == (None if wait is None else pytest.approx(wait))


@given(st.text(), st.text(), st.text(), st.text())
def test_garbage_never_raises_and_never_gives_an_absurd_wait(ms: str, after: str, reset: str, text: str) -> None:
    headers = {"retry-after-ms": ms, "retry-after": after, "x-ratelimit-reset-tokens": reset}
    wait = retry_after_s(headers, now=NOW, hint=wait_in_text(text), use_resets=True)
    assert wait is None or 0 <= wait <= MAX_WAIT_S


@given(st.floats(-1e12, 1e12))
def test_seconds_are_kept_within_bounds(seconds: float) -> None:
    text = f"{seconds:.3f}"
    assert retry_after_s({"retry-after": text}, now=NOW) == min(max(float(text), 0.0), MAX_WAIT_S)
