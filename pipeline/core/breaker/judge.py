"""The judge of one endpoint: signals and ticks in, records and probes out; `machine` has the table.

1. An operator's order and the vendor's own word (Retry-After) are taken from any signal, however late.
2. Counts go to the window; a probe's result counts only for the probe that is out.
3. Where calls go (closed, ramp), the window is judged; time does the rest (`tick`, next due at `due_ms`).

A judge goes on from the last record alone: after a restart an open breaker stays open, a probe that is out is waited for
or lost, a ramp goes on. Its first effect is always the record, so a probe is never sent that nobody would know of.
"""

from dataclasses import dataclass, replace

from pipeline.core.breaker.machine import SAME_STATE, TRANSITIONS, Cause, State, counts, refuses, rested_at, row_of
from pipeline.core.breaker.window import Window
from schemas.catalog import PLATFORM_TENANT
from schemas.catalog.guards import Breaker as Settings
from schemas.errors import ErrorKind
from schemas.events.breaker import Breaker
from schemas.events.signal import ProbeResult, Signal
from schemas.ids import attempt_id

__all__ = ["Effect", "Judge", "Probe", "Publish", "probe_of"]

PROBE_PATIENCE_MS = 15_000
RAMP_STEP_MS = 1_000
RAMP_MS = 6_000
RAMP_MAX_MS = 30_000
"""A ramp that fails now and then, but less than `error_rate`, ends here: a vendor's background noise must not hold it."""
RAMP_ENDS_ABOVE = 64

HESITATION_MS = 2_000
"""Where nobody goes nobody sees whether it answers again: after so long it is tried."""
_RESTS_NO_LONGER = (Cause.CATALOG_CHANGED, Cause.AUTO)
_PROBE_IS_OVER = (Cause.PROBE_OK, Cause.PROBE_FAILED, Cause.PROBE_LOST)
_ORDERS = {"open": Cause.FORCED_OPEN, "closed": Cause.FORCED_CLOSED, "auto": Cause.AUTO}


@dataclass(slots=True, frozen=True)
class Publish:
    breaker: Breaker


@dataclass(slots=True, frozen=True)
class Probe:
    """One synthetic call; its ids follow from endpoint and epoch, and its result must name this `attempt_id`."""

    endpoint: str
    epoch: int
    request_id: str
    attempt_id: str


Effect = Publish | Probe


def probe_of(endpoint: str, epoch: int) -> Probe:
    request_id = f"probe:{endpoint.replace('/', ':')}:{epoch}"[-128:]
    model = endpoint.partition("/")[2].rpartition("/")[0]
    return Probe(endpoint, epoch, request_id, attempt_id(PLATFORM_TENANT, request_id, 1, model))


class Judge:
    """`breaker` is the last record, published or as read; a fresh endpoint begins with `Breaker(endpoint)`."""

    def __init__(self, breaker: Breaker, settings: Settings, *, probe_patience_ms: int = PROBE_PATIENCE_MS) -> None:
        self.breaker = breaker
        self._settings = settings
        self._patience_ms = probe_patience_ms
        self._window = Window(_window_ms(settings), breaker.since)
        self._limited_until = breaker.limited_until or 0
        self._ordered_at = 0
        self._failed_at = 0

    def signal(self, signal: Signal, now_ms: int) -> list[Effect]:
        """Take one signal, in any order and any number of times; what is to be done comes back in order."""
        effects = self._obey(signal, now_ms) + self._limit(signal, now_ms)
        is_new = self._window.add(signal, now_ms)
        if self.breaker.forced:
            return effects
        if signal.probe is not None:
            effects += self._probed(signal.probe, now_ms)
        if is_new:
            effects += self._judge(signal, now_ms)
        return effects

    def tick(self, now_ms: int) -> list[Effect]:
        """What time alone does; nothing before `due_ms`."""
        due_ms = self.due_ms()
        if due_ms is None or now_ms < due_ms:
            return []
        if self._state is State.OPEN:
            return self._go(Cause.RESTED, now_ms)
        if self._state is State.HALF_OPEN:
            return self._go(Cause.PROBE_LOST, now_ms, kind=self.breaker.last_error)
        if self._state is State.CLOSED:
            return self._go(Cause.ANSWERING, now_ms)
        is_done = now_ms >= self._ramp_done_ms() or self._doubled() > RAMP_ENDS_ABOVE
        return self._go(Cause.RAMP_DONE if is_done else Cause.RAMP_STEP, now_ms)

    def due_ms(self) -> int | None:
        """When `tick` has something to do next; None while only a signal changes anything."""
        if self.breaker.forced:
            return None
        if self._state is State.CLOSED:
            return self.breaker.at + HESITATION_MS if self.breaker.hesitant else None
        if self._state is State.OPEN:
            return self.breaker.open_until
        if self._state is State.HALF_OPEN:
            return self.breaker.probe_until or self.breaker.since + self._patience_ms  # records of v1 do not say it
        return min(max(self.breaker.at, self._failed_at) + RAMP_STEP_MS, self._ramp_done_ms())

    def refused(self, kind: ErrorKind, now_ms: int) -> list[Effect]:
        """Another endpoint of the same credential was refused: this one is out, too."""
        return [] if self.breaker.forced else self._go(Cause.REFUSED, now_ms, kind=kind)

    def catalog_changed(self, now_ms: int, settings: Settings | None = None) -> list[Effect]:
        """Keys or models may be right now: what was refused is probed at once.

        Also for a credential whose other endpoint came back.
        """
        if settings is not None:
            self._settings, self._window.length_ms = settings, _window_ms(settings)
        if self.breaker.forced or not refuses(self.breaker.last_error):
            return []
        return self._go(Cause.CATALOG_CHANGED, now_ms)

    @property
    def _state(self) -> State:
        return State(self.breaker.state)

    def _obey(self, signal: Signal, now_ms: int) -> list[Effect]:
        """An order that is already carried out, or older than the last, is none."""
        cause = _ORDERS.get(signal.forced or "")
        if cause is None or signal.at <= self._ordered_at:
            return []
        self._ordered_at = signal.at
        holds = self.breaker.forced and self.breaker.state == signal.forced
        if holds or (cause is Cause.AUTO and not self.breaker.forced):
            return []
        return self._go(cause, now_ms)

    def _limit(self, signal: Signal, now_ms: int) -> list[Effect]:
        until = signal.limited_until or 0
        if until <= max(now_ms, self._limited_until):
            return []
        self._limited_until = until
        return [] if self.breaker.forced else self._go(Cause.LIMITED, now_ms)

    def _probed(self, result: ProbeResult, now_ms: int) -> list[Effect]:
        if result.attempt_id != probe_of(self.breaker.endpoint, self.breaker.epoch).attempt_id:
            return []
        return self._go(_verdict_of(result), now_ms, kind=result.kind)

    def _judge(self, signal: Signal, now_ms: int) -> list[Effect]:
        if self._state not in (State.CLOSED, State.RAMP):
            return []
        # One refusal is enough, but not where others pass: then it was about that call.
        refusals = [kind for kind, number in signal.errors.items() if number and refuses(kind)]
        if refusals and not signal.ok:
            return self._go(Cause.REFUSED, now_ms, kind=refusals[-1])
        cause = self._cause(now_ms)
        if self._state is State.RAMP:
            return self._judge_ramp(signal, cause, now_ms)
        if cause is not None:
            return self._go(cause, now_ms, kind=self._kind_of(cause))
        if self._window.is_hesitant(now_ms) != self.breaker.hesitant:
            return self._go(Cause.ANSWERING if self.breaker.hesitant else Cause.HESITANT, now_ms)
        return []

    def _judge_ramp(self, signal: Signal, cause: Cause | None, now_ms: int) -> list[Effect]:
        """Few calls go, so their share alone decides; a failure below it only holds the ramp up."""
        sums = self._window.sums
        if cause is None and sums.errors and sums.error_share >= self._settings.error_rate:
            cause = Cause.ERROR_RATE
        if cause is not None:
            return self._go(Cause.RAMP_FAILING, now_ms, kind=self._kind_of(cause))
        if any(number and counts(kind) for kind, number in signal.errors.items()):
            self._failed_at = now_ms
        return []

    def _cause(self, now_ms: int) -> Cause | None:
        settings, sums = self._settings, self._window.sums
        has_samples = sums.samples >= settings.min_samples
        if self._window.in_a_row >= settings.consecutive_failures:
            return Cause.FAILING
        if has_samples and sums.error_share >= settings.error_rate:
            return Cause.ERROR_RATE
        if has_samples and sums.slow_share >= settings.slow_rate:
            return Cause.SLOW_RATE
        return Cause.SILENT if self._window.is_silent(now_ms) else None

    def _kind_of(self, cause: Cause) -> str | None:
        if cause is Cause.SLOW_RATE:
            return None
        return ErrorKind.TIMEOUT.value if cause is Cause.SILENT else self._window.last_kind

    def _go(self, cause: Cause, now_ms: int, *, kind: str | None = None) -> list[Effect]:
        """One step of the table: the record, and the probe of a half-open one."""
        state = TRANSITIONS.get((self._state, cause))
        if state is None:
            return []
        last, stays = self.breaker, cause in SAME_STATE
        record = replace(
            last,
            state=state.value,
            epoch=last.epoch + 1,
            since=last.since if stays else now_ms,
            at=now_ms,
            limited_until=self._limited_until if self._limited_until > now_ms else None,
            cause=cause.value,
            probe_until=None if cause in _PROBE_IS_OVER else last.probe_until,
            hesitant=cause is Cause.HESITANT or (last.hesitant and cause is Cause.LIMITED),
        )
        self.breaker = self._limited(record) if cause is Cause.LIMITED else self._begun(record, cause, kind)
        if not stays:
            self._window.clear(now_ms)
        effects: list[Effect] = [Publish(self.breaker)]
        return [*effects, probe_of(last.endpoint, self.breaker.epoch)] if state is State.HALF_OPEN else effects

    def _limited(self, record: Breaker) -> Breaker:
        if record.open_until is None:
            return record
        return replace(record, open_until=max(record.open_until, self._limited_until))

    def _begun(self, record: Breaker, cause: Cause, kind: str | None) -> Breaker:
        """The record with what its state says besides."""
        bare = replace(record, open_until=None, allowed_in_flight=None, forced=False)
        if cause is Cause.FORCED_OPEN:
            return replace(bare, forced=True)
        if cause in (Cause.HESITANT, Cause.ANSWERING):
            return record
        if record.state == State.CLOSED:
            return replace(bare, opened_count=0, last_error=None, forced=cause is Cause.FORCED_CLOSED)
        if record.state == State.RAMP:
            return replace(bare, allowed_in_flight=self._doubled() if cause is Cause.RAMP_STEP else 1)
        if record.state == State.HALF_OPEN:
            return replace(bare, probe_until=record.at + self._patience_ms)
        if cause in _RESTS_NO_LONGER:
            return replace(bare, open_until=max(record.at, record.limited_until or 0, record.probe_until or 0))
        opened = replace(bare, opened_count=record.opened_count + 1, last_error=kind)
        return replace(opened, open_until=rested_at(opened, self._settings, record.at))

    def _doubled(self) -> int:
        return 2 * (self.breaker.allowed_in_flight or 1)

    def _ramp_done_ms(self) -> int:
        began = self.breaker.since
        return min(max(began, self._failed_at) + RAMP_MS, began + RAMP_MAX_MS)


def _window_ms(settings: Settings) -> int:
    return int(settings.window_s * 1000)


def _verdict_of(result: ProbeResult) -> Cause:
    """A probe that was cut off says nothing; a caller's fault says that somebody answers."""
    if result.ok:
        return Cause.PROBE_OK
    if result.kind == ErrorKind.CANCELLED:
        return Cause.PROBE_LOST
    row = row_of(result.kind)
    answers = row is not None and not (row.counts_for_breaker or row.waits or row.alarms or row.takes_credential_out)
    return Cause.PROBE_OK if answers else Cause.PROBE_FAILED
