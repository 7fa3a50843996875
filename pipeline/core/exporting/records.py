"""What an export knows of a request: flat, and the same from Kafka and from ClickHouse."""

from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.events import Feedback, ShadowComparison

__all__ = ["Answered", "Asked", "Bodies", "Exchange", "Place", "Rating", "Versus"]


class Place(NamedTuple):
    """Where a record stands in its topic; the lower one is the first."""

    partition: int
    offset: int


@dataclass(slots=True, frozen=True)
class Asked:
    """`target`: the model or route that was asked for."""

    request_id: str
    place: Place
    accepted_at: int
    target: str
    operation: str
    role: str
    user: str
    conversation_id: str
    language: str
    task: str
    complexity: float
    band: str
    sensitivity: str
    tags: dict[str, str]


@dataclass(slots=True, frozen=True)
class Answered:
    """The outcome; times in milliseconds, `finished_at` since the epoch."""

    request_id: str
    place: Place
    outcome: str
    finished_at: int
    provider: str
    model: str
    region: str
    finish_reason: str
    cost_nano_usd: int
    attempts: int
    cached: str
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    queue_ms: int | None
    first_token_ms: int | None
    total_ms: int | None


@dataclass(slots=True, frozen=True)
class Rating:
    """The last word of one user."""

    place: Place
    said: Feedback

    @property
    def score(self) -> float:
        """A label counts as 1 or 0 where no score was given."""
        if self.said.score is not None:
            return self.said.score
        return 1.0 if self.said.label == "up" else 0.0


@dataclass(slots=True, frozen=True)
class Versus:
    """A comparison that a judge decided."""

    place: Place
    said: ShadowComparison


@dataclass(slots=True)
class Exchange:
    """A request with its outcome and what was said of both. `ratings` of the request, else of its conversation."""

    asked: Asked
    answered: Answered
    ratings: list[Rating] = field(default_factory=list)
    versus: list[Versus] = field(default_factory=list)

    @property
    def score(self) -> float | None:
        """The mean over users."""
        if not self.ratings:
            return None
        return round(sum(rating.score for rating in self.ratings) / len(self.ratings), 6)


@dataclass(slots=True, frozen=True)
class Bodies:
    """JSON as it was sent and answered; `shadows` by the request id of the shadow."""

    asked: bytes | None
    answered: bytes | None
    shadows: dict[str, bytes]
