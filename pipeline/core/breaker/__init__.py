"""The breaker of one endpoint (provider/model/region): signals in, its state out. `signals.v1` -> health -> `breakers.v1`.

machine    the table of transitions, what a state allows, how long an open one rests    <- start here
window     what was seen lately: counts, failures in a row, silence
judge      one endpoint in `health`: signals and ticks in, records and probes out
local      the fast path in route and call: trips at once, with no broker, until health says otherwise
"""

from pipeline.core.breaker.judge import Effect, Judge, Probe, Publish, probe_of
from pipeline.core.breaker.local import LocalBreaker
from pipeline.core.breaker.machine import TRANSITIONS, Cause, State, Why, held_back, view_of

__all__ = [
    "TRANSITIONS",
    "Cause",
    "Effect",
    "Judge",
    "LocalBreaker",
    "Probe",
    "Publish",
    "State",
    "Why",
    "held_back",
    "probe_of",
    "view_of",
]
