"""Journeys: carries out what the journeys of open requests ask for (`core/journey`), and tells them what came of it.

Decide, Forward     choose a model, order the call
Collect, Recover    read what went out of a broken stream, or what a dead worker had written
Orphan              close the books of a call that nobody will finish
Park, Reply, End    wait; write the outcome; acknowledge the request
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from pipeline.agents.endpoints import Endpoints
from pipeline.agents.lost import Found, LostCalls
from pipeline.agents.ownership import OpenRequest, Partition
from pipeline.agents.recovery import Recovery
from pipeline.core import decide as deciding
from pipeline.core import records
from pipeline.core.continuation import delivered
from pipeline.core.journey import Journey, Phase
from pipeline.core.journey_events import (
    BudgetSpent,
    Collected,
    DeadlinePassed,
    Decided,
    DecisionFailed,
    Event,
    Recovered,
)
from pipeline.core.outcomes import Collect, Decide, End, Forward, Orphan, Park, Recover, Reply, Step
from pipeline.emit import Emit
from pipeline.stage import StageApp
from pipeline.tools import Tools
from schemas import topics as t
from schemas.events import Enriched, Idempotency, Outcome, Ref

__all__ = ["Journeys"]

IDEMPOTENCY_MS = t.DAY_MS
CARRY_AFTER_S = 60.0

log = logging.getLogger(__name__)


class Journeys:
    """Of one process, whatever its partitions."""

    def __init__(self, tools: Tools, emit: Emit, app: StageApp, endpoints: Endpoints) -> None:
        self._tools = tools
        self._emit = emit
        self._app = app
        self._endpoints = endpoints
        self._recovery = Recovery(tools)
        self.lost = LostCalls(tools, emit, self._recovery)

    def begin(self, partition: Partition, journey: Journey, place: tuple[str, int, int]) -> OpenRequest:
        """The request is open from now on, until its deadline; `place` is the record to ack."""
        request = journey.request
        opened = OpenRequest(journey, place)
        partition.open[request.tenant, request.request_id] = opened
        delay_s = max(0.0, (request.deadline_at - self._tools.now_ms()) / 1000)
        loop = asyncio.get_running_loop()
        opened.timers.append(loop.call_later(delay_s, self.feed, partition, opened, DeadlinePassed()))
        self.carry_later(partition, opened)
        return opened

    def feed(self, partition: Partition, opened: OpenRequest, event: Event) -> None:
        """Something happened to it."""
        self.act(partition, opened, opened.journey.step(event, self._tools.now_ms()))

    def act(self, partition: Partition, opened: OpenRequest, steps: list[Step]) -> None:
        """Carry out, beside everything else, what its journey asked for."""
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
                    await self.lost.give_up(
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
        if step.pays and not self._endpoints.may_retry(step.pays):
            return journey.step(BudgetSpent(), now_ms)
        try:
            decision = deciding.decide(
                request,
                self._tools.loaded.catalog,
                self._endpoints.situation(),
                attempt=step.attempt,
                tried=journey.given_up,
                cause=step.cause,
                larger_than_tokens=step.larger_than_tokens,
            )
        except Exception:
            log.exception("decide raised", extra={"request_id": request.request_id})
            return journey.step(DecisionFailed(), now_ms)
        self.log(opened, self._emit.decision(decision, request.partition_key))
        chosen = self._tools.loaded.catalog.models.get(decision.chosen)
        if chosen is None:
            return journey.step(Decided(decision), now_ms)
        return journey.step(Decided(decision, chosen.flags.prefill, chosen.context_tokens), now_ms)

    async def _forward(self, opened: OpenRequest, step: Forward) -> None:
        catalog, now = self._tools.loaded.catalog, self._tools.now_ms()
        call = records.call(opened.journey, step, catalog, now)
        is_bulk = opened.journey.request.priority == "batch"
        self._endpoints.forwarded(call, opened.source[1], is_bulk=is_bulk)
        await self._emit.call(call)

    async def _recover(self, partition: Partition, opened: OpenRequest, step: Recover) -> None:
        request = opened.journey.request
        found = await self.lost.find(
            step.attempt,
            request.partition_key,
            opened.source[1],
            input_tokens=request.features.input_tokens,
            streams=request.stream,
        )
        event = Recovered(step.attempt.attempt_id, found.outcome, found.streamed, found.output_tokens)
        self.feed(partition, opened, event)

    async def _collect(self, partition: Partition, opened: OpenRequest) -> None:
        """What the caller has of the answer: all pieces since the request was accepted."""
        request = opened.journey.request
        pieces = await self._recovery.pieces(request.tenant, request.request_id, request.accepted_at)
        self.feed(partition, opened, Collected(None if pieces is None else delivered(pieces)))

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
        await self.ack(opened, opened.source)

    def _wake(self, partition: Partition, opened: OpenRequest) -> None:
        if opened.journey.phase is Phase.PARKED:
            self.act(partition, opened, opened.journey.resume([], self._tools.now_ms()))

    def carry_later(self, partition: Partition, opened: OpenRequest) -> None:
        """Its record is to be replaced before it gets old."""

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
        await self.ack(opened, opened.source)

    def log(self, opened: OpenRequest, writing: Coroutine[Any, Any, None]) -> None:
        """Logs are batched for 25 ms: the journey goes on, only its ack waits for them."""
        task = asyncio.get_running_loop().create_task(writing)
        task.add_done_callback(self._app.watch)
        opened.logs.append(task)

    async def ack(self, opened: OpenRequest, source: tuple[str, int, int]) -> None:
        """Once everything that was logged of it is written."""
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
