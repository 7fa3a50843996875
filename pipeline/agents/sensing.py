"""What `call` sees of endpoints and says of them: `signals.v1`, every 250 ms and at once on a failure. And what it hears.

Beside the signals stands the fast path: endpoints that are out, by health's word or by this process's own opinion, get no
call that still waits for its place here; and when one went out because it is silent, by either's word, its calls that
wait for a first event are evacuated, once per request, if there is somewhere else to go.

Of bulk calls nothing is said and nothing learnt: an experiment must not take an endpoint out, nor keep one in.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from pipeline.agents.endpoints import closed_for_s, endpoint_of
from pipeline.core.breaker import Cause, LocalBreaker, State
from pipeline.core.sensor import Sensor
from pipeline.emit import Emit
from pipeline.tools import Tools
from schemas.codec import Undecodable, decode
from schemas.errors import SAYS_NOTHING, ErrorKind
from schemas.events import Attempt, Breaker, Call
from schemas.roles import BULK_ROLES, REQUEST_ROLES

__all__ = ["Sensing"]

_EVERY_S = 0.25
_PROBE_S = 10.0
_MIN_PAUSE_S = 0.5


class Sensing:
    """Of one process."""

    def __init__(self, tools: Tools, emit: Emit) -> None:
        self._tools = tools
        self._emit = emit
        self._sensor = Sensor(tools.worker, self._patience_ms)
        self._local = LocalBreaker(lambda: tools.loaded.catalog.breaker)
        self._urgent = asyncio.Event()

    async def speak(self) -> None:
        """For ever. While the broker is away what is seen adds up, and the fast path goes on without it."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._urgent.wait(), _EVERY_S)
            self._urgent.clear()
            now_ms = self._tools.now_ms()
            signals = [*self._sensor.urgent(now_ms), *self._sensor.signals(now_ms)]
            await asyncio.gather(*(self._emit.signal(signal) for signal in signals))

    async def listen(self, on_silent: Callable[[str], None]) -> None:
        """For ever: an endpoint that is silent is told, with no broker and before health knows."""
        while True:
            await asyncio.sleep(_EVERY_S)
            now_ms = self._tools.now_ms()
            for endpoint in self._sensor.silent_endpoints(now_ms, self._local.since_ms):
                self._local.silent(endpoint, now_ms)
                if self._local.allows(endpoint, 0, now_ms) is not None:
                    on_silent(endpoint)

    def heard(self, record: Any) -> str | None:
        """A record of `breakers`; the endpoint that has just gone out because it is silent, if one has."""
        breaker = decode(Breaker, record.value)
        if isinstance(breaker, Undecodable):
            return None
        self._local.heard(breaker)
        is_silent = breaker.state == State.OPEN and breaker.cause == Cause.SILENT
        return breaker.endpoint if is_silent else None

    def is_out(self, call: Call) -> bool:
        """Whether its endpoint takes no calls. Ramps are route's matter: it sees all that is under way."""
        if call.role == "probe":
            return False
        return self._local.allows(endpoint_of(call), 0, self._tools.now_ms()) is not None

    def started(self, call: Call) -> None:
        if call.role in BULK_ROLES:
            return
        counted = call.role in REQUEST_ROLES and call.request_role == "primary"
        self._sensor.started(
            endpoint_of(call), call.attempt_id, self._tools.now_ms(), stream=call.stream, counted=counted
        )

    def first_event(self, call: Call) -> None:
        if call.role in BULK_ROLES:
            return
        self._sensor.first_event(endpoint_of(call), call.attempt_id, self._tools.now_ms())

    def is_silent(self, call: Call) -> bool:
        return call.attempt_id in self._sensor.waiting(endpoint_of(call))

    def probe_patience_s(self, call: Call) -> float:
        """A probe that hangs must not keep an endpoint out that is well again."""
        known_ms = self._sensor.probe_patience_ms(endpoint_of(call))
        return _PROBE_S if known_ms is None else min(known_ms / 1000, _PROBE_S)

    def probe_lost(self, call: Call) -> None:
        """Its worker died with it."""
        self._sensor.probe_finished(endpoint_of(call), call.attempt_id, kind=ErrorKind.CANCELLED)
        self._urgent.set()

    def finished(self, call: Call, attempt: Attempt) -> None:
        """How it ended, whoever asked."""
        if call.role in BULK_ROLES:
            return
        endpoint, now_ms, error = endpoint_of(call), self._tools.now_ms(), attempt.error
        kind = ErrorKind(error.kind) if error is not None else None
        if call.role == "probe":
            self._sensor.probe_finished(endpoint, call.attempt_id, kind=kind)
        else:
            is_old = attempt.started_at < self._local.since_ms(endpoint)
            excused = error is not None and (error.code in SAYS_NOTHING or attempt.result == "cancelled" or is_old)
            told_s = error.retry_after_s if error is not None else None
            wait_s = None if told_s is None else closed_for_s(told_s, self._tools.loaded.catalog)
            self._sensor.finished(endpoint, call.attempt_id, now_ms, kind=kind, retry_after_s=wait_s, excused=excused)
            if kind is None:
                self._local.succeeded(endpoint, now_ms)
            elif not excused and call.role in REQUEST_ROLES:
                self._local.failed(endpoint, kind, now_ms)
        if kind is not None or call.role == "probe":
            self._urgent.set()

    def limited(self, call: Call, pause_s: float) -> None:
        """A good answer said that the next one would not fit; what is over before anybody hears of it is not told."""
        if pause_s < _MIN_PAUSE_S or call.role in BULK_ROLES:
            return
        endpoint, wait_s = endpoint_of(call), closed_for_s(pause_s, self._tools.loaded.catalog)
        until_ms = self._tools.now_ms() + int(wait_s * 1000)
        self._sensor.limited(endpoint, until_ms)
        self._local.limited(endpoint, until_ms)

    def _patience_ms(self, endpoint: str, stream: bool) -> int:
        """While little is known of an endpoint: what its provider may take at all."""
        provider = self._tools.loaded.catalog.providers.get(endpoint.partition("/")[0])
        if provider is None:
            return 30_000
        return int((provider.timeouts.first_event_s if stream else provider.timeouts.total_s) * 1000)
