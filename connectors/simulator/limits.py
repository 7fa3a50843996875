"""Rate limits: a bucket of requests and one of tokens per key and model, in OpenAI's sense and spelling-free.

Buckets refill continuously (platform.openai.com/docs/guides/rate-limits): a minute fills them.
"""

from dataclasses import dataclass

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
    """Both buckets after a request, for the answer's headers.

    Attributes:
        short_of: `requests` or `tokens` when the request was refused, else empty.
        wait_s: When to come back, if refused.
        asked: What the request wanted from the bucket that was short.
    """

    limit_requests: int
    limit_tokens: int
    remaining_requests: int
    remaining_tokens: int
    reset_requests_s: float
    reset_tokens_s: float
    short_of: str = ""
    wait_s: float = 0.0
    asked: int = 0


class Limiter:
    """The buckets of all keys and models."""

    def __init__(self, allowance: Allowance) -> None:
        self.default = allowance
        self.by_model: dict[str, Allowance] = {}
        self._buckets: dict[tuple[str, str], tuple[Bucket, Bucket]] = {}

    def set(self, allowance: Allowance, model: str | None = None) -> None:
        """Changes the allowance of one model or, without a model, of all; buckets start full again."""
        if model is None:
            self.default, self.by_model = allowance, {}
        else:
            self.by_model[model] = allowance
        self._buckets.clear()

    def take(self, key: str, model: str, *, tokens: int, now: float) -> RateState:
        """Takes one request and its tokens, or nothing when either bucket is short."""
        requests, budget = self._pair(key, model, now)
        requests.refill(now)
        budget.refill(now)
        # More tokens than the bucket can hold would never fit: OpenAI refuses them, here they wait for a full one.
        tokens = min(tokens, budget.limit)
        if wait_s := requests.wait_s(1):
            return _state(requests, budget, short_of="requests", wait_s=wait_s, asked=1)
        if wait_s := budget.wait_s(tokens):
            return _state(requests, budget, short_of="tokens", wait_s=wait_s, asked=tokens)
        requests.level -= 1
        budget.level -= tokens
        return _state(requests, budget)

    def _pair(self, key: str, model: str, now: float) -> tuple[Bucket, Bucket]:
        pair = self._buckets.get((key, model))
        if pair is None:
            allowance = self.by_model.get(model, self.default)
            limits = (allowance.requests_per_minute, allowance.tokens_per_minute)
            pair = (Bucket(limits[0], limits[0], now), Bucket(limits[1], limits[1], now))
            self._buckets[key, model] = pair
        return pair


def _state(requests: Bucket, tokens: Bucket, *, short_of: str = "", wait_s: float = 0.0, asked: int = 0) -> RateState:
    return RateState(
        limit_requests=requests.limit,
        limit_tokens=tokens.limit,
        remaining_requests=max(0, int(requests.level)),
        remaining_tokens=max(0, int(tokens.level)),
        reset_requests_s=requests.reset_s(),
        reset_tokens_s=tokens.reset_s(),
        short_of=short_of,
        wait_s=wait_s,
        asked=asked,
    )
