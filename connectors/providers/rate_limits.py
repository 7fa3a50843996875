"""How much a vendor says it will still take: the rate headers of an answer that went well.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`; Anthropic: `anthropic-ratelimit-{requests,tokens,
input-tokens,output-tokens}-{limit,remaining,reset}` (provider_contracts.md section 2). Both refill continuously, and a
reset says when the limit is untouched again: so `limit - remaining` comes back within `reset`, evenly.

What does not fit any more is not sent: the endpoint rests until one more call fits, and no 429 is needed to learn it. Of
tokens a call is taken to need what the last one took, but a hundredth of the limit at most: a large call does not close
the endpoint to small ones. Vendors that send no such headers, or words that cannot be read, say nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.providers.retry_after import MAX_WAIT_S, duration_s, number, seconds_until
from schemas.completion import Usage

__all__ = ["pause_s"]


@dataclass(frozen=True, slots=True)
class _Limit:
    limit: float
    remaining: float
    reset_s: float

    def wait_s(self, needed: float) -> float:
        """Until so much is there."""
        missing, taken = needed - self.remaining, self.limit - self.remaining
        if missing <= 0 or taken <= 0:
            return 0.0
        return min(1.0, missing / taken) * self.reset_s


_SHARE = 0.01


def pause_s(headers: Mapping[str, str], usage: Usage, *, now: float) -> float:
    """Seconds from when the headers came until one more call fits; 0.0: it does.

    Args:
        headers: of a successful answer, names in lower case or a mapping that does not care.
        usage: what the call took.
        now: epoch seconds at which the headers came.
    """
    tokens = {
        "tokens": usage.input_tokens + usage.output_tokens,
        "input-tokens": usage.input_tokens,
        "output-tokens": usage.output_tokens,
    }
    requests = _limit(headers, "requests", now)
    waits = [requests.wait_s(1)] if requests is not None else []
    for name, taken in tokens.items():
        if (limit := _limit(headers, name, now)) is not None:
            waits.append(limit.wait_s(min(taken, _SHARE * limit.limit)))
    return min(max(waits, default=0.0), MAX_WAIT_S)


def _limit(headers: Mapping[str, str], name: str, now: float) -> _Limit | None:
    """OpenAI's spelling or Anthropic's; None where it is missing or cannot be read."""
    if (told := headers.get(f"x-ratelimit-remaining-{name}")) is not None:
        limit = headers.get(f"x-ratelimit-limit-{name}", "")
        reset_s = duration_s(headers.get(f"x-ratelimit-reset-{name}", ""))
    elif (told := headers.get(f"anthropic-ratelimit-{name}-remaining")) is not None:
        limit = headers.get(f"anthropic-ratelimit-{name}-limit", "")
        reset_s = seconds_until(headers.get(f"anthropic-ratelimit-{name}-reset", ""), now)
    else:
        return None
    read = number(limit.strip()), number(told.strip())
    if read[0] is None or read[1] is None or reset_s is None or reset_s <= 0:
        return None
    return _Limit(read[0], read[1], reset_s)
