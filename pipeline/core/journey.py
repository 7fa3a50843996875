"""The journey of one request: a pure state machine `(state, event, now) -> outcomes`. The heart of `route`.

    deciding    -> Decided with a model          -> calling     (Forward)
                -> Decided without               -> ended       (Reply) or parked (Park)
    calling     -> started, kept                 -> calling
                -> returned, never started       -> calling     (Forward again: nothing was sent)
                -> returned after kept           -> calling     (its worker lives and will finish)
                -> returned after started        -> recovering  (Recover)
                -> finished ok                   -> ended       (End)
                -> finished with an error        -> deciding (Decide) or ended (Reply), by the row of its kind
    recovering  -> the answer was written        -> ended       (End)
                -> pieces went out               -> ended       (Orphan, Reply): a started answer never starts again
                -> nothing                       -> deciding    (Orphan, Decide)
    any         -> deadline, cancel              -> ended       (Reply)

A vendor that refuses signatures of earlier turns is asked once more without them (provider_contracts.md section 7).

Events about attempts may come twice, late, or before the request itself (after a takeover): the first `started` and the
first `finished` of an attempt count, the rest is ignored.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.core.outcomes import Decide, End, Forward, Orphan, Park, Recover, Reply, Step
from pipeline.core.pricing import cost_nano_usd
from schemas.errors import ERROR_KINDS, STATE_REFUSED, ErrorKind
from schemas.events import Attempt, AttemptError, Decision, Enriched, Outcome, Ref
from schemas.ids import attempt_id

MIN_CALL_MS = 50
"""With less time left than this no further attempt is made."""

DEFAULT_WAIT_S = 1.0
"""How long a request waits for an overloaded provider that gave no Retry-After and has no alternative."""


class Phase(StrEnum):
    DECIDING = "deciding"
    CALLING = "calling"
    RECOVERING = "recovering"
    PARKED = "parked"
    ENDED = "ended"


@dataclass(slots=True, frozen=True)
class Decided:
    decision: Decision


@dataclass(slots=True, frozen=True)
class Recovered:
    """What was found of an attempt whose worker died: its answer, or whether pieces of it went out."""

    attempt_id: str
    response: Ref | None
    streamed: bool


@dataclass(slots=True, frozen=True)
class DeadlinePassed:
    pass


@dataclass(slots=True, frozen=True)
class CancelAsked:
    pass


@dataclass(slots=True, frozen=True)
class DecisionFailed:
    """Deciding raised: our mistake, not the caller's."""


Event = Decided | Attempt | Recovered | DeadlinePassed | CancelAsked | DecisionFailed


@dataclass(slots=True)
class Journey:
    """One request's state. `attempts` counts calls; `given_up` are models that no later attempt may use."""

    request: Enriched
    max_attempts: int
    attempts: int = 0
    given_up: list[str] = field(default_factory=list)
    spent_nano_usd: int = 0
    phase: Phase = Phase.DECIDING
    decision: Decision | None = None
    current_id: str = ""
    started: Attempt | None = None
    kept: bool = False
    last_error: AttemptError | None = None
    finished_ids: set[str] = field(default_factory=set)
    keep_state: bool = True

    def begin(self) -> list[Step]:
        """The first outcome of a fresh request."""
        return [Decide(attempt=1, cause="first")]

    def resume(self, history: Iterable[Attempt], now_ms: int) -> list[Step]:
        """Go on after a takeover from what `attempts` says; without history it is a fresh request."""
        self.phase = Phase.DECIDING
        steps: list[Step] = []
        for event in history:
            before = (self.phase, self.current_id)
            new = self._relive(event, now_ms)
            # What an earlier event asked for is owed until a later one shows that it was done.
            steps = new or (steps if before == (self.phase, self.current_id) else [])
            if self.phase is Phase.ENDED:
                return steps
        if self.phase is Phase.CALLING:
            return []
        return steps or [Decide(attempt=self.attempts + 1, cause="first" if not self.attempts else "retry")]

    def step(self, event: Event, now_ms: int) -> list[Step]:
        """Take one event; what is to be done comes back in order."""
        if self.phase is Phase.ENDED:
            return []
        match event:
            case Decided(decision=decision):
                return self._decided(decision, now_ms)
            case Attempt():
                return self._attempt(event, now_ms)
            case Recovered():
                return self._recovered(event, now_ms)
            case DeadlinePassed():
                return self._reply("deadline_exceeded", "the deadline passed before an answer was there")
            case CancelAsked():
                return self._reply("cancelled", "cancelled by the caller")
            case DecisionFailed():
                return self._reply("internal", "no decision could be made")

    def _relive(self, event: Attempt, now_ms: int) -> list[Step]:
        """Before a takeover's end the call may be unknown here: the event itself tells which it was."""
        is_at_work = self.phase in (Phase.CALLING, Phase.RECOVERING) and event.attempt_id == self.current_id
        if event.attempt >= self.attempts and event.attempt_id not in self.finished_ids and not is_at_work:
            self.attempts, self.current_id = event.attempt, event.attempt_id
            self.phase, self.started, self.kept = Phase.CALLING, None, False
        return self._attempt(event, now_ms)

    def _decided(self, decision: Decision, now_ms: int) -> list[Step]:
        self.decision = decision
        if not decision.chosen:
            return self._nobody_left(decision, now_ms)
        self.attempts = decision.attempt
        self.current_id = attempt_id(self.request.tenant, self.request.request_id, decision.attempt, decision.chosen)
        self.phase, self.started, self.kept = Phase.CALLING, None, False
        return [self._forward(decision)]

    def _forward(self, decision: Decision) -> Forward:
        role = "primary" if decision.attempt == 1 else "failover" if decision.cause == "failover" else "retry"
        return Forward(decision=decision, attempt_id=self.current_id, role=role, keep_state=self.keep_state)

    def _attempt(self, event: Attempt, now_ms: int) -> list[Step]:
        if event.phase == "finished":
            return self._finished(event, now_ms)
        if event.attempt_id != self.current_id or self.phase is not Phase.CALLING:
            return []
        if event.phase == "started":
            self.started = self.started or event
        elif event.phase == "kept":
            self.kept = True
        elif event.phase == "returned":
            return self._returned(event)
        return []

    def _returned(self, event: Attempt) -> list[Step]:
        if self.started is None:
            if self.decision is None or self.decision.attempt != event.attempt:
                return [self._decide("first" if event.attempt == 1 else "retry", attempt=event.attempt)]
            return [self._forward(self.decision)]
        if self.kept or self.started.worker == event.worker:
            return []
        self.phase = Phase.RECOVERING
        return [Recover(self.started)]

    def _recovered(self, event: Recovered, now_ms: int) -> list[Step]:
        if self.phase is not Phase.RECOVERING or event.attempt_id != self.current_id or self.started is None:
            return []
        if event.response is not None:
            return self._end(event.response)
        orphan = Orphan(self.started)
        self.finished_ids.add(self.current_id)
        if event.streamed:
            return [orphan, *self._reply("stream_interrupted", "the answer broke off and cannot be continued")]
        return [orphan, *self._next("retry", now_ms)]

    def _finished(self, event: Attempt, now_ms: int) -> list[Step]:
        if event.result == "ok" and event.response is not None:
            return self._end(event.response)
        if event.attempt_id in self.finished_ids or event.attempt_id != self.current_id:
            return []
        self.finished_ids.add(event.attempt_id)
        if event.usage is not None and event.price is not None:
            self.spent_nano_usd += cost_nano_usd(event.usage, event.price)
        if event.streamed:
            return self._reply("stream_interrupted", "the answer broke off and cannot be continued")
        if event.result == "cancelled":
            return self._reply("cancelled", "cancelled by the caller")
        if event.result == "unknown" or (event.error and event.error.code == "handed_over"):
            return self._next("retry", now_ms)
        self.last_error = event.error
        return self._failed(event, now_ms)

    def _failed(self, event: Attempt, now_ms: int) -> list[Step]:
        if event.error and event.error.code == STATE_REFUSED and self.keep_state:
            self.keep_state = False
            return self._next("retry", now_ms)
        row = ERROR_KINDS[ErrorKind(event.error.kind)] if event.error else ERROR_KINDS[ErrorKind.PROVIDER_FAULT]
        self.given_up.append(event.model)
        if row.larger_context_only:
            return self._next("failover", now_ms, larger_than_tokens=self.request.features.input_tokens)
        if row.fails_over:
            return self._next("failover", now_ms)
        return self._reply_last_error()

    def _next(self, cause: str, now_ms: int, larger_than_tokens: int | None = None) -> list[Step]:
        if self.attempts >= self.max_attempts:
            return self._reply_last_error()
        if now_ms + MIN_CALL_MS >= self.request.deadline_at:
            return self._reply("deadline_exceeded", "the deadline passed before an answer was there")
        return [self._decide(cause, larger_than_tokens=larger_than_tokens)]

    def _decide(self, cause: str, *, attempt: int | None = None, larger_than_tokens: int | None = None) -> Decide:
        self.phase = Phase.DECIDING
        return Decide(attempt=attempt or self.attempts + 1, cause=cause, larger_than_tokens=larger_than_tokens)

    def _nobody_left(self, decision: Decision, now_ms: int) -> list[Step]:
        """No candidate: wait where waiting helps and fits the deadline, else say why."""
        if self.last_error is None:
            return self._reply(decision.error_code or "no_eligible_model", decision.reason)
        row = ERROR_KINDS[ErrorKind(self.last_error.kind)]
        wait_s = self.last_error.retry_after_s or DEFAULT_WAIT_S
        due_at = now_ms + int(wait_s * 1000)
        if (row.waits or row.retries_same) and due_at + MIN_CALL_MS < self.request.deadline_at:
            self.phase, self.given_up = Phase.PARKED, []
            return [Park(due_at)]
        return self._reply_last_error()

    def _reply_last_error(self) -> list[Step]:
        error = self.last_error
        if error is None:
            return self._reply("all_providers_unavailable", "every attempt was lost with its worker")
        row = ERROR_KINDS[ErrorKind(error.kind)]
        self.phase = Phase.ENDED
        message = error.message or f"the provider failed: {error.kind}"
        return [Reply(Outcome(code=str(row.code), message=message, kind=error.kind, retry_after_s=error.retry_after_s))]

    def _reply(self, code: str, message: str) -> list[Step]:
        self.phase = Phase.ENDED
        return [Reply(Outcome(code=code, message=message))]

    def _end(self, response: Ref | None) -> list[Step]:
        self.phase = Phase.ENDED
        return [End(response)]
