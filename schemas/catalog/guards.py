"""How failures are met: breaker, retries, alerts."""

import itertools
import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from schemas.catalog.words import Count, Label, Part, Seconds, Share

ALERT_TERMS = (
    "breaker_open_s",
    "error_rate",
    "budget_used",
    "consumer_lag",
    "dead_letters_per_min",
    "freshness_s",
    "p95_first_token_s",
)
_CONDITION = re.compile(rf"({'|'.join(ALERT_TERMS)}) *(>=|<=|>|<) *([0-9]{{1,12}}(?:\.[0-9]{{1,6}})?)")


class Breaker(Part):
    """When an endpoint (provider/model/region) is taken out, and for how long."""

    consecutive_failures: Annotated[Count, Field(le=1_000)] = 5
    """Open after so many in a row,"""
    window_s: Seconds = 10.0
    """or when in this window"""
    min_samples: Annotated[Count, Field(le=1_000_000)] = 10
    """at least so many calls"""
    error_rate: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.2
    """had this share of errors"""
    slow_rate: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.5
    """or this share of slow ones."""
    open_s: Seconds = 5.0
    """First open time; grows with every failed probe"""
    open_max_s: Seconds = 60.0
    """up to this."""

    @model_validator(mode="after")
    def _open_time_grows(self) -> Self:
        if self.open_s > self.open_max_s:
            raise ValueError("open_s is larger than open_max_s")
        return self


def _ascending(delays: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(delays)):
        raise ValueError("delays must rise, each longer than the one before")
    return delays


class Retry(Part):
    """Waiting rooms of requests that are tried again later, and how much trying again is allowed."""

    delays_s: Annotated[
        tuple[Annotated[int, Field(strict=True, ge=1, le=3_600)], ...],
        Field(min_length=1, max_length=8),
        AfterValidator(_ascending),
    ] = (1, 5, 30)
    """Whole seconds, rising; each is a topic."""
    budget_ratio: Share = 0.2
    """Retries per first attempt, for each provider."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`operator` is one of > >= < <=."""

    term: str
    operator: str
    threshold: float


def _condition(text: str) -> Condition | None:
    fits = _CONDITION.fullmatch(text)
    return fits and Condition(fits[1], fits[2], float(fits[3]))


def _is_condition(text: str) -> str:
    if _condition(text) is None:
        raise ValueError(f"must be TERM > NUMBER (or >=, <, <=), TERM one of {' '.join(ALERT_TERMS)}")
    return text


Webhook = Annotated[str, StringConstraints(strict=True, pattern=r"^webhook:[A-Za-z_][A-Za-z0-9_]{0,127}$")]


class Alert(Part):
    """Something people want to hear of; every alert is also a record on the topic `alerts`."""

    name: Label
    """What its records and messages call it."""
    when: Annotated[str, StringConstraints(strict=True, max_length=128), AfterValidator(_is_condition)]
    """Such as `breaker_open_s > 60`."""
    for_s: Annotated[float, Field(strict=True, ge=0, le=86_400)] = 0.0
    """How long it must hold."""
    to: tuple[Webhook, ...] = ()
    """webhook:NAME, where NAME is the environment variable that holds the address."""

    @property
    def condition(self) -> Condition:
        found = _condition(self.when)
        assert found is not None
        return found
