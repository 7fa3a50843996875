"""Decision: one per `decide`, refusals too, with everything needed to decide again. route -> `decisions.v1`."""

from dataclasses import dataclass, field

from schemas.events.ref import TimestampMs


@dataclass(slots=True)
class View:
    """What was known of one endpoint.

    Attributes:
        in_flight: calls under way there, as far as this owner knows.
        breaker: closed, open, half_open or ramp; `open_until` is when an open one may be probed.
        limited_until: until when the vendor takes no calls, by its own word.
        allowed_in_flight: calls at a time while it ramps.
        hesitant: its calls wait for longer than is usual, all of them.
    """

    in_flight: int = 0
    breaker: str = "closed"
    first_event_ms: int | None = None
    limited_until: TimestampMs | None = None
    open_until: TimestampMs | None = None
    allowed_in_flight: int | None = None
    hesitant: bool = False


@dataclass(slots=True)
class Ranked:
    model: str
    score: float
    quality: float
    cents: float
    latency_s: float
    propensity: float


@dataclass(slots=True)
class Excluded:
    """`step` is the first failing step of DESIGN 6: candidates, eligible, available, rules."""

    model: str
    step: str
    reason: str


@dataclass(slots=True)
class Proof:
    """That the data may go where it goes; regions and terms empty = no limit."""

    sensitivity: str
    regions: list[str] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Decision:
    """`attempt` is the attempt that it leads to (first 1); `chosen` is a model or empty; `error_code` says why it is empty.

    `retry_at`: where nobody is available, when somebody may be.

    What else `decide` saw, so that it can decide again: `in_flight` and `bulk_in_flight` of the candidates' providers that
    have any, candidates' providers that were off, models that this request had given up, the context that was too small,
    and `target`: what an operator asked for in place of the caller's word. `replayable`: all of it is here; records before
    v4 lack it.
    """

    request_id: str
    tenant: str
    attempt: int
    cause: str
    policy_version: str
    profile_version: str
    classifier_version: str
    seed: int
    decided_at: TimestampMs
    reason: str
    proof: Proof
    chosen: str = ""
    error_code: str | None = None
    view: dict[str, View] = field(default_factory=dict)
    ranked: list[Ranked] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)
    arm: str | None = None
    retry_at: TimestampMs | None = None
    experiment: str | None = None
    in_flight: dict[str, int] = field(default_factory=dict)
    bulk_in_flight: dict[str, int] = field(default_factory=dict)
    off_providers: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    larger_than_tokens: int | None = None
    target: str | None = None
    replayable: bool = False
