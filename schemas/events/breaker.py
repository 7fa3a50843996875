"""Breaker: the state of an endpoint, written on transitions only. health -> `breakers.v1` (compacted) -> every process.

One writer, the owner of `signals.v1`; readers keep the record of the higher epoch, so a writer that comes back late
changes nothing.
"""

from dataclasses import dataclass

from schemas.events.ref import TimestampMs


@dataclass(slots=True, frozen=True)
class Breaker:
    """One transition.

    Attributes:
        state: closed, open, half_open or ramp.
        epoch: rises with every record.
        since: when this state began; `at` when the record was written.
        open_until: when an open one may be probed; None while it stays open until something changes.
        opened_count: how often it opened in a row without having closed.
        limited_until: until when the vendor takes no calls, by its own word; independent of the state.
        allowed_in_flight: calls at a time while it ramps; None: no limit of its own.
        cause: the transition's cause, a word of `core/breaker.py`.
        last_error: the `ErrorKind` that counted last.
        forced: an operator holds it.
        probe_until: until then a probe may be under way, whatever became of the state since.
        hesitant: its calls wait, and nobody has had an answer for a while: who has a choice goes elsewhere.
    """

    endpoint: str
    state: str = "closed"
    epoch: int = 0
    since: TimestampMs = 0
    at: TimestampMs = 0
    open_until: TimestampMs | None = None
    opened_count: int = 0
    limited_until: TimestampMs | None = None
    allowed_in_flight: int | None = None
    cause: str = ""
    last_error: str | None = None
    forced: bool = False
    probe_until: TimestampMs | None = None
    hesitant: bool = False
