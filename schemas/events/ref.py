"""Ref: the one way to point at something big or old."""

from dataclasses import dataclass
from typing import Annotated

TimestampMs = Annotated[int, "timestamp-millis"]
"""Epoch milliseconds UTC; Avro `timestamp-millis`, RFC 3339 where people read it."""


@dataclass(slots=True, frozen=True)
class Ref:
    """One record of one topic (full topic name, prefix included)."""

    topic: str
    partition: int
    offset: int
