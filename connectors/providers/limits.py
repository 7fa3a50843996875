"""How long a call may take: one timer for the limits of the provider and the deadline of the caller.

Five limits end a call: connect (the transport's own timer), first event, gap between events, total, and the caller's
deadline. The caller's own deadline says nothing about the provider, so it is told apart (BerriAI/litellm#41223).
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

from schemas.errors import ErrorKind, ProviderError

__all__ = ["Limits", "Timeouts"]

LimitName = Literal["first_event", "gap", "total", "deadline"]

# Moving the timer costs more than a piece of a stream should: it is moved only where it matters.
_SLACK = 0.01


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Of a provider, in seconds.

    `first_event_s` holds for streams: an unstreamed answer comes when it is whole, and has `total_s`.
    """

    connect_s: float = 5.0
    first_event_s: float = 30.0
    gap_s: float = 30.0
    total_s: float = 300.0


class Limits:
    """Of one call, from now on; needs a running loop. Enter `timer` around the work."""

    __slots__ = ("_at", "_hard_at", "_hard_name", "_loop", "_name", "deadline_hit", "timer")

    def __init__(self, timeouts: Timeouts, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._hard_name: LimitName = "deadline" if timeout_s <= timeouts.total_s else "total"
        self._hard_at = now + min(timeout_s, timeouts.total_s)
        self._name: LimitName = self._hard_name
        self._at = self._hard_at
        self.deadline_hit = False
        self.timer = asyncio.timeout_at(self._at)

    def hold(self, name: LimitName, seconds: float) -> None:
        """From now on this limit counts, unless a hard one comes earlier. It may end up to 1 % early."""
        at = self._loop.time() + seconds
        if at >= self._hard_at:
            name, at = self._hard_name, self._hard_at
        if name != self._name or abs(at - self._at) > seconds * _SLACK:
            self._at = at
            self.timer.reschedule(at)
        self._name = name

    @property
    def are_over(self) -> bool:
        """There was no time to begin with."""
        return self._hard_at <= self._loop.time()

    def error(self) -> ProviderError:
        """What to say when time is up; notes if it was the caller's deadline."""
        if self._name == "deadline":
            self.deadline_hit = True
            return ProviderError(ErrorKind.TIMEOUT, code="deadline_exceeded", message="the deadline has passed")
        words = self._name.replace("_", " ")
        return ProviderError(ErrorKind.TIMEOUT, code=f"{self._name}_timeout", message=f"no answer in time ({words})")
