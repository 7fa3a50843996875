"""The sensor of one `call` process: it hears how calls go and says so in signals.

    started -> first_event -> finished       a call of a real request
    probe_finished                           a probe says its own result and nothing else

Every finished call that says something about its endpoint appears in exactly one signal, as `ok` or as one of `errors`.
Which kinds do say something stands in the kind's row (`schemas/errors.py`); the caller's own faults do not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.core.sensor.baseline import Baseline
from schemas.errors import ERROR_KINDS, ErrorKind, KindRow
from schemas.events.signal import ProbeResult, Signal

__all__ = ["Patience", "Sensor"]

SIGNAL_EVERY_MS = 250
MIN_SILENT_MS = 2_000
SILENT_FACTOR = 3
DEFAULT_LIMIT_MS = 1_000
"""For a vendor that says "too many calls" and not for how long."""

Patience = Callable[[str, bool], int]
"""(endpoint, stream) -> how long a first event may take, in ms, while too little is known of the endpoint."""


@dataclass(slots=True)
class _Call:
    started_ms: int
    stream: bool


@dataclass(slots=True)
class _Endpoint:
    """`waiting` are the calls without a first event, oldest first, by whether they are streamed."""

    calls: dict[str, _Call] = field(default_factory=dict)
    waiting: dict[bool, dict[str, int]] = field(default_factory=lambda: {True: {}, False: {}})
    baselines: dict[bool, Baseline] = field(default_factory=lambda: {True: Baseline(), False: Baseline()})
    ok: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    slow: int = 0
    consecutive: int = 0
    limited_until: int = 0
    probes: list[ProbeResult] = field(default_factory=list)
    changed: bool = False
    said_at: int = 0
    answered_at: int = 0


_NOTHING_SEEN = _Endpoint()


class Sensor:
    """All endpoints of one process; every call costs the same, however many are under way."""

    def __init__(self, worker: str, patience_ms: Patience) -> None:
        self._worker = worker
        self._patience_ms = patience_ms
        self._endpoints: dict[str, _Endpoint] = {}

    def started(self, endpoint: str, attempt_id: str, now_ms: int, *, stream: bool, counted: bool = True) -> None:
        """`counted=False`: a shadow, replay or judge call, which says nothing; what comes of it later is ignored."""
        if not counted:
            return
        seen = self._endpoints.setdefault(endpoint, _Endpoint())
        seen.calls[attempt_id] = _Call(now_ms, stream)
        seen.waiting[stream][attempt_id] = now_ms
        seen.changed = True

    def first_event(self, endpoint: str, attempt_id: str, now_ms: int) -> None:
        """The first one counts, later ones may come and change nothing."""
        seen = self._endpoints.get(endpoint, _NOTHING_SEEN)
        call = seen.calls.get(attempt_id)
        if call is None or seen.waiting[call.stream].pop(attempt_id, None) is None:
            return
        late_ms, seen.answered_at = now_ms - call.started_ms, now_ms
        seen.slow += late_ms > self._threshold_ms(endpoint, seen, call.stream)
        seen.baselines[call.stream].observe(late_ms, now_ms)
        seen.changed = True

    def finished(
        self,
        endpoint: str,
        attempt_id: str,
        now_ms: int,
        *,
        kind: ErrorKind | None = None,
        retry_after_s: float | None = None,
        excused: bool = False,
    ) -> None:
        """How a call ended: `kind` None is a success, whose end is its first event if it had none.

        `excused` says that the endpoint did nothing wrong: the caller's deadline, cancel or fault, or our handing over.
        """
        if kind is None and not excused:
            self.first_event(endpoint, attempt_id, now_ms)
        seen = self._endpoints.get(endpoint, _NOTHING_SEEN)
        call = seen.calls.pop(attempt_id, None)
        if call is None:
            return
        seen.waiting[call.stream].pop(attempt_id, None)
        seen.changed = True
        if excused:
            return
        if kind is None:
            seen.ok, seen.consecutive = seen.ok + 1, 0
        else:
            _count_failure(seen, kind, now_ms, retry_after_s)

    def limited(self, endpoint: str, until_ms: int) -> None:
        """The vendor said, with a good answer, until when it takes no more; said with the next `urgent` or `signals`."""
        seen = self._endpoints.setdefault(endpoint, _Endpoint())
        seen.limited_until, seen.changed = max(seen.limited_until, until_ms), True

    def probe_finished(self, endpoint: str, attempt_id: str, *, kind: ErrorKind | None) -> None:
        """Said with the next `urgent` or `signals`."""
        seen = self._endpoints.setdefault(endpoint, _Endpoint())
        seen.probes.append(ProbeResult(attempt_id, ok=kind is None, kind=kind and kind.value))

    def signals(self, now_ms: int) -> list[Signal]:
        """What is due: every 250 ms for each endpoint where something happened or is under way."""
        return [
            signal
            for endpoint, seen in self._endpoints.items()
            if seen.said_at + SIGNAL_EVERY_MS <= now_ms and (seen.changed or seen.calls or seen.probes)
            for signal in self._say(endpoint, seen, now_ms)
        ]

    def urgent(self, now_ms: int) -> list[Signal]:
        """What cannot wait: failures and results of probes."""
        return [
            signal
            for endpoint, seen in self._endpoints.items()
            if seen.errors or seen.probes
            for signal in self._say(endpoint, seen, now_ms)
        ]

    def silent(self, now_ms: int, endpoint: str | None = None) -> list[str]:
        """Attempts without a first event for too long, oldest first: of one endpoint, or of all."""
        names = self._endpoints if endpoint is None else [endpoint] if endpoint in self._endpoints else []
        found = [entry for name in names for entry in self._silent(name, self._endpoints[name], now_ms)]
        return [attempt_id for _, attempt_id in sorted(found)]

    def silent_endpoints(self, now_ms: int, since_ms: Callable[[str], int]) -> list[str]:
        """Where nobody had an answer since a silent call began, or several are silent and they are half of all.

        Calls that began before `since_ms` of their endpoint do not count.
        """
        return [name for name, seen in self._endpoints.items() if self._is_mute(name, seen, now_ms, since_ms(name))]

    def _is_mute(self, endpoint: str, seen: _Endpoint, now_ms: int, since_ms: int) -> bool:
        begun = [started_ms for started_ms, _ in self._silent(endpoint, seen, now_ms) if started_ms > since_ms]
        if not begun:
            return False
        return max(begun) >= seen.answered_at or (len(begun) > 1 and 2 * len(begun) >= len(seen.calls))

    def probe_patience_ms(self, endpoint: str) -> float | None:
        """How long a probe may take: as long as other calls, whether streamed or not; None if that is not known."""
        seen = self._endpoints.get(endpoint, _NOTHING_SEEN)
        known = [stream for stream, baseline in seen.baselines.items() if baseline.p95_ms is not None]
        return max((self._threshold_ms(endpoint, seen, stream) for stream in known), default=None)

    def waiting(self, endpoint: str) -> set[str]:
        """Attempts without a first event."""
        seen = self._endpoints.get(endpoint, _NOTHING_SEEN)
        return {attempt_id for waiting in seen.waiting.values() for attempt_id in waiting}

    def threshold_ms(self, endpoint: str, *, stream: bool) -> float:
        """From when on a call without a first event is silent, and a first event is slow."""
        return self._threshold_ms(endpoint, self._endpoints.get(endpoint, _NOTHING_SEEN), stream)

    def _threshold_ms(self, endpoint: str, seen: _Endpoint, stream: bool) -> float:
        p95_ms = seen.baselines[stream].p95_ms
        return self._patience_ms(endpoint, stream) if p95_ms is None else max(MIN_SILENT_MS, SILENT_FACTOR * p95_ms)

    def _silent(self, endpoint: str, seen: _Endpoint, now_ms: int) -> list[tuple[int, str]]:
        """(started, attempt); the walk ends at the first that is young enough, so it costs no more than it finds."""
        found = []
        for stream, waiting in seen.waiting.items():
            latest_ms = now_ms - self._threshold_ms(endpoint, seen, stream)
            for attempt_id, started_ms in waiting.items():
                if started_ms >= latest_ms:
                    break
                found.append((started_ms, attempt_id))
        return found

    def _say(self, endpoint: str, seen: _Endpoint, now_ms: int) -> list[Signal]:
        """One signal with the counts and the first probe's result, and one for each further probe."""
        probes = seen.probes
        signals = [self._signal(endpoint, seen, now_ms, probes[0] if probes else None)]
        seen.ok, seen.errors, seen.slow, seen.probes, seen.changed = 0, {}, 0, [], False
        return signals + [self._signal(endpoint, seen, now_ms, probe) for probe in probes[1:]]

    def _signal(self, endpoint: str, seen: _Endpoint, now_ms: int, probe: ProbeResult | None) -> Signal:
        # (worker, at) names a signal to its reader, so no two of an endpoint share their millisecond.
        seen.said_at = max(now_ms, seen.said_at + 1)
        silent = [started_ms for started_ms, _ in self._silent(endpoint, seen, now_ms)]
        waiting = silent or [next(iter(calls.values())) for calls in seen.waiting.values() if calls]
        ewmas_ms = [seen.baselines[stream].ewma_ms for stream in (True, False)]
        return Signal(
            endpoint=endpoint,
            worker=self._worker,
            at=seen.said_at,
            ok=seen.ok,
            errors=seen.errors,
            slow=seen.slow,
            consecutive=seen.consecutive,
            in_flight=len(seen.calls),
            silent=len(silent),
            oldest_silent_ms=now_ms - min(waiting) if waiting else 0,
            waiting=sum(len(calls) for calls in seen.waiting.values()),
            first_event_ewma_ms=next((round(ewma_ms) for ewma_ms in ewmas_ms if ewma_ms is not None), None),
            limited_until=seen.limited_until if seen.limited_until > now_ms else None,
            probe=probe,
        )


def _count_failure(seen: _Endpoint, kind: ErrorKind, now_ms: int, retry_after_s: float | None) -> None:
    row = ERROR_KINDS[kind]
    if not _is_endpoints_fault(row):
        return
    seen.errors[kind.value] = seen.errors.get(kind.value, 0) + 1
    seen.consecutive += row.counts_for_breaker
    wait_ms = int(retry_after_s * 1000) if retry_after_s is not None else DEFAULT_LIMIT_MS if row.waits else 0
    # A refusal does not pass by waiting: the breaker's own rest and the catalogue decide.
    if row.waits or row.counts_for_breaker:
        seen.limited_until = max(seen.limited_until, now_ms + wait_ms)


def _is_endpoints_fault(row: KindRow) -> bool:
    return row.counts_for_breaker or row.waits or row.alarms or row.takes_credential_out
