"""Signal: what one `call` process saw of one endpoint since its last signal. call -> `signals.v1` -> health.

Every 250 ms per active endpoint, and at once on a failure. Only calls of real requests are counted: shadow, replay and
judge calls say nothing, a probe says its own result. An operator's order comes on the same way (`forced`).
"""

from dataclasses import dataclass, field

from schemas.events.ref import TimestampMs


@dataclass(slots=True)
class ProbeResult:
    """How a synthetic call ended; `kind` is the `ErrorKind` of its failure."""

    attempt_id: str
    ok: bool
    kind: str | None = None


@dataclass(slots=True)
class Signal:
    """Counts are since the last signal of this worker for this endpoint (`provider/model/region`).

    Attributes:
        ok: calls that ended well.
        errors: failed ones by `ErrorKind`; the caller's own faults, deadlines and cancels are left out.
        slow: calls whose first event came later than it should.
        consecutive: failures since this worker's last success, over signals.
        in_flight: calls under way now; `silent` of them have waited longer than they should for a first event.
        oldest_silent_ms: age of the oldest call without a first event, 0 if there is none; `waiting` is how many there are.
        limited_until: until when the vendor takes no calls, by its own word (Retry-After).
        forced: an operator's order: `open` or `closed`; `auto` ends it.
    """

    endpoint: str
    worker: str
    at: TimestampMs
    ok: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    slow: int = 0
    consecutive: int = 0
    in_flight: int = 0
    silent: int = 0
    oldest_silent_ms: int = 0
    first_event_ewma_ms: int | None = None
    limited_until: TimestampMs | None = None
    probe: ProbeResult | None = None
    forced: str | None = None
    waiting: int = 0
