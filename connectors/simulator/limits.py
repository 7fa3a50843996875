"""Rate limits: buckets of requests, tokens and output tokens per key and model, free of any vendor's spelling.

Buckets refill continuously (platform.openai.com/docs/guides/rate-limits): a minute fills them.
"""

from dataclasses import dataclass
from typing import NamedTuple

from connectors.simulator.config import Allowance

_MINUTE_S = 60.0


@dataclass(slots=True)
class Bucket:
    """A token bucket that holds one minute's allowance."""

    limit: int
    level: float
    at: float

    def refill(self, now: float) -> None:
        self.level = min(self.limit, self.level + (now - self.at) * self.limit / _MINUTE_S)
        self.at = now

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` is there; 0 when it is."""
        return max(0.0, amount - self.level) * _MINUTE_S / max(self.limit, 1)

    def reset_s(self) -> float:
        """Seconds until the bucket is full again."""
        return (self.limit - self.level) * _MINUTE_S / max(self.limit, 1)


@dataclass(frozen=True, slots=True)
class RateState:
    """The buckets after a request, for the answer's headers.

    Attributes:
        short_of: `requests`, `tokens` or `output_tokens` when the request was refused, else empty.
        wait_s: When to come back, if refused.
        asked: What the request wanted from the bucket that was short.
    """

    limit_requests: int
    limit_tokens: int
    remaining_requests: int
    remaining_tokens: int
    reset_requests_s: float
    reset_tokens_s: float
    limit_output_tokens: int
    remaining_output_tokens: int
    reset_output_tokens_s: float
    short_of: str = ""
    wait_s: float = 0.0
    asked: int = 0


class Limiter:
    """The buckets of all keys and models."""

    def __init__(self, allowance: Allowance) -> None:
        self.default = allowance
        self.by_model: dict[str, Allowance] = {}
        self._buckets: dict[tuple[str, str], _Buckets] = {}

    def set(self, allowance: Allowance, model: str | None = None) -> None:
        """Changes the allowance of one model or, without a model, of all; buckets start full again."""
        if model is None:
            self.default, self.by_model = allowance, {}
        else:
            self.by_model[model] = allowance
        self._buckets.clear()

    def take(self, key: str, model: str, *, tokens: int, now: float) -> RateState:
        """Takes one request and its tokens, or nothing when a bucket is short."""
        buckets = self._of(key, model, now)
        requests, budget, output = buckets
        for bucket in buckets:
            bucket.refill(now)
        # More tokens than the bucket can hold would never fit: OpenAI refuses them, here they wait for a full one.
        tokens = min(tokens, budget.limit)
        if wait_s := requests.wait_s(1):
            return _state(buckets, short_of="requests", wait_s=wait_s, asked=1)
        if wait_s := budget.wait_s(tokens):
            return _state(buckets, short_of="tokens", wait_s=wait_s, asked=tokens)
        if wait_s := output.wait_s(1):
            return _state(buckets, short_of="output_tokens", wait_s=wait_s, asked=1)
        requests.level -= 1
        budget.level -= tokens
        return _state(buckets)

    def spend_output(self, key: str, model: str, tokens: int, *, now: float) -> None:
        """Takes an answer's tokens; they are known only when it is made, so the bucket may end below zero."""
        output = self._of(key, model, now).output
        output.refill(now)
        output.level -= tokens

    def _of(self, key: str, model: str, now: float) -> "_Buckets":
        buckets = self._buckets.get((key, model))
        if buckets is None:
            row = self.by_model.get(model, self.default)
            limits = (row.requests_per_minute, row.tokens_per_minute, row.output_tokens_per_minute)
            buckets = _Buckets(*(Bucket(limit, limit, now) for limit in limits))
            self._buckets[key, model] = buckets
        return buckets


class _Buckets(NamedTuple):
    requests: Bucket
    tokens: Bucket
    output: Bucket


def _state(buckets: _Buckets, *, short_of: str = "", wait_s: float = 0.0, asked: int = 0) -> RateState:
    requests, tokens, output = buckets
    return RateState(
        limit_requests=requests.limit,
        limit_tokens=tokens.limit,
        remaining_requests=max(0, int(requests.level)),
        remaining_tokens=max(0, int(tokens.level)),
        reset_requests_s=requests.reset_s(),
        reset_tokens_s=tokens.reset_s(),
        limit_output_tokens=output.limit,
        remaining_output_tokens=max(0, int(output.level)),
        reset_output_tokens_s=output.reset_s(),
        short_of=short_of,
        wait_s=wait_s,
        asked=asked,
    )
