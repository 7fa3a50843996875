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
                -> it was not                    -> deciding    (Orphan, Decide)
    continuing  -> Collected: text               -> deciding    (Decide, cause `continuation`)
                -> Collected: nothing            -> deciding    (Decide)
                -> Collected: not continuable    -> ended       (Reply)
    any         -> deadline, cancel              -> ended       (Reply)

Once pieces of the answer may have gone out, every way to `deciding` leads over `continuing` (Collect): an answer that the
caller has seen the beginning of is never started again, it is continued from exactly there, under the policy
`stream_recovery: continue`, or ends in `stream_interrupted`. Whoever broke off may go on himself if nobody else can.

A vendor that refuses signatures of earlier turns is asked once more without them (provider_contracts.md section 7).

Events about attempts may come twice, late, or before the request itself (after a takeover): the first `started` and the
first `finished` of an attempt count, the rest is ignored.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pipeline.core.continuation import prefix_tokens
from pipeline.core.journey_events import (
    BudgetSpent,
    CancelAsked,
    Collected,
    DeadlinePassed,
    Decided,
    DecisionFailed,
    Event,
    Recovered,
)
from pipeline.core.outcomes import Collect, Decide, End, Forward, Orphan, Park, Recover, Reply, Step
from pipeline.core.pricing import cost_nano_usd
from schemas.completion import Usage
from schemas.errors import BREAKER_OPEN, CANNOT_SPELL, ERROR_KINDS, EVACUATED, STATE_REFUSED, ErrorCode, ErrorKind
from schemas.events import Attempt, AttemptError, Decision, Enriched, Outcome, Prefix, Ref
from schemas.headers import REPLAY
from schemas.ids import attempt_id

MIN_CALL_MS = 50
"""With less time left than this no further attempt is made."""

DEFAULT_WAIT_S = 1.0
"""How long a request waits for an overloaded provider that gave no Retry-After and has no alternative, at most, at first."""

RETURN_SPREAD_MS = 500
"""Requests that wait for the same endpoint come back over so much time, not all at once."""

_ROLES = frozenset({"failover", "continuation"})
"""Causes of a decision that are the role of its attempt too."""

_WHOLE = frozenset({"n", "logprobs"})
"""Needs that no continued answer meets: pieces are those of the first choice, and carry no log probabilities."""

_FORMS = frozenset({"json_mode", "json_schema"})


class Phase(StrEnum):
    DECIDING = "deciding"
    CALLING = "calling"
    RECOVERING = "recovering"
    CONTINUING = "continuing"
    PARKED = "parked"
    ENDED = "ended"


_ENDS = {
    DeadlinePassed: ("deadline_exceeded", "the deadline passed before an answer was there"),
    CancelAsked: ("cancelled", "cancelled by the caller"),
    DecisionFailed: ("internal", "no decision could be made"),
}


@dataclass(slots=True)
class Journey:
    """One request's state. `attempts` counts calls; `given_up` are models that no later attempt may use.

    `streamed`: pieces of the answer may have gone out; `continues`: then it may be continued. `spare` are those given up
    that may be asked to continue where nobody else can. `owed` is what will be decided once it is known what went out.
    `unsent` counts attempts that made no call. `context_tokens` is what the model that is asked can read.
    """

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
    continues: bool = True
    streamed: bool = False
    prefix: Prefix | None = None
    said: Usage = field(default_factory=Usage)
    spare: list[str] = field(default_factory=list)
    owed: Decide | None = None
    unsent: int = 0
    context_tokens: int = 0

    def begin(self) -> list[Step]:
        """The first outcome of a fresh request."""
        return [Decide(attempt=1, cause=self._first)]

    def resume(self, history: Iterable[Attempt], now_ms: int) -> list[Step]:
        """Go on after a takeover from what `attempts` says; without history it is a fresh request.

        What is owed for it costs no token: the life before has paid, and a fresh budget is not meant for all at once.
        """
        self.phase = Phase.DECIDING
        steps: list[Step] = []
        for event in history:
            before = (self.phase, self.current_id)
            new = [replace(step, pays="") if isinstance(step, Decide) else step for step in self._relive(event, now_ms)]
            # What an earlier event asked for is owed until a later one shows that it was done.
            steps = new or (steps if before == (self.phase, self.current_id) else [])
            if self.phase is Phase.ENDED:
                return steps
        if self.phase is Phase.CALLING:
            return []
        if self.owed is not None:
            self.owed = replace(self.owed, pays="")
        return steps or self._decide(self._first if not self.attempts else "retry")

    def wait(self, due_at: int) -> list[Step]:
        """It came back from a waypoint, before its time."""
        self.phase = Phase.PARKED
        return [Park(due_at)]

    def step(self, event: Event, now_ms: int) -> list[Step]:
        """Take one event; what is to be done comes back in order."""
        if self.phase is Phase.ENDED:
            return []
        match event:
            case Decided():
                return self._decided(event, now_ms)
            case Attempt():
                return self._attempt(event, now_ms)
            case Recovered():
                return self._recovered(event, now_ms)
            case Collected(prefix=prefix):
                return self._collected(prefix)
            case BudgetSpent():
                return self._reply_last_error()
            case DeadlinePassed() | CancelAsked() | DecisionFailed():
                return self._reply(*_ENDS[type(event)])

    def _relive(self, event: Attempt, now_ms: int) -> list[Step]:
        """Before a takeover's end the call may be unknown here: the event itself tells which it was."""
        is_at_work = self.phase in (Phase.CALLING, Phase.RECOVERING) and event.attempt_id == self.current_id
        if event.attempt >= self.attempts and event.attempt_id not in self.finished_ids and not is_at_work:
            self.attempts, self.current_id = event.attempt, event.attempt_id
            self.phase, self.started, self.kept = Phase.CALLING, None, False
        return self._attempt(event, now_ms)

    def _decided(self, event: Decided, now_ms: int) -> list[Step]:
        self.decision = decision = event.decision
        if not decision.chosen:
            return self._nobody_left(decision, now_ms)
        if decision.cause == "continuation" and not event.prefills and self._needs & _FORMS:
            self.given_up.append(decision.chosen)  # told to go on it would begin its JSON again
            return [Decide(attempt=decision.attempt, cause="continuation")]
        self.attempts, self.context_tokens = decision.attempt, event.context_tokens
        self.current_id = attempt_id(self.request.tenant, self.request.request_id, decision.attempt, decision.chosen)
        self.phase, self.started, self.kept = Phase.CALLING, None, False
        return [self._forward(decision)]

    def _forward(self, decision: Decision) -> Forward:
        if decision.cause in _ROLES:
            prefix = self.prefix if decision.cause == "continuation" else None
            return Forward(decision, self.current_id, decision.cause, self.keep_state, prefix)
        role = "primary" if decision.attempt == 1 else "retry"
        return Forward(decision, self.current_id, role, self.keep_state)

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
                return self._decide(self._first if event.attempt == 1 else "retry", attempt=event.attempt)
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
        orphan = Orphan(self.started, event.streamed, event.output_tokens)
        self.finished_ids.add(self.current_id)
        usage = Usage(self.request.features.input_tokens, event.output_tokens)
        if self.started.price is not None:
            self.spent_nano_usd += cost_nano_usd(usage, self.started.price)
        self._hear(event.streamed, usage)
        return [orphan, *self._next("retry", now_ms)]

    def _collected(self, prefix: Prefix | None) -> list[Step]:
        if self.phase is not Phase.CONTINUING or self.owed is None:
            return []
        if prefix is None:
            return self._interrupted()
        self.phase, owed = Phase.DECIDING, self.owed
        if prefix.is_empty:
            self.streamed = False
            return [owed]
        if not self.continues or self._needs & _WHOLE:
            return self._interrupted()
        self.prefix = replace(
            prefix,
            input_tokens=self.said.input_tokens or self.request.features.input_tokens,
            output_tokens=self.said.output_tokens or prefix_tokens(prefix),
        )
        return [replace(owed, cause="continuation")]

    @property
    def _first(self) -> str:
        """Why there is a first decision at all."""
        return "replay" if self.request.role == REPLAY else "first"

    @property
    def _needs(self) -> set[str]:
        return set(self.request.features.needs)

    def _hear(self, streamed: bool, usage: Usage | None) -> None:
        """An attempt is over; whether pieces of it went out, and what it took."""
        self.streamed = self.streamed or streamed
        if streamed and usage is not None:
            first = self.said.input_tokens or usage.input_tokens
            self.said = Usage(first, self.said.output_tokens + usage.output_tokens)

    def _finished(self, event: Attempt, now_ms: int) -> list[Step]:
        if event.result == "ok" and event.response is not None:
            return self._end(event.response)
        if event.attempt_id in self.finished_ids or event.attempt_id != self.current_id:
            return []
        self.finished_ids.add(event.attempt_id)
        if event.usage is not None and event.price is not None:
            self.spent_nano_usd += cost_nano_usd(event.usage, event.price)
        if event.result == "cancelled":
            return self._reply("cancelled", "cancelled by the caller")
        self._hear(event.streamed, event.usage)
        if event.result == "unknown" or (event.error and event.error.code == "handed_over"):
            return self._next("retry", now_ms)
        self.last_error = event.error
        return self._failed(event, now_ms)

    def _failed(self, event: Attempt, now_ms: int) -> list[Step]:
        code = event.error.code if event.error else None
        if code == STATE_REFUSED and self.keep_state:
            self.keep_state = False
            return self._next("retry", now_ms)
        row = ERROR_KINDS[ErrorKind(event.error.kind)] if event.error else ERROR_KINDS[ErrorKind.PROVIDER_FAULT]
        self.given_up.append(event.model)
        if code == BREAKER_OPEN or code in CANNOT_SPELL:
            self.unsent += 1
            return self._next("failover", now_ms)
        if row.retries_same:
            self.spare.append(event.model)
        pays = "" if code == EVACUATED else event.model
        if row.larger_context_only:
            # What one cannot read, no other of that size can; after a takeover only our own estimate is known.
            too_small = max(self.context_tokens, self.request.features.input_tokens)
            return self._next("failover", now_ms, pays=pays, larger_than_tokens=too_small)
        if row.fails_over:
            return self._next("failover", now_ms, pays=pays)
        return self._reply_last_error()

    def _next(self, cause: str, now_ms: int, *, pays: str = "", larger_than_tokens: int | None = None) -> list[Step]:
        if self.attempts - self.unsent >= self.max_attempts:
            return self._reply_last_error()
        if now_ms + MIN_CALL_MS >= self.request.deadline_at:
            return self._reply("deadline_exceeded", "the deadline passed before an answer was there")
        return self._decide(cause, pays=pays, larger_than_tokens=larger_than_tokens)

    def _decide(
        self, cause: str, *, attempt: int | None = None, pays: str = "", larger_than_tokens: int | None = None
    ) -> list[Step]:
        owed = Decide(attempt or self.attempts + 1, cause, larger_than_tokens, pays)
        if self.streamed:
            self.phase, self.owed = Phase.CONTINUING, owed
            return [Collect()]
        self.phase = Phase.DECIDING
        return [owed]

    def _nobody_left(self, decision: Decision, now_ms: int) -> list[Step]:
        """No candidate: wait where waiting helps and fits the deadline, else say why."""
        if self.streamed:
            return self._same_again(decision.attempt)
        due_at = self._due_at(decision, now_ms)
        if due_at is not None and due_at + MIN_CALL_MS < self.request.deadline_at:
            self.phase, self.given_up = Phase.PARKED, []
            return [Park(due_at)]
        if self.last_error is not None and self.last_error.code != BREAKER_OPEN:
            return self._reply_last_error()
        code = decision.error_code or ErrorCode.NO_ELIGIBLE_MODEL
        wait_s = DEFAULT_WAIT_S if code == ErrorCode.ALL_PROVIDERS_UNAVAILABLE else None
        if due_at is not None:
            wait_s = (due_at - now_ms) / 1000
        return self._reply(code, decision.reason, wait_s)

    def _due_at(self, decision: Decision, now_ms: int) -> int | None:
        """When trying again makes sense: by the vendor's own word, when an endpoint may be back, or soon, spread out."""
        row = ERROR_KINDS[ErrorKind(self.last_error.kind)] if self.last_error else None
        if self.last_error and row and row.waits and self.last_error.retry_after_s is not None:
            return now_ms + int(self.last_error.retry_after_s * 1000)
        if decision.retry_at is not None:
            return decision.retry_at + int(RETURN_SPREAD_MS * _unit(decision.seed))
        if row is not None and (row.waits or row.retries_same):
            longest_ms = DEFAULT_WAIT_S * 1000 * 2 ** min(self.attempts - 1, 5)
            return now_ms + int(longest_ms * (0.5 + 0.5 * _unit(decision.seed)))
        return None

    def _same_again(self, attempt: int) -> list[Step]:
        """Nobody else can go on: whoever broke off is asked himself, once more and at once, since the caller is reading."""
        if not self.spare:
            return self._interrupted()
        self.given_up = [model for model in self.given_up if model not in self.spare]
        self.spare = []
        return [Decide(attempt=attempt, cause="continuation")]

    def _interrupted(self) -> list[Step]:
        return self._reply("stream_interrupted", "the answer broke off and cannot be continued")

    def _reply_last_error(self) -> list[Step]:
        if self.streamed:
            return self._interrupted()
        error = self.last_error
        if error is None:
            return self._reply("all_providers_unavailable", "every attempt was lost with its worker")
        row = ERROR_KINDS[ErrorKind(error.kind)]
        self.phase = Phase.ENDED
        message = error.message or f"the provider failed: {error.kind}"
        return [Reply(Outcome(code=str(row.code), message=message, kind=error.kind, retry_after_s=error.retry_after_s))]

    def _reply(self, code: str, message: str, retry_after_s: float | None = None) -> list[Step]:
        self.phase = Phase.ENDED
        return [Reply(Outcome(code=code, message=message, retry_after_s=retry_after_s))]

    def _end(self, response: Ref | None) -> list[Step]:
        self.phase = Phase.ENDED
        return [End(response)]


def _unit(seed: int) -> float:
    """0 to 1, the same for the same decision."""
    return (seed % 65_536) / 65_536
