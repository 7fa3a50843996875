"""The fast path in route and call: one process's own opinion, at once and with no broker, beside what health says.

    closed -> so many failures in a row, one refusal, or silence   -> open for `open_s`
    open   -> the time is over        -> closed for one call at a time, and the next failure opens it again
    any    -> success                                     -> failures are forgotten
           -> a record of a higher epoch                  -> health's word replaces the own opinion

An endpoint is out if either says so; health knows more, so what it says after a local trip wins. A record of a limit
or of hesitation is no opinion about the state.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.core.breaker.machine import Cause, State, Why, held_back, refuses, view_of
from schemas.catalog.guards import Breaker as Settings
from schemas.errors import ERROR_KINDS, ErrorKind
from schemas.events.breaker import Breaker
from schemas.events.decision import View

__all__ = ["LocalBreaker"]

MAX_ENDPOINTS = 10_000
"""Catalogues are far smaller; the least recently touched endpoint goes first."""


@dataclass(slots=True)
class _Opinion:
    heard: Breaker | None = None
    failures: int = 0
    open_until: int = 0
    limited_until: int = 0


_NONE = _Opinion()


class LocalBreaker:
    """All endpoints of one process; `settings` gives those in force."""

    def __init__(self, settings: Callable[[], Settings], *, max_endpoints: int = MAX_ENDPOINTS) -> None:
        self._settings = settings
        self._max_endpoints = max_endpoints
        self._opinions: OrderedDict[str, _Opinion] = OrderedDict()

    def since_ms(self, endpoint: str) -> int:
        """Since when calls go there, by health's word: those that began before say nothing about it. 0: no such time."""
        heard = self._opinions.get(endpoint, _NONE).heard
        return heard.since if heard is not None and heard.state in (State.CLOSED, State.RAMP) else 0

    def failed(self, endpoint: str, kind: ErrorKind, now_ms: int, *, began_ms: int | None = None) -> bool:
        """True if this opened it. Failures while it is open are of calls that began before, and say nothing new."""
        if not (ERROR_KINDS[kind].counts_for_breaker or refuses(kind)):
            return False
        if began_ms is not None and began_ms < self.since_ms(endpoint):
            return False
        opinion = self._touch(endpoint)
        if opinion.open_until > now_ms:
            return False
        opinion.failures += 1
        if opinion.failures < self._settings().consecutive_failures and not refuses(kind):
            return False
        opinion.open_until = now_ms + int(self._settings().open_s * 1000)
        return True

    def silent(self, endpoint: str, now_ms: int) -> None:
        """Its calls wait for too long."""
        if self.allows(endpoint, 0, now_ms) is not None:
            return
        opinion = self._touch(endpoint)
        opinion.failures = max(opinion.failures, self._settings().consecutive_failures)
        opinion.open_until = now_ms + int(self._settings().open_s * 1000)

    def succeeded(self, endpoint: str, now_ms: int) -> None:
        """A success while it is open is of a call that began before: the rest is kept."""
        opinion = self._opinions.get(endpoint)
        if opinion is not None and opinion.open_until <= now_ms:
            opinion.failures = 0

    def limited(self, endpoint: str, until_ms: int) -> None:
        opinion = self._touch(endpoint)
        opinion.limited_until = max(opinion.limited_until, until_ms)

    def heard(self, breaker: Breaker) -> None:
        """A record of health, in any order; only a higher epoch counts."""
        opinion = self._touch(breaker.endpoint)
        if opinion.heard is not None and breaker.epoch <= opinion.heard.epoch:
            return
        opinion.heard = breaker
        if breaker.cause not in (Cause.LIMITED, Cause.HESITANT, Cause.ANSWERING):
            opinion.failures = opinion.open_until = 0

    def allows(self, endpoint: str, in_flight: int, now_ms: int) -> Why | None:
        """Why no call may go there; None: it may."""
        return held_back(self.view(endpoint, in_flight, now_ms), now_ms)

    def view(self, endpoint: str, in_flight: int, now_ms: int) -> View:
        """What a decision sees of the endpoint: health's word, and the own opinion where that is worse."""
        opinion = self._opinions.get(endpoint, _NONE)
        heard = opinion.heard
        view = view_of(heard, in_flight, now_ms)
        if heard is not None and heard.forced and heard.state == State.CLOSED:
            return view
        if opinion.limited_until > max(now_ms, view.limited_until or 0):
            view.limited_until = opinion.limited_until
        if opinion.open_until > now_ms and view.breaker not in (State.OPEN, State.HALF_OPEN):
            view.breaker, view.open_until = State.OPEN.value, opinion.open_until
        elif opinion.failures >= self._settings().consecutive_failures:
            view.allowed_in_flight = 1
        return view

    def _touch(self, endpoint: str) -> _Opinion:
        opinion = self._opinions.setdefault(endpoint, _Opinion())
        self._opinions.move_to_end(endpoint)
        if len(self._opinions) > self._max_endpoints:
            self._opinions.popitem(last=False)
        return opinion
