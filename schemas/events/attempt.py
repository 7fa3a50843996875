"""Attempt: the record of executing a call, in phases. call (and route, for orphans) -> `attempts.v1` -> route (settle).

started    acked by the broker before the provider is called
kept       a rebalance took the partition away, its worker goes on calling
returned   a record that may have been delivered before: not executed, given back to route
finished   the end, once per attempt; the first `finished` per attempt id counts
"""

from dataclasses import dataclass, field

from schemas.completion import Usage
from schemas.events.call import Price
from schemas.events.ref import Ref, TimestampMs


@dataclass(slots=True)
class AttemptError:
    """`kind` is an `ErrorKind`; `message` is scrubbed: no credential, no vendor URL, no prompt."""

    kind: str
    status: int | None = None
    code: str | None = None
    message: str = ""
    retry_after_s: float | None = None


@dataclass(slots=True)
class Attempt:
    """Identity first, then who executes it, then (finished only) how it ended and what it is booked under.

    `result`: ok, error, cancelled or unknown. `streamed`: pieces of the answer went out before the end.
    `price` stands here so that the ledger books what the call was made under, whatever the catalogue says by then;
    `accepted_at`, that of the request, so that it knows which period the line belongs to.
    """

    request_id: str
    tenant: str
    attempt: int
    attempt_id: str
    phase: str
    role: str
    provider: str
    model: str
    region: str
    worker: str
    started_at: TimestampMs
    result: str | None = None
    error: AttemptError | None = None
    first_event_ms: int | None = None
    duration_ms: int | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    response: Ref | None = None
    orphaned: bool = False
    streamed: bool = False
    finished_at: TimestampMs | None = None
    user: str | None = None
    key_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    price: Price | None = None
    accepted_at: TimestampMs | None = None
