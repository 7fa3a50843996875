"""An estimate with the ends of its confidence sequence."""

from dataclasses import dataclass
from typing import Final

__all__ = ["LEVEL", "Interval"]

LEVEL: Final = 0.95
"""That the truth is never outside, however often one looks."""


@dataclass(slots=True, frozen=True)
class Interval:
    """In the unit of what was measured. `estimate` is None where nothing was: then the ends exclude nothing."""

    estimate: float | None
    low: float
    high: float
    level: float = LEVEL
