"""When each token of an answer comes: lognormal time to the first, then a steady rate with jitter and rare stalls.

All simulated times are divided by `speed` (0: no delays); times that a directive asks for are real milliseconds.
"""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from connectors.simulator.ask import Ask
from connectors.simulator.models import Model

_S_PER_PROMPT_TOKEN = 0.0002
_Z95 = 1.645  # standard deviations from the median to the 95th percentile
_JITTER = 0.15
_STALL_SHARE = 0.002  # of pieces
_STALL_S = (0.5, 2.0)


@dataclass(slots=True)
class Latency:
    """What can be changed at run time: the speed, and a factor on every delay of all models or of one."""

    speed: float
    factors: dict[str, float] = field(default_factory=dict)

    def scale(self, model: str) -> float:
        """Real seconds per simulated second."""
        if self.speed <= 0:
            return 0.0
        return self.factors.get(model, 1.0) * self.factors.get("*", 1.0) / self.speed


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of one answer, in real seconds."""

    first_s: float
    per_token_s: float
    jitter: bool = True
    scale: float = 0.0

    def total_s(self, output_tokens: int) -> float:
        """Until the whole answer is there, when it is not streamed."""
        return self.first_s + output_tokens * self.per_token_s

    def gaps(self, sizes: Iterable[int], rng: random.Random) -> Iterator[float]:
        """Seconds before each piece, given the tokens in it; pieces without tokens come at once."""
        for size in sizes:
            gap = size * self.per_token_s
            if self.jitter and gap:
                gap *= 1 + rng.uniform(-_JITTER, _JITTER)
                if rng.random() < _STALL_SHARE:
                    gap += rng.uniform(*_STALL_S) * self.scale
            yield gap


def pace(ask: Ask, rng: random.Random, *, scale: float, reasoning_tokens: int) -> Pace:
    """The pace of one answer: the model's profile, or what the directive asks for."""
    wish = ask.directive
    first_s = first_token_s(ask.model, rng)
    first_s += ask.prompt_tokens * _S_PER_PROMPT_TOKEN + reasoning_tokens / ask.model.tokens_per_s
    rate = ask.model.tokens_per_s * (1 + rng.uniform(-_JITTER, _JITTER))
    return Pace(
        first_s=first_s * scale if wish.latency_ms is None else wish.latency_ms / 1_000,
        per_token_s=scale / rate if wish.cadence_ms is None else wish.cadence_ms / 1_000,
        jitter=wish.cadence_ms is None,
        scale=scale,
    )


def first_token_s(model: Model, rng: random.Random) -> float:
    """Simulated seconds to the first token of an empty prompt."""
    median_s = model.first_p50_ms / 1_000
    return median_s * rng.lognormvariate(0, math.log(model.first_p95_ms / model.first_p50_ms) / _Z95)
