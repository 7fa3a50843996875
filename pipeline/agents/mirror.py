"""One experiment while it runs: requests of the log become pairs, pairs become calls, calls become comparisons.

    1. a request is sampled, and admitted or skipped (`core/shadowing`); there must be room first: what comes too fast waits
    2. skips are acked by the broker; then the commit that says up to where requests are admitted; then the first call
    3. the outcome of the primary, events and answers of the calls go to the pair, which says what is to be done
    4. its comparison is acked; then its place in the log is

Killed at any point, a successor finds in the log what was done, and does the rest (`mirror_past`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from connectors.kafka.scan import Scanner
from pipeline.agents.lost import LostCalls
from pipeline.agents.mirror_calls import MirrorCalls
from pipeline.agents.mirror_log import MirrorLog
from pipeline.agents.mirror_outcomes import Outcomes
from pipeline.agents.mirror_pairs import MirrorPairs
from pipeline.agents.mirror_past import Past, read_past
from pipeline.core.decide import Situation
from pipeline.core.shadowing import (
    Budget,
    Pair,
    Plan,
    Skip,
    Wait,
    admit,
    ended_by,
    is_sampled,
    matches,
)
from pipeline.core.shadowing.admission import known_plan, plan
from pipeline.core.shadowing.calls import JUDGE
from pipeline.core.shadowing.pair import skipped
from pipeline.emit import INTERNAL, Emit
from pipeline.tools import Tools
from schemas import headers as h
from schemas.catalog import Catalog
from schemas.catalog.policies import Shadow
from schemas.codec import Undecodable, decode
from schemas.events import Attempt, Enriched, Ref, Request, Response, ShadowComparison
from schemas.ids import shadow_request_id
from schemas.incoming import decode_request

__all__ = ["Mirror"]

MOST_PAIRS = 1_000
MOST_BYTES = 32 * 1024 * 1024
"""Of the bodies of open pairs."""
BATCH = 500
LONGEST_CALL_MS = 1_200_000
"""With its wait for a place."""
MINUTE_S = 60.0
EVERY_S = 0.5
AT_REST_S = 3.0

log = logging.getLogger(__name__)

Id = tuple[str, str]
Place = tuple[int, int]


@dataclass(slots=True)
class _Looked:
    """What became of a batch of requests; `held_bytes`: of the bodies of pairs that were open before."""

    held_bytes: int
    skips: list[tuple[Place, Enriched, Skip]] = field(default_factory=list)
    admitted: list[tuple[Place, Enriched, Plan]] = field(default_factory=list)


class Mirror:
    """While it is not `resume`d it only waits for what is under way."""

    def __init__(
        self,
        tools: Tools,
        emit: Emit,
        row: Shadow,
        budget: Budget,
        *,
        reading: MirrorLog,
        scanner: Scanner,
        lost: LostCalls,
        situation: Callable[[], Situation],
        under_way: dict[str, str],
    ) -> None:
        self.row, self.budget = row, budget
        self.accepted_at = 0
        self._tools, self._emit, self._log, self._scanner = tools, emit, reading, scanner
        self._situation = situation
        self._calls = MirrorCalls(tools, emit, row.name, lost, under_way)
        self._past = Past()
        self._outcomes = Outcomes()
        self._backlog: dict[int, deque[Any]] = {}
        self._pairs = MirrorPairs(tools, emit, reading, self._calls)
        self._taken_over = asyncio.Event()
        self._admissions: deque[float] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._looked_at = 0.0
        self.failed = self._pairs.failed

    # --- life -------------------------------------------------------------------------------------------------

    async def start(self, comparisons_ms: int | None) -> None:
        """Take over what was open. `comparisons_ms`: since when the budget knows nothing; None: it knows nothing at all."""
        first_ms, is_open = await self._log.start()
        calls_ms = first_ms
        if first_ms is not None and comparisons_ms is not None:
            comparisons_ms = min(comparisons_ms, first_ms)
        if first_ms is not None and not is_open:  # rewound, perhaps, while calls were under way
            calls_ms = max(first_ms, self._tools.now_ms() - LONGEST_CALL_MS)
        heard, self._past = self._past, await self._read_past(comparisons_ms, calls_ms)
        self._pairs.done = self._past.done
        for id, events in heard.events.items():
            self._past.events[id] += events
        for id, answers in heard.answers.items():
            self._past.answers[id] += answers
        self._spawn(self._run())
        self._spawn(self._calls.run())

    async def rewind(self, since_ms: int) -> None:
        """Look again at what was accepted from then on; what has its comparison keeps it."""
        await self._taken_over.wait()
        await self.rest()
        await self._pairs.written()
        self._backlog.clear()
        self._pairs.rewound()  # what ends from now on is done when its request comes again
        self._past = await self._read_past(since_ms, None)
        self._pairs.done |= self._past.done
        await self._log.rewind(since_ms)

    async def rest(self) -> None:
        """No call is made any more; those that wait for a place are taken back."""
        self._calls.close()
        if not await self._pairs.rest(AT_REST_S):
            log.warning("experiment: calls still wait for places", extra={"experiment": self.row.name})

    async def close(self) -> None:
        """What is open stays open in the log."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, self._pairs.close(), return_exceptions=True)
        self._calls.leave()
        await self._log.stop()

    @property
    def known_until_ms(self) -> int:
        """Comparisons that were written before then are in the budget's figures."""
        return self._pairs.known_until_ms

    @property
    def is_resumed(self) -> bool:
        return self._calls.is_open

    @property
    def is_under_way(self) -> bool:
        """A call may be at a provider, or a comparison on its way to the log; so it may until everything is taken over."""
        return not self._taken_over.is_set() or self._pairs.is_under_way

    def resume(self) -> None:
        self._calls.open()
        self._pairs.tick()

    async def _read_past(self, comparisons_ms: int | None, calls_ms: int | None) -> Past:
        by_route = self.row.model not in self._catalog.models
        return await read_past(
            self._tools, self._scanner, self.row.name, self.budget,
            comparisons_ms=comparisons_ms, calls_ms=calls_ms, with_decisions=by_route,
        )  # fmt: skip

    async def _run(self) -> None:
        while True:
            polled = await self._log.poll(lambda partition: not self._backlog.get(partition), self._pairs.lacks_outcome)
            for records in polled.outcomes.values():
                for record in records:
                    self._outcome(record)
            for partition, records in polled.requests.items():
                self._backlog.setdefault(partition, deque()).extend(records)
            await self._look()
            if not self._log.is_taking_over:
                self._taken_over.set()
            now = asyncio.get_running_loop().time()
            if now - self._looked_at > EVERY_S:
                self._looked_at = now
                self._pairs.tick()
                await self._log.commit()

    # --- requests ---------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Decide on what there is room for."""
        looked = _Looked(self._pairs.held_bytes)
        for partition, records in self._backlog.items():
            while records and (self._log.was_admitted(partition, records[0].offset) or self._has_room(looked)):
                if not await self._one(partition, records[0], looked):
                    break
                records.popleft()
        await asyncio.gather(*(self._skip(*skip) for skip in looked.skips))
        for (partition, offset), _, _ in looked.admitted:
            self._log.admitted(partition, offset)
        if looked.admitted:
            await asyncio.gather(*(self._log_decision(request, found) for _, request, found in looked.admitted))
            await self._log.commit()
        for place, request, found in looked.admitted:
            await self._begin(place, request, found)

    def _has_room(self, looked: _Looked) -> bool:
        new, row = len(looked.admitted), self.row
        if not self.is_resumed or new + len(looked.skips) >= BATCH or len(self._pairs) + new >= MOST_PAIRS:
            return False
        if looked.held_bytes > MOST_BYTES or ended_by(row, self.budget) is not None:
            return False
        if row.stop_after_pairs is not None and self.budget.pairs + self._pairs.coming + new >= row.stop_after_pairs:
            return False
        return row.max_per_minute is None or self._in_last_minute() + new < row.max_per_minute

    def _in_last_minute(self) -> int:
        horizon = asyncio.get_running_loop().time() - MINUTE_S
        while self._admissions and self._admissions[0] < horizon:
            self._admissions.popleft()
        return len(self._admissions)

    async def _one(self, partition: int, record: Any, looked: _Looked) -> bool:
        """False if it has to wait. A mistake of ours on one request must not end the experiment."""
        place = partition, record.offset
        try:
            request = self._sampled(record)
            if request is None:
                self._log.ack(*place)
            elif self._log.was_admitted(*place) or self._is_known(request):
                await self._take_over(place, request)
            else:
                return self._admit(place, request, looked)
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            log.exception("shadow raised", extra={"experiment": self.row.name, "offset": record.offset})
            await self._bury(record, INTERNAL, type(error).__name__)
        return True

    def _sampled(self, record: Any) -> Enriched | None:
        """The request, if it is one of the sample."""
        tenant, request_id = h.text(record.headers, h.TENANT), h.text(record.headers, h.REQUEST_ID)
        if tenant is not None and request_id is not None and not is_sampled(self.row.filter, tenant, request_id):
            return None
        request = decode(Enriched, record.value)
        if isinstance(request, Undecodable):
            raise ValueError(f"no request: {request.reason}")
        self.accepted_at = max(self.accepted_at, request.accepted_at)
        if not is_sampled(self.row.filter, request.tenant, request.request_id) or not matches(self.row.filter, request):
            self._outcomes.take((request.tenant, request.request_id))
            return None
        return request

    def _admit(self, place: Place, request: Enriched, looked: _Looked) -> bool:
        found = admit(self.row, request, self._catalog, self._situation(), self.budget)
        if isinstance(found, Wait):
            return False
        if isinstance(found, Skip):
            looked.skips.append((place, request, found))
        else:
            self.budget.reserve(found.shadow_request_id, found.reserved_nano_usd)
            self._admissions.append(asyncio.get_running_loop().time())
            looked.admitted.append((place, request, found))
        return True

    def _is_known(self, request: Enriched) -> bool:
        """A rewind brings back what was compared, and what is on its way."""
        id = self._id_of(request)
        return (request.tenant, request.request_id) in self._pairs.done or id in self._pairs or id in self._past.events

    async def _take_over(self, place: Place, request: Enriched) -> None:
        """Of a request that was admitted before: finish it, without asking the budget again."""
        key, id = (request.tenant, request.request_id), self._id_of(request)
        if id in self._pairs:
            self._pairs.came_again(id, place)
        elif key in self._pairs.done:
            self._pairs.done.discard(key)
            self._outcomes.take(key)
            self._log.ack(*place)
        else:
            found = self._plan_again(request, id)
            if isinstance(found, Skip):
                await self._emit.cancel(id, request.tenant, request.partition_key, self._tools.now_ms())
                await self._skip(place, request, found)
                return
            self.budget.reserve(id, found.reserved_nano_usd)
            await self._begin(place, request, found)

    def _plan_again(self, request: Enriched, id: str) -> Plan | Skip:
        """With the model that was chosen then, as far as anybody knows."""
        events = [event for event in self._past.events.get(id, ()) if event.role != JUDGE]
        chosen = events[0].model if events else None
        decision = self._past.decisions.get(id)
        found = plan(self.row, request, self._catalog, self._situation())
        if chosen is None and decision is not None:
            chosen = decision.chosen
        if chosen is None or chosen not in self._catalog.models:
            return found
        if isinstance(found, Plan) and found.model == chosen:
            return found
        return known_plan(self.row, request, chosen, self._catalog)

    async def _begin(self, place: Place, request: Enriched, found: Plan) -> None:
        """Its pair lives from now on; what is known of it already is told to it."""
        id, now_ms, key = found.shadow_request_id, self._tools.now_ms(), (request.tenant, request.request_id)
        pair = Pair(self.row.name, request, found, self.row.judge)
        raw = request.body if request.body is not None else await self._fetched(request.body_ref)
        self._pairs.open(pair, place)
        if raw is None:
            self._pairs.act(pair, pair.give_up("expired", now_ms))
            return
        if self.row.judge != "none":
            pair.body = orjson.loads(raw)
        for event in self._past.events.pop(id, ()):
            pair.heard(event, now_ms)
        for answer in self._past.answers.pop(id, ()):
            pair.answered(answer, now_ms)
        outcome = self._outcomes.take(key)
        if isinstance(outcome, Ref):
            outcome = await self._scanner.fetch(outcome.topic, outcome.partition, outcome.offset)
        response = decode(Response, outcome.value) if outcome is not None else None
        self._pairs.act(
            pair, pair.primary_came(response, now_ms) if isinstance(response, Response) else pair.step(now_ms)
        )

    async def _fetched(self, ref: Ref | None) -> bytes | None:
        record = await self._scanner.fetch(ref.topic, ref.partition, ref.offset) if ref is not None else None
        request = decode_request(record.value) if record is not None else None
        return request.body if isinstance(request, Request) else None

    async def _skip(self, place: Place, request: Enriched, skip: Skip) -> None:
        id, now_ms = self._id_of(request), self._tools.now_ms()
        comparison = skipped(self.row.name, request, skip.reason, now_ms, id, self.row.judge)
        self._outcomes.take((request.tenant, request.request_id))
        await self._pairs.write(comparison, request.partition_key)
        self._log.ack(*place)

    async def _bury(self, record: Any, reason: str, detail: str) -> None:
        await self._emit.dead_letter("shadow", record, reason, detail)
        self._log.ack(record.partition, record.offset)

    async def _log_decision(self, request: Enriched, found: Plan) -> None:
        if found.decision is not None:
            await self._emit.decision(found.decision, request.partition_key)

    # --- what happens -----------------------------------------------------------------------------------------

    def heard(self, event: Attempt) -> None:
        """An event of an experiment's call, perhaps of another one's."""
        if not self._pairs.heard(event) and not self._taken_over.is_set():
            self._past.events[event.request_id].append(event)

    def answered(self, answer: Response) -> None:
        if not self._pairs.answered(answer) and not self._taken_over.is_set():
            self._past.answers[answer.request_id].append(answer)

    def compared(self, comparison: ShadowComparison, partition: int, offset: int) -> None:
        """A comparison of this experiment stands in the log."""
        self._pairs.folded(comparison)
        self.budget.fold(comparison, partition, offset)

    def _outcome(self, record: Any) -> None:
        tenant, request_id = h.text(record.headers, h.TENANT), h.text(record.headers, h.REQUEST_ID)
        if tenant is None or request_id is None or h.text(record.headers, h.ROLE) != "primary":
            return
        pair = self._pairs.of((tenant, request_id))
        if pair is None:
            if is_sampled(self.row.filter, tenant, request_id):
                self._outcomes.keep((tenant, request_id), record)
        elif pair.primary is None and isinstance(response := decode(Response, record.value), Response):
            self._pairs.act(pair, pair.primary_came(response, self._tools.now_ms()))

    @property
    def _catalog(self) -> Catalog:
        return self._tools.loaded.catalog

    def _id_of(self, request: Enriched) -> str:
        return shadow_request_id(request.tenant, request.request_id, self.row.name)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            self.failed.set_result(error)
