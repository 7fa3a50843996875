"""Parked: a request that waits, with its state. route -> `retries.<delay>.v1` -> retry -> `retries.due.v1` -> route.

Tiers are waypoints: `due_at` is absolute, route parks again while it lies ahead.
"""

from dataclasses import dataclass, field

from schemas.events.enriched import Enriched
from schemas.events.ref import TimestampMs


@dataclass(slots=True)
class Parked:
    """`streamed`: pieces of the answer may have gone out, so the next attempt continues them."""

    request: Enriched
    due_at: TimestampMs
    attempts: int
    tried: list[str] = field(default_factory=list)
    spent_nano_usd: int = 0
    streamed: bool = False
