"""route: the owner of requests. `requests.v1`, `retries.due.v1`, `attempts.v1` -> `calls.<provider>.v1`, `responses.v1`, logs.

    enrich   a record of `requests` becomes a journey, is joined to one, or is refused
    route    the journey's outcomes are acted on: decide, forward, park, reply
    settle   events of `attempts` drive journeys, and every finished attempt is booked

A record is acked when its request has its outcome on `responses` or is parked: never before.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from pipeline.agents.endpoints import Endpoints
from pipeline.agents.enrich import Elsewhere, Enricher, Refused
from pipeline.agents.lost import Found, LostCalls
from pipeline.agents.ownership import Id, OpenRequest, Ownership, Partition, id_of
from pipeline.agents.recovery import Recovery
from pipeline.agents.settle import Ledger
from pipeline.core import decide as deciding
from pipeline.core import records
from pipeline.core.continuation import delivered
from pipeline.core.journey import (
    BudgetSpent,
    CancelAsked,
    Collected,
    DeadlinePassed,
    Decided,
    DecisionFailed,
    Event,
    Journey,
    Phase,
    Recovered,
)
from pipeline.core.outcomes import Collect, Decide, End, Forward, Orphan, Park, Recover, Reply, Step
from pipeline.emit import INTERNAL, Emit
from pipeline.stage import Assigned, Batch, StageApp
from pipeline.tools import Tools
from schemas import topics as t
from schemas.codec import Undecodable, decode
from schemas.events import (
    Attempt,
    Enriched,
    Idempotency,
    Outcome,
    Parked,
    Ref,
    Request,
)

IDEMPOTENCY_MS = t.DAY_MS
CARRY_AFTER_S = 60.0

log = logging.getLogger(__name__)


class RouteStage:
    def __init__(self, tools: Tools, emit: Emit, app: StageApp) -> None:
        self._tools = tools
        self._emit = emit
        self._app = app
        self._own = Ownership(tools)
        self._enricher = Enricher(tools)
        self._recovery = Recovery(tools)
        self._lost = LostCalls(tools, emit, self._recovery)
        self.endpoints = Endpoints(tools)
        self._ledger = Ledger(tools, emit, app)
        app.on_assigned = self._assigned

    async def _assigned(self, assigned: dict[tuple[str, int], Assigned]) -> None:
        await self._own.gained(assigned)
        self.endpoints.owned({partition for _, partition in assigned})

    async def handle_requests(self, batch: Batch) -> None:
        for record in batch.records:
            self._app.spawn(self._admit(record))

    async def handle_due(self, batch: Batch) -> None:
        for record in batch.records:
            self._app.spawn(self._unpark(record))

    async def handle_attempts(self, batch: Batch) -> None:
        """In order: what happens to one attempt must be seen in the order in which it was written."""
        for record in batch.records:
            event = decode(Attempt, record.value)
            if isinstance(event, Undecodable):
                await self._emit.dead_letter("settle", record, event.reason, event.detail)
                self._app.ack(record.topic, record.partition, record.offset)
            else:
                self._settle(event, record)

    def cancel(self, record: Any) -> None:
        """A record of `cancels`, read without a group: the owner answers, everybody else does not know the request."""
        request = id_of(record)
        if request and (found := self._own.find(request)):
            self._feed(found[0], found[1], CancelAsked())

    # --- requests ---------------------------------------------------------------------------------------------

    async def _admit(self, record: Any) -> None:
        place = (record.topic, record.partition, record.offset)
        partition = self._own.get(record.partition)
        if partition is None:
            return  # lost meanwhile: its new owner gets the record
        known = id_of(record)
        if known and self._is_redelivered(partition, known, place):
            return
        enriched = self._understand(record)
        if isinstance(enriched, Refused):
            await self._refuse(record, enriched)
        elif isinstance(enriched, Elsewhere):
            await self._emit.again(
                record, enriched.key, request_id=enriched.request_id, deadline_at=enriched.deadline_at
            )
            self._app.ack(*place)
        else:
            await self._open(partition, *enriched, place)

    def _understand(self, record: Any) -> tuple[Enriched, Request] | Refused | Elsewhere:
        """A pure function that raises on a record is our mistake; the record must not take its neighbours down."""
        try:
            return self._enricher.enrich(record)
        except Exception as error:
            log.exception("enrich raised", extra={"topic": record.topic, "offset": record.offset})
            tenant, request_id = id_of(record) or (None, None)
            return Refused(INTERNAL, f"{type(error).__name__} while the request was read", request_id, tenant, INTERNAL)

    def _is_redelivered(self, partition: Partition, request: Id, place: tuple[str, int, int]) -> bool:
        """The same record again, of a request that is open here: the journey acks this offset when it ends."""
        known = partition.open.get(request)
        return known is not None and known.source == place

    async def _open(
        self, partition: Partition, enriched: Enriched, request: Request, place: tuple[str, int, int]
    ) -> None:
        key = (enriched.tenant, enriched.request_id)
        if self._is_redelivered(partition, key, place):
            return
        if await self._is_duplicate(partition, key, enriched, request):
            self._app.ack(*place)
            return
        self._tools.metrics.count("accepted_total")
        journey = Journey(enriched, self._max_attempts(enriched), continues=self._continues(enriched))
        opened = self._begin(partition, journey, place)
        self._log(opened, self._emit.enriched(enriched))
        history = partition.history.pop(key, [])
        self._act(partition, opened, journey.resume(history, self._tools.now_ms()) if history else journey.begin())

    async def _is_duplicate(self, partition: Partition, key: Id, enriched: Enriched, request: Request) -> bool:
        """Open or parked: join. Answered: a note with the outcome. Another fingerprint under the same key: a note 422."""
        opened, stored = partition.open.get(key), partition.stored(key, self._tools.now_ms())
        fingerprint = opened.journey.request.fingerprint if opened else stored.fingerprint if stored else None
        if opened is None and stored is None and key not in partition.answered:
            return False
        self._tools.metrics.count("duplicates_suppressed_total")
        if enriched.idempotent and fingerprint is not None and fingerprint != enriched.fingerprint:
            await self._note(
                enriched,
                request,
                code="idempotency_mismatch",
                message="this Idempotency-Key belongs to another request",
            )
        elif ref := partition.answered.get(key) or (stored.outcome if stored else None):
            await self._note(enriched, request, ref=ref)
        return True

    async def _note(self, enriched: Enriched, request: Request, **facts: Any) -> None:
        if request.ticket:
            await self._emit.note(enriched.request_id, enriched.tenant, request.ticket, **facts)

    async def _refuse(self, record: Any, refused: Refused) -> None:
        await self._emit.dead_letter("enrich", record, refused.reason, refused.message)
        if refused.request_id and refused.tenant and not self._own.knows((refused.tenant, refused.request_id)):
            error = Outcome(code=refused.code, message=refused.message)
            response = records.refusal(
                refused.request_id, refused.tenant, error, accepted_at=record.timestamp, now_ms=self._tools.now_ms()
            )
            await self._emit.response(response, refused.tenant)
        self._app.ack(record.topic, record.partition, record.offset)

    async def _unpark(self, record: Any) -> None:
        place = (record.topic, record.partition, record.offset)
        parked, partition = decode(Parked, record.value), self._own.get(record.partition)
        if isinstance(parked, Undecodable):
            await self._emit.dead_letter("route", record, parked.reason, parked.detail)
            self._app.ack(*place)
            return
        if partition is None:
            return
        key = (parked.request.tenant, parked.request.request_id)
        if key in partition.answered:
            self._app.ack(*place)
            return
        await self._resume_parked(partition, parked, key, place)

    async def _resume_parked(self, partition: Partition, parked: Parked, key: Id, place: tuple[str, int, int]) -> None:
        opened = partition.open.get(key)
        if opened is not None and opened.source == place:
            return  # redelivered: the journey acks it when it ends
        if opened is not None and parked.due_at < opened.due_at:
            self._app.ack(*place)  # a copy of a wait that is over
            return
        if opened is not None:
            self._app.spawn(self._ack(opened, opened.source))  # this record stands for it now
        if opened is not None and opened.journey.phase is not Phase.PARKED:
            opened.source, opened.due_at = place, parked.due_at
            self._carry_later(partition, opened)
            return
        now = self._tools.now_ms()
        journey = Journey(
            parked.request,
            max_attempts=self._max_attempts(parked.request),
            attempts=parked.attempts,
            given_up=list(parked.tried),
            spent_nano_usd=parked.spent_nano_usd,
            continues=self._continues(parked.request),
            streamed=parked.streamed,
        )
        if opened is not None:
            opened.forget_timers()
        opened = self._begin(partition, journey, place)
        opened.due_at = parked.due_at
        if parked.due_at > now + 50:
            self._act(partition, opened, journey.wait(parked.due_at))
            return
        history = [event for event in partition.history.pop(key, []) if event.attempt > parked.attempts]
        self._act(partition, opened, journey.resume(history, now))

    def _begin(self, partition: Partition, journey: Journey, place: tuple[str, int, int]) -> OpenRequest:
        request = journey.request
        opened = OpenRequest(journey, place)
        partition.open[request.tenant, request.request_id] = opened
        delay_s = max(0.0, (request.deadline_at - self._tools.now_ms()) / 1000)
        loop = asyncio.get_running_loop()
        opened.timers.append(loop.call_later(delay_s, self._feed, partition, opened, DeadlinePassed()))
        self._carry_later(partition, opened)
        return opened

    def _max_attempts(self, request: Enriched) -> int:
        route = self._tools.loaded.catalog.routes.get(request.model)
        return route.max_attempts if route else 3

    def _continues(self, request: Enriched) -> bool:
        route = self._tools.loaded.catalog.routes.get(request.model)
        return route is None or route.stream_recovery == "continue"

    # --- journeys ---------------------------------------------------------------------------------------------

    def _feed(self, partition: Partition, opened: OpenRequest, event: Event) -> None:
        self._act(partition, opened, opened.journey.step(event, self._tools.now_ms()))

    def _act(self, partition: Partition, opened: OpenRequest, steps: list[Step]) -> None:
        if steps:
            self._app.spawn(self._do(partition, opened, steps))

    async def _do(self, partition: Partition, opened: OpenRequest, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Decide():
                    await self._do(partition, opened, self._decide(opened, step))
                case Forward():
                    await self._forward(opened, step)
                case Collect():
                    await self._collect(partition, opened)
                case Recover():
                    await self._recover(partition, opened, step)
                case Orphan(attempt=started, streamed=streamed, output_tokens=said):
                    request = opened.journey.request
                    await self._lost.give_up(
                        started,
                        request.partition_key,
                        Found(None, streamed, said),
                        input_tokens=request.features.input_tokens,
                    )
                case Park():
                    await self._park(partition, opened, step)
                case Reply():
                    await self._reply(partition, opened, step.error)
                case End():
                    await self._end(partition, opened, step.response)

    def _decide(self, opened: OpenRequest, step: Decide) -> list[Step]:
        """Gather, decide, log; the journey says what follows.

        Nothing is awaited until a call is counted as forwarded: requests that come together see each other.
        """
        journey, request, now_ms = opened.journey, opened.journey.request, self._tools.now_ms()
        if step.pays and not self.endpoints.may_retry(step.pays):
            return journey.step(BudgetSpent(), now_ms)
        try:
            decision = deciding.decide(
                request,
                self._tools.loaded.catalog,
                self.endpoints.situation(),
                attempt=step.attempt,
                tried=journey.given_up,
                cause=step.cause,
                larger_than_tokens=step.larger_than_tokens,
            )
        except Exception:
            log.exception("decide raised", extra={"request_id": request.request_id})
            return journey.step(DecisionFailed(), now_ms)
        self._log(opened, self._emit.decision(decision, request.partition_key))
        chosen = self._tools.loaded.catalog.models.get(decision.chosen)
        if chosen is None:
            return journey.step(Decided(decision), now_ms)
        return journey.step(Decided(decision, chosen.flags.prefill, chosen.context_tokens), now_ms)

    async def _forward(self, opened: OpenRequest, step: Forward) -> None:
        catalog, now = self._tools.loaded.catalog, self._tools.now_ms()
        call = records.call(opened.journey, step, catalog, now)
        is_bulk = opened.journey.request.priority == "batch"
        self.endpoints.forwarded(call, opened.source[1], is_bulk=is_bulk)
        await self._emit.call(call)

    async def _recover(self, partition: Partition, opened: OpenRequest, step: Recover) -> None:
        request = opened.journey.request
        found = await self._lost.find(
            step.attempt,
            request.partition_key,
            opened.source[1],
            input_tokens=request.features.input_tokens,
            streams=request.stream,
        )
        outcome = found.outcome or partition.answered.get((request.tenant, request.request_id))
        self._feed(partition, opened, Recovered(step.attempt.attempt_id, outcome, found.streamed, found.output_tokens))

    async def _collect(self, partition: Partition, opened: OpenRequest) -> None:
        """What the caller has of the answer: all pieces since the request was accepted."""
        request = opened.journey.request
        pieces = await self._recovery.pieces(request.tenant, request.request_id, request.accepted_at)
        self._feed(partition, opened, Collected(None if pieces is None else delivered(pieces)))

    async def _park(self, partition: Partition, opened: OpenRequest, step: Park) -> None:
        """On the topics, or here what is too short for them: there it would wait for those before it."""
        opened.due_at = step.due_at
        journey, left_s = opened.journey, (step.due_at - self._tools.now_ms()) / 1000
        if left_s < min(self._tools.loaded.catalog.retry.delays_s):
            loop = asyncio.get_running_loop()
            opened.timers.append(loop.call_later(max(0.0, left_s), self._wake, partition, opened))
            return
        await self._emit.park(records.parked(journey, step.due_at, journey.attempts), self._tools.now_ms())
        if journey.request.idempotent:
            await self._remember(partition, journey.request, None)
        await self._ack(opened, opened.source)

    def _wake(self, partition: Partition, opened: OpenRequest) -> None:
        if opened.journey.phase is Phase.PARKED:
            self._act(partition, opened, opened.journey.resume([], self._tools.now_ms()))

    def _carry_later(self, partition: Partition, opened: OpenRequest) -> None:
        def carry() -> None:
            if opened.journey.phase not in (Phase.PARKED, Phase.ENDED):
                self._app.spawn(self._carry(opened))

        opened.timers.append(asyncio.get_running_loop().call_later(CARRY_AFTER_S, carry))

    async def _carry(self, opened: OpenRequest) -> None:
        """A request that is open for long gets a new record, so that the un-acked window stays short.

        The old one is acked when the new one comes and stands for the request, not before.
        """
        journey = opened.journey
        done = journey.attempts - (journey.phase in (Phase.CALLING, Phase.RECOVERING))
        await self._emit.carry(records.parked(journey, self._tools.now_ms(), done))

    async def _reply(self, partition: Partition, opened: OpenRequest, error: Outcome) -> None:
        request = opened.journey.request
        response = records.error_response(opened.journey, error, self._tools.now_ms())
        delivered = await self._emit.response(response, request.partition_key)
        await self._end(partition, opened, Ref(delivered.topic, delivered.partition, delivered.offset))

    async def _end(self, partition: Partition, opened: OpenRequest, ref: Ref | None) -> None:
        """The outcome stands: remember it, then ack."""
        request = opened.journey.request
        key = (request.tenant, request.request_id)
        opened.forget_timers()
        partition.answer(key, ref)
        if partition.open.get(key) is opened:
            del partition.open[key]
        if request.idempotent:
            await self._remember(partition, request, ref)
        await self._ack(opened, opened.source)

    def _log(self, opened: OpenRequest, writing: Coroutine[Any, Any, None]) -> None:
        """Logs are batched for 25 ms: the journey goes on, only its ack waits for them."""
        task = asyncio.get_running_loop().create_task(writing)
        task.add_done_callback(self._app.watch)
        opened.logs.append(task)

    async def _ack(self, opened: OpenRequest, source: tuple[str, int, int]) -> None:
        await asyncio.gather(*opened.logs)
        self._app.ack(*source)

    async def _remember(self, partition: Partition, request: Enriched, ref: Ref | None) -> None:
        event = Idempotency(
            request_id=request.request_id,
            tenant=request.tenant,
            fingerprint=request.fingerprint,
            outcome=ref,
            expires_at=self._tools.now_ms() + IDEMPOTENCY_MS,
        )
        partition.store(event)
        await self._emit.idempotency(event, request.partition_key)

    # --- settle -----------------------------------------------------------------------------------------------

    def _settle(self, event: Attempt, record: Any) -> None:
        self.endpoints.settled(event, record.partition)
        partition = self._own.get(record.partition)
        if partition is None:
            return  # lost meanwhile: its new owner gets the record
        key = (event.tenant, event.request_id)
        if (opened := partition.open.get(key)) is not None:
            self._feed(partition, opened, event)
        elif key not in partition.answered and event.role != "probe":
            partition.history[key].append(event)
        if event.phase == "finished":
            self._app.spawn(self._ledger.book(partition, event, record))
        elif event.phase == "returned" and key in partition.answered:
            self._app.spawn(self._close(event, record))
        else:
            self._app.ack(record.topic, record.partition, record.offset)

    async def _close(self, returned: Attempt, record: Any) -> None:
        await self._lost.close(returned, record)
        self._app.ack(record.topic, record.partition, record.offset)
