"""Leg: one call of an experiment on its way through the bulk lane, whoever dies meanwhile. Pure.

    waiting    -> forwarded                       -> ordered
    ordered    -> started                         -> started
               -> returned: nothing was sent      -> waiting    (the same attempt: the lane drops copies)
               -> silence past the deadline       -> waiting    (the lane has lost it)
    started    -> returned, its worker is dead    -> lost       (the books are closed by us, as `finished`)
               -> silence past the deadline       -> lost
    any        -> finished                        -> ended
               -> finished, cancelled before it began (the experiment was stopped) -> waiting, as a new attempt

A new attempt has the next number of its leg: numbers of a request's legs are 1, 2 and 3 modulo 3, so that events and answers
say by themselves whose they are.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from pipeline.core.pricing import cost_nano_usd
from schemas.completion import Usage
from schemas.errors import BREAKER_OPEN
from schemas.events import Attempt, Response
from schemas.ids import attempt_id

__all__ = ["LEGS", "Leg", "LegState"]

LEGS = 3
GRACE_MS = 60_000


class LegState(Enum):
    WAITING = auto()
    ORDERED = auto()
    STARTED = auto()
    LOST = auto()
    ENDED = auto()


@dataclass(slots=True)
class Leg:
    """`place` is its number of 1 to LEGS; `deadline_at` that of its order."""

    tenant: str
    request_id: str
    role: str
    model: str
    place: int
    state: LegState = LegState.WAITING
    number: int = 0
    deadline_at: int = 0
    started: Attempt | None = None
    finished: Attempt | None = None
    answer: Response | None = None
    _kept: bool = field(default=False)
    _is_deaf: bool = field(default=False)

    def __post_init__(self) -> None:
        self.number = self.number or self.place

    @property
    def attempt_id(self) -> str:
        return attempt_id(self.tenant, self.request_id, self.number, self.model)

    @property
    def is_under_way(self) -> bool:
        return self.state in (LegState.ORDERED, LegState.STARTED, LegState.LOST)

    @property
    def is_over(self) -> bool:
        """Ended, and its answer is here if there is one."""
        return self.state is LegState.ENDED and (self.answer is not None or not self.is_ok or self._is_deaf)

    @property
    def is_ok(self) -> bool:
        return self.finished is not None and self.finished.result == "ok"

    @property
    def was_called(self) -> bool:
        """Whether anything went out to the provider."""
        return self.finished is not None and not _is_not_sent(self.finished)

    @property
    def code(self) -> str:
        """ok, or why there is no answer."""
        event = self.finished
        if event is None:
            return "unknown"
        if event.orphaned and not self.is_ok:
            return "orphaned"
        if event.error is not None:
            return event.error.code or event.error.kind
        return event.result or "unknown"

    @property
    def cost_nano_usd(self) -> int:
        """As the ledger books it."""
        event = self.finished
        return (
            cost_nano_usd(event.usage or Usage(), event.price) if event is not None and event.price is not None else 0
        )

    def forwarded(self, deadline_at: int) -> None:
        self.state, self.deadline_at = LegState.ORDERED, deadline_at

    def heard(self, event: Attempt) -> None:
        """An event of `attempts`; those of earlier attempts of this leg say nothing any more."""
        if event.attempt_id != self.attempt_id or self.state is LegState.ENDED:
            return
        match event.phase:
            case "started":
                self.started, self.state = self.started or event, LegState.STARTED
            case "kept":
                self._kept = True
            case "returned":
                self._returned(event)
            case "finished":
                self._finished(event)

    def _returned(self, event: Attempt) -> None:
        if self.started is None:
            self.state = LegState.WAITING
        elif not self._kept and self.started.worker != event.worker:
            self.state = LegState.LOST

    def _finished(self, event: Attempt) -> None:
        if event.result == "cancelled" and _is_not_sent(event):
            self.number += LEGS
            self.started, self._kept, self.state = None, False, LegState.WAITING
        else:
            self.finished, self.state = event, LegState.ENDED

    def tick(self, now_ms: int) -> None:
        """Nobody has said anything until long after its deadline."""
        if now_ms <= self.deadline_at + GRACE_MS:
            return
        if self.state is LegState.ORDERED:
            self.state = LegState.WAITING
        elif self.state is LegState.STARTED:
            self.state = LegState.LOST
        elif self.state is LegState.ENDED:
            self._is_deaf = True  # an answer that was written and cannot be read


def _is_not_sent(event: Attempt) -> bool:
    """Ended by us before anything went out: too late, cancelled, or its endpoint was out."""
    code = event.error.code if event.error is not None else None
    is_ours = code in (BREAKER_OPEN, "deadline_exceeded", "cancelled")
    return is_ours and event.duration_ms is None and event.usage is None and not event.orphaned
