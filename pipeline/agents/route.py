"""route: the owner of requests. `requests.v1`, `retries.due.v1`, `attempts.v1` -> `calls.<provider>.v1`, `responses.v1`, logs.

    enrich   a record of `requests` becomes a journey, is joined to one, or is refused
    route    the journey's outcomes are acted on (`journeys`): decide, forward, park, reply
    settle   events of `attempts` drive journeys, and every finished attempt is booked

A record is acked when its request has its outcome on `responses` or is parked: never before.
"""

import logging
from collections.abc import Coroutine
from typing import Any

from pipeline.agents.endpoints import Endpoints
from pipeline.agents.enrich import Elsewhere, Enricher, Refused
from pipeline.agents.journeys import Journeys
from pipeline.agents.ownership import Id, Ownership, Partition, id_of
from pipeline.agents.settle import Ledger
from pipeline.core import records
from pipeline.core.journey import Journey, Phase
from pipeline.core.journey_events import CancelAsked
from pipeline.emit import INTERNAL, Emit
from pipeline.stage import Assigned, Batch, StageApp
from pipeline.tools import Tools
from schemas import headers as h
from schemas.codec import Undecodable, decode
from schemas.events import (
    Attempt,
    Enriched,
    Outcome,
    Parked,
    Request,
)
from schemas.roles import BULK_ROLES

log = logging.getLogger(__name__)


class RouteStage:
    def __init__(self, tools: Tools, emit: Emit, app: StageApp) -> None:
        self._tools = tools
        self._emit = emit
        self._app = app
        self._own = Ownership(tools)
        self._enricher = Enricher(tools)
        self.endpoints = Endpoints(tools)
        self._journeys = Journeys(tools, emit, app, self.endpoints)
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
            self._journeys.feed(found[0], found[1], CancelAsked())

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
        opened = self._journeys.begin(partition, journey, place)
        self._journeys.log(opened, self._emit.enriched(enriched))
        history = partition.history.pop(key, [])
        self._journeys.act(
            partition, opened, journey.resume(history, self._tools.now_ms()) if history else journey.begin()
        )

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
                refused.request_id,
                refused.tenant,
                error,
                accepted_at=record.timestamp,
                now_ms=self._tools.now_ms(),
                role=h.text(record.headers, h.ROLE) or "primary",
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
            self._app.spawn(self._journeys.ack(opened, opened.source))  # this record stands for it now
        if opened is not None and opened.journey.phase is not Phase.PARKED:
            opened.source, opened.due_at = place, parked.due_at
            self._journeys.carry_later(partition, opened)
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
        opened = self._journeys.begin(partition, journey, place)
        opened.due_at = parked.due_at
        if parked.due_at > now + 50:
            self._journeys.act(partition, opened, journey.wait(parked.due_at))
            return
        history = [event for event in partition.history.pop(key, []) if event.attempt > parked.attempts]
        self._journeys.act(partition, opened, journey.resume(history, now))

    def _max_attempts(self, request: Enriched) -> int:
        route = self._tools.loaded.catalog.routes.get(request.model)
        return route.max_attempts if route else 3

    def _continues(self, request: Enriched) -> bool:
        route = self._tools.loaded.catalog.routes.get(request.model)
        return route is None or route.stream_recovery == "continue"

    # --- settle -----------------------------------------------------------------------------------------------

    def _settle(self, event: Attempt, record: Any) -> None:
        self.endpoints.settled(event, record.partition)
        partition = self._own.get(record.partition)
        if partition is None:
            return  # lost meanwhile: its new owner gets the record
        key, is_bulk = (event.tenant, event.request_id), event.role in BULK_ROLES  # theirs is the stage `shadow`
        if (opened := partition.open.get(key)) is not None:
            self._journeys.feed(partition, opened, event)
        elif key not in partition.answered and event.role != "probe" and not is_bulk:
            partition.history[key].append(event)
        if event.phase == "finished":
            self._journeys.lost.finished(event)
            self._app.spawn(self._ledger.book(partition, event, record))
        elif event.phase == "kept" and not is_bulk:
            self._app.spawn(self._then_ack(self._journeys.lost.watch(event, record), record))
        elif event.phase == "returned" and key in partition.answered and not is_bulk:
            self._app.spawn(self._then_ack(self._journeys.lost.close(event, record), record))
        else:
            self._app.ack(record.topic, record.partition, record.offset)

    async def _then_ack(self, closing: Coroutine[Any, Any, None], record: Any) -> None:
        """The record stays un-acked until then, so that whoever takes over goes on with it."""
        await closing
        self._app.ack(record.topic, record.partition, record.offset)
