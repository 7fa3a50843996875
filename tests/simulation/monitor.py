"""What must hold in every run, checked while it goes on and at its end."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.agents.endpoints import endpoint_of
from pipeline.core.continuation import delivered
from schemas.events import Attempt, Breaker, Call, Delta, Enriched
from tests.simulation.providers import said_by
from tests.simulation.route_owner import Answer

__all__ = ["GRACE_MS", "Monitor"]

GRACE_MS = 2_000
"""After the deadline, or after the owner is back that was away then."""
HEARD_MS = 500
"""Until then everybody knows the record of a breaker: it takes up to 100 ms, and its writing some."""
WINDOW_MS = 10_000
_FINAL_CODES = frozenset({
    "all_providers_unavailable", "cancelled", "deadline_exceeded", "overloaded", "provider_error", "provider_unreachable",
    "rate_limit_exceeded", "stream_interrupted", "timeout",
})  # fmt: skip


@dataclass(slots=True)
class _Case:
    """What is known of one request."""

    request: Enriched
    answer: Answer | None = None
    answered_ms: int = 0
    calls: int = 0
    lost: int = 0
    owner_deaths: int = 0
    calls_by_attempt: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class _Ledger:
    """First attempts and paid retries of one owner and provider, in time."""

    firsts: deque[int] = field(default_factory=deque)
    paid: deque[int] = field(default_factory=deque)


class Monitor:
    """`violations` are (rule, request or endpoint, what is wrong)."""

    def __init__(self, max_attempts: dict[str, int]) -> None:
        self.violations: list[tuple[str, str, str]] = []
        self.counts: Counter[str] = Counter()
        self.cases: dict[str, _Case] = {}
        self.breakers: dict[str, Breaker] = {}
        self._max_attempts = max_attempts
        self._ledgers: defaultdict[tuple[str, str], _Ledger] = defaultdict(_Ledger)
        self._probes: dict[str, str] = {}
        self._probed: set[str] = set()
        self._dead_workers: set[str] = set()

    # --- what happens -------------------------------------------------------------------------------------------

    def accepted(self, request: Enriched) -> None:
        self.cases[request.request_id] = _Case(request)

    def answered(self, answer: Answer, pieces: list[Delta], now_ms: int) -> None:
        """The first record is the outcome, whatever comes later; what a stream's reader has seen is its beginning."""
        case = self.cases[answer.request_id]
        if case.answer is not None:
            self.counts["later records"] += 1
            return
        case.answer, case.answered_ms = answer, now_ms
        self.counts["ok" if answer.code is None else answer.code] += 1
        if answer.code is None and answer.text != said_by(answer.request_id):
            self.violated("text", answer.request_id, f"ends ok with other text than its provider said: {answer.text!r}")
        seen = delivered(pieces) if answer.code is None and not case.owner_deaths else None
        if (
            pieces
            and answer.code is None
            and not case.owner_deaths
            and (seen is None or seen.content not in answer.text)
        ):
            self.violated("stream", answer.request_id, f"goes on with {answer.text!r} after {seen}")
        if answer.code is not None and answer.code not in _FINAL_CODES:
            self.violated("outcome", answer.request_id, f"ends with {answer.code}")

    def called(self, call: Call, now_ms: int) -> None:
        if now_ms >= call.deadline_at:
            self.violated("deadline", call.request_id, "a call begins after the deadline")
        breaker = self.breakers.get(endpoint_of(call))
        if breaker and breaker.forced and breaker.state == "open" and now_ms > breaker.at + HEARD_MS:
            self.violated("forced", call.request_id, f"is called though an operator took {breaker.endpoint} out")
        if call.role == "probe":
            self._probe_begins(call)
            return
        case = self.cases[call.request_id]
        case.calls += 1
        case.calls_by_attempt[call.attempt] += 1
        self.counts["calls"] += 1
        self.counts["continued"] += call.prefix is not None
        if case.calls > self._max_attempts.get(case.request.model, 3) + case.lost + case.owner_deaths:
            self.violated(
                "calls",
                call.request_id,
                f"{case.calls} calls, {case.lost} lost, {case.owner_deaths} deaths of its owner",
            )

    def call_ended(self, call: Call) -> None:
        if call.role == "probe":
            self._probes.pop(endpoint_of(call), None)

    def orphaned(self, attempt: Attempt) -> None:
        self.counts["orphans"] += 1
        self.cases[attempt.request_id].lost += 1
        if attempt.worker not in self._dead_workers:
            self.violated(
                "orphans", attempt.request_id, f"attempt {attempt.attempt} is given up, {attempt.worker} lives"
            )

    def owner_died(self, tenants: set[str]) -> None:
        self.counts["deaths of owners"] += 1
        for case in self.cases.values():
            if case.answer is None and case.request.tenant in tenants:
                case.owner_deaths += 1

    def worker_died(self, worker: str, calls: Iterable[Call]) -> None:
        """A probe that was under way there is lost."""
        self._dead_workers.add(worker)
        self.counts["deaths of workers"] += 1
        for call in calls:
            self.call_ended(call)

    def parked(self, request_id: str, due_ms: int, now_ms: int) -> None:
        self.counts["parked"] += 1
        if due_ms <= now_ms:
            self.violated("parks into the past", request_id, f"until {now_ms - due_ms} ms ago")

    def forwarded(self, owner: str, call: Call, now_ms: int) -> None:
        if call.attempt == 1:
            self._ledgers[owner, call.provider].firsts.append(now_ms)

    def paid(self, owner: str, provider: str, now_ms: int) -> None:
        """Calls of the window are at most 1.2 x first attempts + 10."""
        self.counts["paid retries"] += 1
        ledger = self._ledgers[owner, provider]
        ledger.paid.append(now_ms)
        for times in (ledger.firsts, ledger.paid):
            while times and times[0] <= now_ms - WINDOW_MS:
                times.popleft()
        firsts, paid = len(ledger.firsts), len(ledger.paid)
        if firsts + paid > 1.2 * firsts + 10:
            self.violated("amplification", f"{owner} {provider}", f"{firsts} first attempts and {paid} retries in 10 s")

    def published(self, breaker: Breaker) -> None:
        """Also of a record that its writer died with: its epoch may come again, but was then never read."""
        self.counts[f"breaker {breaker.cause}"] += 1

    def breaker_stands(self, breaker: Breaker) -> None:
        last = self.breakers.get(breaker.endpoint)
        if last is not None and breaker.epoch <= last.epoch:
            self.violated(
                "epochs", breaker.endpoint, f"epoch {breaker.epoch} ({breaker.cause}) after {last.epoch} ({last.cause})"
            )
        self.breakers[breaker.endpoint] = breaker

    def _probe_begins(self, call: Call) -> None:
        endpoint = endpoint_of(call)
        self.counts["probes"] += 1
        if endpoint in self._probes:
            self.violated("one probe", endpoint, f"{call.request_id} begins while {self._probes[endpoint]} is out")
        if call.request_id in self._probed:
            self.violated("one probe", endpoint, f"{call.request_id} is called twice")
        self._probed.add(call.request_id)
        self._probes[endpoint] = call.request_id

    # --- at the end ---------------------------------------------------------------------------------------------

    def judge(self, away: dict[str, list[tuple[int, int]]], well_from_ms: int) -> None:
        """`away`: when the owner of a tenant was away. From `well_from_ms` on everything has to succeed."""
        for request_id, case in self.cases.items():
            self._judge_time(request_id, case, away.get(case.request.tenant, []))
            if case.request.accepted_at >= well_from_ms and case.answer is not None and case.answer.code is not None:
                self.violated("heals", request_id, f"ends with {case.answer.code} after everything has healed")
            twice = [attempt for attempt, number in case.calls_by_attempt.items() if number > 1]
            self.counts["attempt numbers called twice"] += len(twice)

    def _judge_time(self, request_id: str, case: _Case, away: list[tuple[int, int]]) -> None:
        if case.answer is None:
            self.violated("one outcome", request_id, "has no outcome")
            return
        latest_ms = case.request.deadline_at + GRACE_MS
        for begin, end in away:
            if begin < latest_ms and end > case.request.deadline_at:
                latest_ms = max(latest_ms, end + GRACE_MS)
        if case.answered_ms > latest_ms:
            why = f"is answered {case.answered_ms - latest_ms} ms too late ({case.answer.code})"
            self.violated("deadline", request_id, why)

    def violated(self, rule: str, what: str, why: str) -> None:
        self.violations.append((rule, what, why))
