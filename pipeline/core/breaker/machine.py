"""The states of a breaker: a table `(state, cause) -> state`; what is not in it changes nothing.

    closed      -> failing        so many failures in a row                        -> open
                -> error_rate     too many failures in the window                  -> open
                -> slow_rate      too many late first events in the window         -> open
                -> silent         calls wait too long for a first event            -> open
                -> refused        auth, quota_exhausted, not_found                 -> open, for the longest rest
    open        -> rested         the open time is over                            -> half_open (one probe)
                -> catalog_changed   and it was refused                            -> open, its time is over
    half_open   -> probe_ok                                                        -> ramp
                -> probe_failed                                                    -> open, longer
                -> probe_lost     no result in time                                -> open, longer
    ramp        -> ramp_step      a second without a failure: twice as many calls  -> ramp
                -> ramp_done      enough calls at a time, or enough seconds        -> closed
                -> ramp_failing   any rule of closed, or the error rate of few     -> open, longer
                -> refused                                                         -> open, for the longest rest
    closed      -> hesitant       its calls wait, and nobody has an answer yet     -> closed; others are preferred
                -> answering      somebody had one, or it was long ago             -> closed
    closed, open, ramp -> limited   the vendor said until when it takes no calls   -> the same; no failure
    any         -> forced_open    an operator: no calls, no probes                 -> open, forced
                -> forced_closed  an operator: calls whatever happens              -> closed, forced
    forced open -> auto                                                            -> open, its time is over
    forced closed -> auto                                                          -> closed, judged from now on

A forced breaker leaves its state by an operator's word only. There is one way to a probe, `rested`, and none while another
may be under way (`probe_until`). A half-open one writes no other record, so its epoch names its probe.
"""

import zlib
from enum import StrEnum
from typing import Literal

from schemas.catalog.guards import Breaker as Settings
from schemas.errors import ERROR_KINDS, KindRow
from schemas.events.breaker import Breaker
from schemas.events.decision import View

__all__ = [
    "SAME_STATE",
    "TRANSITIONS",
    "Cause",
    "State",
    "Why",
    "counts",
    "held_back",
    "refuses",
    "rested_at",
    "row_of",
    "view_of",
]

_MAX_DOUBLINGS = 20
_ROWS = {kind.value: row for kind, row in ERROR_KINDS.items()}


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    RAMP = "ramp"


class Cause(StrEnum):
    FAILING = "failing"
    ERROR_RATE = "error_rate"
    SLOW_RATE = "slow_rate"
    SILENT = "silent"
    REFUSED = "refused"
    RESTED = "rested"
    CATALOG_CHANGED = "catalog_changed"
    PROBE_OK = "probe_ok"
    PROBE_FAILED = "probe_failed"
    PROBE_LOST = "probe_lost"
    RAMP_STEP = "ramp_step"
    RAMP_DONE = "ramp_done"
    RAMP_FAILING = "ramp_failing"
    LIMITED = "limited"
    HESITANT = "hesitant"
    ANSWERING = "answering"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"
    AUTO = "auto"


TRANSITIONS: dict[tuple[State, Cause], State] = {
    (State.CLOSED, Cause.FAILING): State.OPEN,
    (State.CLOSED, Cause.ERROR_RATE): State.OPEN,
    (State.CLOSED, Cause.SLOW_RATE): State.OPEN,
    (State.CLOSED, Cause.SILENT): State.OPEN,
    (State.CLOSED, Cause.REFUSED): State.OPEN,
    (State.CLOSED, Cause.LIMITED): State.CLOSED,
    (State.CLOSED, Cause.HESITANT): State.CLOSED,
    (State.CLOSED, Cause.ANSWERING): State.CLOSED,
    (State.CLOSED, Cause.AUTO): State.CLOSED,
    (State.OPEN, Cause.RESTED): State.HALF_OPEN,
    (State.OPEN, Cause.CATALOG_CHANGED): State.OPEN,
    (State.OPEN, Cause.LIMITED): State.OPEN,
    (State.OPEN, Cause.AUTO): State.OPEN,
    (State.HALF_OPEN, Cause.PROBE_OK): State.RAMP,
    (State.HALF_OPEN, Cause.PROBE_FAILED): State.OPEN,
    (State.HALF_OPEN, Cause.PROBE_LOST): State.OPEN,
    (State.RAMP, Cause.RAMP_STEP): State.RAMP,
    (State.RAMP, Cause.RAMP_DONE): State.CLOSED,
    (State.RAMP, Cause.RAMP_FAILING): State.OPEN,
    (State.RAMP, Cause.REFUSED): State.OPEN,
    (State.RAMP, Cause.LIMITED): State.RAMP,
    **{(state, Cause.FORCED_OPEN): State.OPEN for state in State},
    **{(state, Cause.FORCED_CLOSED): State.CLOSED for state in State},
}

SAME_STATE = frozenset({Cause.LIMITED, Cause.RAMP_STEP, Cause.HESITANT, Cause.ANSWERING})
"""Causes whose record is no new state."""

Why = Literal["open", "half_open", "ramp", "limited"]
"""Why an endpoint takes no call now."""


def view_of(breaker: Breaker | None, in_flight: int, now_ms: int) -> View:
    """What a decision sees of an endpoint; one that an operator holds closed has no limits."""
    if breaker is None or (breaker.forced and breaker.state == State.CLOSED):
        return View(in_flight=in_flight)
    is_limited = breaker.limited_until is not None and breaker.limited_until > now_ms
    return View(
        in_flight=in_flight,
        breaker=breaker.state,
        limited_until=breaker.limited_until if is_limited else None,
        open_until=breaker.open_until,
        allowed_in_flight=breaker.allowed_in_flight,
        hesitant=breaker.hesitant,
    )


def held_back(view: View, now_ms: int) -> Why | None:
    """Why no call may go there; None: it may."""
    if view.breaker == "open":  # plain text: comparing with a member of an enumeration takes twice as long
        return "open"
    if view.breaker == "half_open":
        return "half_open"
    if view.limited_until is not None and view.limited_until > now_ms:
        return "limited"
    if view.allowed_in_flight is not None and view.in_flight >= view.allowed_in_flight:
        return "ramp"
    return None


def row_of(kind: str | None) -> KindRow | None:
    """The row of a kind as records name it; None for one that a newer writer knows and we do not."""
    return _ROWS.get(kind or "")


def counts(kind: str | None) -> bool:
    """Whether the endpoint is judged by it."""
    row = row_of(kind)
    return row is not None and row.counts_for_breaker


def refuses(kind: str | None) -> bool:
    """Whether it does not pass by itself: credential, account or model are refused."""
    row = row_of(kind)
    return row is not None and (row.takes_credential_out or row.alarms)


def rested_at(breaker: Breaker, settings: Settings, now_ms: int) -> int:
    """When an open breaker may be probed: never before the vendor's own word, which may be later than the longest rest."""
    longer = 2 ** min(breaker.opened_count - 1, _MAX_DOUBLINGS)
    rest_s = settings.open_max_s if refuses(breaker.last_error) else min(settings.open_s * longer, settings.open_max_s)
    rest_ms = int(min(rest_s * _jitter(breaker), settings.open_max_s) * 1000)
    return max(now_ms + rest_ms, breaker.limited_until or 0, breaker.probe_until or 0)


def _jitter(breaker: Breaker) -> float:
    """0.8 to 1.2, the same for everybody who asks about this record."""
    return 0.8 + 0.4 * zlib.crc32(f"{breaker.endpoint}#{breaker.epoch}".encode()) / 2**32
