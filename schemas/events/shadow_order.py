"""Shadow order: an operator starts, stops or rewinds an experiment. Command line, admin surface -> `shadows.v1` -> shadow."""

from dataclasses import dataclass

from schemas.events.ref import TimestampMs


@dataclass(slots=True, frozen=True)
class ShadowOrder:
    """The last one per experiment is in force; without one the catalogue's `enabled` is.

    `run` counts the orders of an experiment from 1: whoever gives one waits until the stage says that number. `from_at`:
    go back (or forward) to what was accepted then; None: go on where it stands.
    """

    experiment: str
    is_running: bool
    run: int
    at: TimestampMs
    from_at: TimestampMs | None = None
