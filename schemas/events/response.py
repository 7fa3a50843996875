"""Response: the outcome of a request. call (answers) and route (everything else) -> `responses.v1` -> callers.

The first record per (tenant, request id) in its partition is the outcome, for every reader.
"""

from dataclasses import dataclass, field

from schemas.completion import Usage
from schemas.events.ref import TimestampMs


@dataclass(slots=True)
class Outcome:
    """The error of an outcome: `code` is one of `ERROR_CODES`, `kind` an `ErrorKind` where a provider caused it."""

    code: str
    message: str
    kind: str | None = None
    retry_after_s: float | None = None


@dataclass(slots=True)
class RouteInfo:
    """Why this model: `excluded` is `model: step, reason` per candidate that policy or state removed."""

    policy: str = ""
    reason: str = ""
    propensity: float = 1.0
    alternatives: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Timings:
    """Milliseconds: accepted to call, call to first token, call to its end, accepted to outcome."""

    queue: int | None = None
    first_token: int | None = None
    provider: int | None = None
    total: int | None = None


@dataclass(slots=True)
class Response:
    """`dropped` names parameters of the request that the model does not take, so that they did not go out.

    `usage` is of the whole answer; where several attempts gave it, `attempt_usage` is what the last of them took.
    """

    request_id: str
    tenant: str
    operation: str
    outcome: str
    accepted_at: TimestampMs
    finished_at: TimestampMs
    route: RouteInfo
    timings_ms: Timings
    user: str | None = None
    conversation_id: str | None = None
    error: Outcome | None = None
    body: bytes | None = None
    provider: str | None = None
    model: str | None = None
    region: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    cost_nano_usd: int = 0
    attempts: int = 0
    cached: str = "none"
    role: str = "primary"
    tags: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    attempt_usage: Usage | None = None
