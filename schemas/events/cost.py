"""Cost: one line of the ledger per finished attempt, also failed, orphaned and shadow ones. route (settle) -> `costs.v1`."""

from dataclasses import dataclass

from schemas.completion import Usage
from schemas.events.ref import TimestampMs


@dataclass(slots=True)
class Cost:
    """`cost_id` = uuid5 of attempt, kind and price version: a line booked twice has the same id.

    `at` is when the call ended; `accepted_at`, that of the request, is the time by which usage and bills count.
    """

    cost_id: str
    request_id: str
    attempt: int
    attempt_id: str
    tenant: str
    user: str | None
    key_id: str | None
    tags: dict[str, str]
    provider: str
    model: str
    role: str
    usage: Usage
    cost_nano_usd: int
    price_version: str
    estimated: bool
    effective: bool
    kind: str
    at: TimestampMs
    accepted_at: TimestampMs | None = None
