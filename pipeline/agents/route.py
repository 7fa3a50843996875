"""route: the owner of requests. `requests.v1`, `retries.due.v1`, `attempts.v1` -> `calls.<provider>.v1`, `responses.v1`, logs.

    enrich   a record of `requests` becomes a journey, is joined to one, or is refused
    route    the journey's outcomes are acted on: decide, forward, park, reply
    settle   events of `attempts` drive journeys, and every finished attempt is booked

A record is acked when its request has its outcome on `responses` or is parked: never before.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

import orjson

from connectors.kafka.partition import partition_of
from pipeline.agents.enrich import Elsewhere, Enricher, Refused
from pipeline.agents.ownership import Id, OpenRequest, Ownership, Partition, id_of
from pipeline.agents.settle import booked
from pipeline.core import decide as deciding
from pipeline.core.journey import CancelAsked, DeadlinePassed, Decided, DecisionFailed, Event, Journey, Recovered
from pipeline.core.outcomes import Decide, End, Forward, Orphan, Park, Recover, Reply, Step
from pipeline.core.pricing import price_of
from pipeline.emit import INTERNAL, Emit
from pipeline.stage import Batch, StageApp
from pipeline.tools import Tools
from schemas import headers as h
from schemas import topics as t
from schemas.codec import Undecodable, decode
from schemas.completion import Usage
from schemas.events import (
    Attempt,
    Call,
    Decision,
    Enriched,
    Idempotency,
    Outcome,
    Parked,
    Ref,
    Request,
    Response,
    RouteInfo,
    Timings,
)

IDEMPOTENCY_MS = t.DAY_MS

log = logging.getLogger(__name__)


class RouteStage:
    def __init__(self, tools: Tools, emit: Emit, app: StageApp) -> None:
        self._tools = tools
        self._emit = emit
        self._app = app
        self._own = Ownership(tools)
        self._enricher = Enricher(tools)
        self._in_flight: defaultdict[str, set[str]] = defaultdict(set)
        app.on_assigned = self._own.gained

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
            return Refused(
                INTERNAL, f"{type(error).__name__} while the request was read", *(id_of(record) or (None, None))[::-1]
            )

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
        journey = Journey(enriched, max_attempts=self._max_attempts(enriched))
        opened = self._begin(partition, journey, place)
        self._log(opened, self._emit.enriched(enriched))
        history = partition.history.pop(key, [])
        self._act(partition, opened, journey.resume(history, self._tools.now_ms()) if history else journey.begin())

    async def _is_duplicate(self, partition: Partition, key: Id, enriched: Enriched, request: Request) -> bool:
        """Open or parked: join. Answered: a note with the outcome. Another fingerprint under the same key: a note 422."""
        opened, stored = partition.open.get(key), partition.idempotency.get(key)
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
        if refused.request_id and refused.tenant:
            code = refused.reason if refused.reason in ("unknown_tenant", INTERNAL) else "invalid_request"
            now = self._tools.now_ms()
            response = Response(
                request_id=refused.request_id,
                tenant=refused.tenant,
                operation="chat",
                outcome="error",
                accepted_at=record.timestamp,
                finished_at=now,
                route=RouteInfo(),
                timings_ms=Timings(total=now - record.timestamp),
                error=Outcome(code=code, message=refused.message),
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
            return
        now = self._tools.now_ms()
        journey = Journey(
            parked.request,
            max_attempts=self._max_attempts(parked.request),
            attempts=parked.attempts,
            given_up=list(parked.tried),
            spent_nano_usd=parked.spent_nano_usd,
        )
        if opened is not None and opened.timer:
            opened.timer.cancel()
        opened = self._begin(partition, journey, place)
        if parked.due_at > now + 50:
            await self._park(partition, opened, Park(parked.due_at))
            return
        history = [event for event in partition.history.pop(key, []) if event.attempt > parked.attempts]
        self._act(partition, opened, journey.resume(history, now))

    def _begin(self, partition: Partition, journey: Journey, place: tuple[str, int, int]) -> OpenRequest:
        request = journey.request
        opened = OpenRequest(journey, place)
        partition.open[request.tenant, request.request_id] = opened
        delay_s = max(0.0, (request.deadline_at - self._tools.now_ms()) / 1000)
        opened.timer = asyncio.get_running_loop().call_later(delay_s, self._feed, partition, opened, DeadlinePassed())
        return opened

    def _max_attempts(self, request: Enriched) -> int:
        route = self._tools.loaded.catalog.routes.get(request.model)
        return route.max_attempts if route else 3

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
                    await self._decide(partition, opened, step)
                case Forward():
                    await self._forward(opened, step)
                case Recover():
                    await self._recover(partition, opened, step)
                case Orphan():
                    await self._orphan(opened, step.attempt)
                case Park():
                    await self._park(partition, opened, step)
                case Reply():
                    await self._reply(partition, opened, step.error)
                case End():
                    await self._end(partition, opened, step.response)

    async def _decide(self, partition: Partition, opened: OpenRequest, step: Decide) -> None:
        """Gather, decide, log; the journey says what follows."""
        request = opened.journey.request
        situation = deciding.Situation(
            in_flight={provider: len(calls) for provider, calls in self._in_flight.items()},
            off_providers=self._tools.loaded.off_providers,
            now_ms=self._tools.now_ms(),
        )
        try:
            decision = deciding.decide(
                request,
                self._tools.loaded.catalog,
                situation,
                attempt=step.attempt,
                tried=opened.journey.given_up,
                cause=step.cause,
                larger_than_tokens=step.larger_than_tokens,
            )
        except Exception:
            log.exception("decide raised", extra={"request_id": request.request_id})
            self._feed(partition, opened, DecisionFailed())
            return
        self._log(opened, self._emit.decision(decision, request.partition_key))
        self._feed(partition, opened, Decided(decision))

    async def _forward(self, opened: OpenRequest, step: Forward) -> None:
        call = self._call(opened.journey, step)
        await self._emit.call(call)

    def _call(self, journey: Journey, step: Forward) -> Call:
        request, decision, catalog = journey.request, step.decision, self._tools.loaded.catalog
        model = catalog.models[decision.chosen]
        route = catalog.routes.get(request.model)
        return Call(
            request_id=request.request_id,
            tenant=request.tenant,
            partition_key=request.partition_key,
            attempt=decision.attempt,
            attempt_id=step.attempt_id,
            role=step.role if request.role == "primary" else request.role,
            provider=model.provider,
            model=decision.chosen,
            upstream=model.upstream or decision.chosen,
            region=catalog.providers[model.provider].region,
            operation=request.operation,
            stream=request.stream,
            deadline_at=request.deadline_at,
            accepted_at=request.accepted_at,
            routed_at=self._tools.now_ms(),
            price=price_of(catalog, decision.chosen),
            route=_route_info(request, decision),
            body=request.body,
            body_ref=request.body_ref,
            max_tokens=request.max_tokens or (route.default_max_tokens if route else None),
            flags=orjson.dumps(model.flags.model_dump(mode="json", exclude_none=True)),
            input_tokens=request.features.input_tokens,
            sensitivity=request.features.sensitivity,
            user=request.user,
            key_id=request.key_id,
            conversation_id=request.conversation_id,
            tags=request.tags,
            spent_nano_usd=journey.spent_nano_usd,
            request_role=request.role,
        )

    async def _recover(self, partition: Partition, opened: OpenRequest, step: Recover) -> None:
        """One read of `responses` serves every journey of the partition that waits for it."""
        request = opened.journey.request
        key = (request.tenant, request.request_id)
        answers = await self._answers_since(opened.source[1], step.attempt.started_at)
        ref = partition.answered.get(key) or answers.get(key)
        streamed = request.stream and ref is None and await self._has_deltas(step.attempt)
        self._feed(partition, opened, Recovered(step.attempt.attempt_id, ref, streamed))

    async def _answers_since(self, partition: int, since_ms: int) -> dict[Id, Ref]:
        found: dict[Id, Ref] = {}
        topic = self._tools.topic(t.RESPONSES.name)
        async for record in self._tools.scanner.read(topic, partition, since_ms=since_ms - 1000):
            if (request := id_of(record)) is not None:
                found.setdefault(request, Ref(record.topic, record.partition, record.offset))
        return found

    async def _has_deltas(self, attempt: Attempt) -> bool:
        topic = self._tools.topic(t.DELTAS.name)
        count = await self._tools.producers.partition_count(topic)
        partition = partition_of(attempt.request_id.encode(), count)
        async for record in self._tools.scanner.read(topic, partition, since_ms=attempt.started_at - 1000):
            if id_of(record) == (attempt.tenant, attempt.request_id) and h.text(record.headers, h.KIND) == "chunk":
                return True
        return False

    async def _orphan(self, opened: OpenRequest, started: Attempt) -> None:
        """Book what nobody will finish: the input was surely sent, of the output nothing is known."""
        request = opened.journey.request
        finished = Attempt(
            **{name: getattr(started, name) for name in started.__slots__}
            | {
                "phase": "finished",
                "result": "unknown",
                "orphaned": True,
                "usage": Usage(input_tokens=request.features.input_tokens, estimated=True),
                "finished_at": self._tools.now_ms(),
            }
        )
        await self._emit.attempt(finished, request.partition_key)

    async def _park(self, partition: Partition, opened: OpenRequest, step: Park) -> None:
        journey = opened.journey
        parked = Parked(
            request=journey.request,
            due_at=step.due_at,
            attempts=journey.attempts,
            tried=journey.given_up,
            spent_nano_usd=journey.spent_nano_usd,
            first_decided_at=journey.request.accepted_at,
        )
        await self._emit.park(parked, self._tools.now_ms())
        if journey.request.idempotent:
            await self._remember(partition, journey.request, None)
        await self._ack(opened)

    async def _reply(self, partition: Partition, opened: OpenRequest, error: Outcome) -> None:
        journey = opened.journey
        request, now = journey.request, self._tools.now_ms()
        decision = journey.decision
        response = Response(
            request_id=request.request_id,
            tenant=request.tenant,
            operation=request.operation,
            outcome="error",
            accepted_at=request.accepted_at,
            finished_at=now,
            route=_route_info(request, decision) if decision else RouteInfo(policy=request.model),
            timings_ms=Timings(total=now - request.accepted_at),
            user=request.user,
            conversation_id=request.conversation_id,
            error=error,
            model=decision.chosen or None if decision else None,
            cost_nano_usd=journey.spent_nano_usd,
            attempts=journey.attempts,
            role=request.role,
            tags=request.tags,
        )
        delivered = await self._emit.response(response, request.partition_key)
        await self._end(partition, opened, Ref(delivered.topic, delivered.partition, delivered.offset))

    async def _end(self, partition: Partition, opened: OpenRequest, ref: Ref | None) -> None:
        """The outcome stands: remember it, then ack."""
        request = opened.journey.request
        key = (request.tenant, request.request_id)
        if opened.timer:
            opened.timer.cancel()
        partition.answer(key, ref)
        if partition.open.get(key) is opened:
            del partition.open[key]
        if request.idempotent:
            await self._remember(partition, request, ref)
        await self._ack(opened)

    def _log(self, opened: OpenRequest, writing: Coroutine[Any, Any, None]) -> None:
        """Logs are batched for 25 ms: the journey goes on, only its ack waits for them."""
        task = asyncio.get_running_loop().create_task(writing)
        task.add_done_callback(self._app.watch)
        opened.logs.append(task)

    async def _ack(self, opened: OpenRequest) -> None:
        await asyncio.gather(*opened.logs)
        self._app.ack(*opened.source)

    async def _remember(self, partition: Partition, request: Enriched, ref: Ref | None) -> None:
        event = Idempotency(
            request_id=request.request_id,
            tenant=request.tenant,
            fingerprint=request.fingerprint,
            outcome=ref,
            expires_at=self._tools.now_ms() + IDEMPOTENCY_MS,
        )
        partition.idempotency[request.tenant, request.request_id] = event
        await self._emit.idempotency(event, request.partition_key)

    # --- settle -----------------------------------------------------------------------------------------------

    def _settle(self, event: Attempt, record: Any) -> None:
        self._count_in_flight(event)
        partition = self._own.get(record.partition)
        key = (event.tenant, event.request_id)
        opened = partition.open.get(key) if partition else None
        if opened is not None and partition is not None:
            self._feed(partition, opened, event)
        elif partition is not None and key not in partition.answered:
            partition.history[key].append(event)
        if event.phase == "finished":
            self._app.spawn(self._book(event, record))
        else:
            self._app.ack(record.topic, record.partition, record.offset)

    async def _book(self, event: Attempt, record: Any) -> None:
        cost = booked(event)
        if cost is not None:
            key = record.key.decode() if record.key else event.tenant
            await self._emit.cost(cost, key)
        self._app.ack(record.topic, record.partition, record.offset)

    def _count_in_flight(self, event: Attempt) -> None:
        calls = self._in_flight[event.provider]
        if event.phase == "started":
            calls.add(event.attempt_id)
        elif event.phase == "finished":
            calls.discard(event.attempt_id)


def _route_info(request: Enriched, decision: Decision) -> RouteInfo:
    return RouteInfo(
        policy=request.model,
        reason=decision.reason,
        propensity=decision.ranked[0].propensity if decision.ranked else 1.0,
        alternatives=[ranked.model for ranked in decision.ranked[1:]],
        excluded=[f"{row.model}: {row.step}, {row.reason}" for row in decision.excluded],
    )
