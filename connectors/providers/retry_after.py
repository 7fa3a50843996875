"""How long a vendor asks us to wait, whatever form it says it in.

In this order (provider_contracts.md section 7): `retry-after-ms`, `retry-after` (seconds, fractions or an HTTP date),
the hint of the body, and for want of all these the reset header of the limit that is exhausted. What is past or
negative is no wait (0.0), what cannot be read is nothing (None). Waits are cut to MAX_WAIT_S: the longest real window
is a day's quota, and a mistyped 10^9 must not take an endpoint out for thirty years.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["MAX_WAIT_S", "duration_s", "number", "retry_after_s", "seconds_until", "wait_in_text"]

MAX_WAIT_S = 86_400.0

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s?([a-z]+)\s?")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
# "Please try again in 6m0s", "Please retry in 2.4s", "retry after 20 seconds"
_IN_TEXT = re.compile(rf"\b(?:re)?try (?:again )?(?:in|after) ({_DURATION.pattern})")
_UNITS: dict[float, tuple[str, ...]] = {
    0.001: ("ms", "millisecond", "milliseconds"),
    1.0: ("s", "sec", "secs", "second", "seconds"),
    60.0: ("m", "min", "mins", "minute", "minutes"),
    3600.0: ("h", "hour", "hours"),
    86_400.0: ("d", "day", "days"),
}
_UNIT_S = {name: seconds for seconds, names in _UNITS.items() for name in names}
_LIMITS = ("tokens", "input-tokens", "output-tokens", "requests")


def retry_after_s(
    headers: Mapping[str, str], *, now: float, hint: float | None = None, use_resets: bool = False
) -> float | None:
    """Seconds to wait, 0.0 for none, None if the vendor said nothing readable.

    Args:
        headers: with names in lower case, or a mapping that does not care.
        now: epoch seconds, for dates.
        hint: what the body said, if anything.
        use_resets: whether a limit was hit at all; healthy answers carry reset headers too.
    """
    waits = (_milliseconds(headers.get("retry-after-ms")), _header(headers.get("retry-after"), now), hint)
    wait = next((w for w in waits if w is not None), None)
    if wait is None and use_resets:
        wait = _reset(headers, now)
    return None if wait is None else _bounded(wait)


def wait_in_text(text: str) -> float | None:
    """The wait named in a vendor's message ("try again in 6m0s", "retry in 2.4s"), in seconds."""
    found = _IN_TEXT.search(text[:2000].lower())
    return None if found is None else duration_s(found[1])


def _bounded(wait: float) -> float:
    return min(max(wait, 0.0), MAX_WAIT_S)


def number(text: str) -> float | None:
    """A plain decimal; `float` alone would also take `nan`, `1e9` and `1_000`."""
    return float(text) if _NUMBER.fullmatch(text) else None


def _milliseconds(value: str | None) -> float | None:
    read = None if value is None else number(value.strip())
    return None if read is None else read / 1000


def _header(value: str | None, now: float) -> float | None:
    if value is None:
        return None
    read = number(value.strip())
    return _date(value, now) if read is None else read


def _date(value: str, now: float) -> float | None:
    """Seconds until an HTTP date (RFC 9110 5.6.7); a date without a zone is UTC."""
    try:
        at = parsedate_to_datetime(value)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError, IndexError):
        return None


def duration_s(text: str) -> float | None:
    """`12ms`, `6m0s`, `1h2m3.5s`, `20 seconds`; a bare number is seconds."""
    text = text.strip()
    if not _DURATION.fullmatch(text):
        return number(text)
    parts = [(float(amount), _UNIT_S.get(unit)) for amount, unit in _PART.findall(text)]
    known = [amount * unit for amount, unit in parts if unit is not None]
    return sum(known) if len(known) == len(parts) else None


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    """The reset of the exhausted limit: OpenAI's `x-ratelimit-reset-*`, Anthropic's `anthropic-ratelimit-*-reset`.

    A limit of requests with some remaining is not exhausted; a limit of tokens may be too small for this one request
    with some remaining. Of those in question the longest counts.
    """
    waits: list[float | None] = []
    for limit in _LIMITS:
        if _in_question(limit, headers.get(f"x-ratelimit-remaining-{limit}", "")):
            waits.append(duration_s(headers.get(f"x-ratelimit-reset-{limit}", "")))
        if _in_question(limit, headers.get(f"anthropic-ratelimit-{limit}-remaining", "")):
            waits.append(seconds_until(headers.get(f"anthropic-ratelimit-{limit}-reset", ""), now))
    return max((wait for wait in waits if wait is not None), default=None)


def _in_question(limit: str, remaining: str) -> bool:
    return limit != "requests" or not number(remaining.strip())


def seconds_until(value: str, now: float) -> float | None:
    """Seconds until a moment of RFC 3339; one without a zone is UTC."""
    try:
        at = datetime.fromisoformat(value.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
