"""The words a catalogue is written in: names, numbers, money, sensitivity.

Scalars are strict: "12" is no number, 1 is no bool, a number is no name. What may be said once or several times
(`tenant: a` or `tenant: [a, b]`) is read as a tuple.
"""

from datetime import date
from decimal import Decimal
from enum import Enum
from functools import total_ordering
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

NANO_PER_USD = 1_000_000_000


class Part(BaseModel):
    """A piece of the catalogue: frozen, unknown keys refused, no infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


@total_ordering
class Sensitivity(Enum):
    """How far data may travel, in rising order; a provider's clearance is the highest that it may see."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Sensitivity):
            return NotImplemented
        return self.rank < other.rank

    @property
    def rank(self) -> int:
        """0 for public to 3 for restricted."""
        return _RANKS[self]


_RANKS = {sensitivity: rank for rank, sensitivity in enumerate(Sensitivity)}


def _text(pattern: str) -> StringConstraints:
    return StringConstraints(strict=True, pattern=pattern)


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that names the same thing twice (for lists whose entries have no line of their own to blame)."""
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"said twice: {', '.join(twice)}")
    return values


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("must be a number (without quotes or a currency sign)")
    return Decimal(str(value))


def _date(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a date such as 2026-11-01") from None


ModelName = Annotated[str, _text(r"^[A-Za-z0-9._:/-]{1,128}$")]  # of routes too: both are what callers ask for
Candidate = Annotated[str, _text(r"^(\*|[A-Za-z0-9._:/-]{1,128})$")]
ProviderName = Annotated[str, _text(r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]  # a part of a Kafka topic's name
TenantName = Annotated[str, _text(r"^[A-Za-z0-9._-]{1,64}$")]  # without `#`, which parts a tenant's shards
Label = Annotated[str, _text(r"^[A-Za-z0-9._-]{1,64}$")]
EnvName = Annotated[str, _text(r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Region = Annotated[str, _text(r"^[a-z0-9-]{1,32}$")]
Term = Annotated[str, _text(r"^[a-z0-9_-]{1,64}$")]
Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256)]
TagName = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
Tags = Annotated[dict[TagName, Text], Field(max_length=16)]

Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=86_400)]
Weight = Annotated[float, Field(strict=True, ge=0, le=1_000_000)]
Day = Annotated[date, BeforeValidator(_date, json_schema_input_type=str), Field(strict=True)]
Usd = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    Field(ge=0, le=1_000_000, decimal_places=9),  # nine places: one nano-dollar
    PlainSerializer(float, return_type=float, when_used="json"),  # at most 16 digits, so nothing is lost
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1_000_000}),
]

Several = Annotated[
    tuple[Text, ...],
    BeforeValidator(_several, json_schema_input_type=str | list[str]),
    Field(min_length=1),
    AfterValidator(distinct),
]


def nano_usd(amount: Decimal) -> int:
    """US dollars as the wire says them: whole nano-dollars. Exact, since amounts have at most nine places."""
    return int(amount * NANO_PER_USD)
