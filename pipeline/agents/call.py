"""call: `calls.<provider>.v1` -> provider -> `deltas.v1`, `responses.v1`, `attempts.v1`. An adapter without memory.

    1. a record that may have been delivered before (below the partition's end at assignment, not in memory) is given back
       as `returned`: only route knows whether it was executed
    2. `started`, acked, before the provider is called
    3. the provider is called, with the beginning of the answer where it has one; pieces of a stream go out as `deltas`
    4. on success the answer on `responses`, acked; then `finished` with its Ref; on failure the last pieces, acked; then
       `finished`: what `deltas` holds is what the next attempt continues
    5. the record is acked

The bulk lane (`calls.<provider>.bulk.v1`: calls of experiments) has a stage of its own, `bulk`: this one once more, with
places that are set aside. Nobody waits for its calls: their pieces are not told, and what they say of an endpoint is kept
to themselves.

When partitions are revoked, `kept` is written for each call in flight there, and the calls go on.
"""

import asyncio
import functools
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from connectors.providers import ProviderCall
from connectors.providers.driver import CallResult, Driver
from pipeline.agents.cancels import Cancels
from pipeline.agents.deltas import DeltaWriter
from pipeline.agents.endings import answer_of, failed, finished, held_back, interrupted, left_open, not_sent, phase_of
from pipeline.agents.endpoints import endpoint_of
from pipeline.agents.sensing import Sensing
from pipeline.agents.slots import Slots
from pipeline.core.continuation import Continuation, continued
from pipeline.emit import INTERNAL, Emit
from pipeline.stage import Assigned, Batch, StageApp
from pipeline.tools import Tools
from schemas import topics as t
from schemas.catalog import Catalog
from schemas.codec import Undecodable, decode
from schemas.completion import Answer, Usage
from schemas.errors import EVACUATED
from schemas.events import Attempt, Call, Ref, Request
from schemas.incoming import decode_request
from schemas.roles import BULK_ROLES, REQUEST_ROLES, Lane
from schemas.topics import Topic

MEMORY_S = 600
DRAIN_S = {"interactive": 8.0, "bulk": 2.0}

LANES: Final[Mapping[Lane, Topic]] = {"interactive": t.CALLS, "bulk": t.CALLS_BULK}

log = logging.getLogger(__name__)


@dataclass(slots=True)
class InFlight:
    call: Call
    started: Attempt
    place: tuple[str, int, int]
    task: "asyncio.Task[None] | None" = None
    stopped_by: str = ""
    has_place: bool = True


class CallStage:
    """Everything one process knows: calls in flight, attempt ids of ten minutes, cancels."""

    def __init__(
        self,
        tools: Tools,
        emit: Emit,
        app: StageApp,
        drivers: dict[str, Driver],
        sensing: Sensing,
        lane: Lane = "interactive",
    ) -> None:
        self._lane: Lane = lane
        self._sensing = sensing
        self._tools = tools
        self._emit = emit
        self._app = app
        self._drivers = drivers
        self._slots = {name: Slots(functools.partial(self._places, name, tools.loaded.catalog)) for name in drivers}
        self._ends: dict[tuple[str, int], int] = {}
        self._in_flight: dict[str, InFlight] = {}
        self._upstreams: dict[str, asyncio.Future[CallResult]] = {}
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._cancels = Cancels()
        self._is_draining = False
        self._lives = 0
        app.on_assigned = self._assigned
        app.on_revoked = self._revoked

    async def handle(self, batch: Batch) -> None:
        """Give back what may have been executed before anything new of that partition starts."""
        end = self._ends.get((batch.topic, batch.partition), 0)
        old = [record for record in batch.records if record.offset < end]
        await asyncio.gather(*(self._give_back(record) for record in old))
        for record in batch.records:
            if record.offset < end:
                continue
            if self._lane == "bulk":  # an agent that waits holds up every topic once its buffer is full
                self._app.spawn(self._accept(record))
            else:
                await self._accept(record)

    def cancel(self, record: Any) -> None:
        """A record of `cancels` (read without a group by every process): close the upstream at once.

        What an experiment has begun is paid for, and is compared.
        """
        self._cancels.heard(record)
        for flight in list(self._in_flight.values()):
            is_kept = flight.call.role in BULK_ROLES and flight.call.attempt_id in self._upstreams
            if self._cancels.concern(flight.call) and not is_kept:
                self._stop(flight, "cancelled")

    def breaker_changed(self, record: Any) -> None:
        """A record of `breakers` (read without a group by every process)."""
        if (silent := self._sensing.heard(record)) is not None:
            self.evacuate(silent)

    def evacuate(self, silent: str) -> None:
        """Calls that wait at a silent endpoint go elsewhere, where they may."""
        for flight in list(self._in_flight.values()):
            may_move = flight.call.role == "primary" and flight.call.route.alternatives
            if endpoint_of(flight.call) == silent and may_move and self._sensing.is_silent(flight.call):
                self._stop(flight, EVACUATED)

    async def drain(self) -> None:
        """On SIGTERM: take no more, let calls end, then close the rest as handed over; route continues them elsewhere."""
        self._is_draining = True
        tasks = [flight.task for flight in self._in_flight.values() if flight.task]
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN_S[self._lane])
        for flight in list(self._in_flight.values()):
            self._stop(flight, "handed_over")
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    def in_flight(self) -> dict[str, int]:
        """By provider."""
        counts = dict.fromkeys(self._drivers, 0)
        for flight in self._in_flight.values():
            counts[flight.call.provider] += 1
        return counts

    def _places(self, provider: str, at_start: Catalog) -> int:
        """Of all processes. A provider that a reload has removed keeps those that it had until the restart."""
        catalog = self._tools.loaded.catalog
        known = catalog if provider in catalog.providers else at_start
        return known.places(provider, self._lane)

    async def _assigned(self, partitions: dict[tuple[str, int], Assigned]) -> None:
        self._lives += 1
        self._ends = {place: assigned.end for place, assigned in partitions.items()}
        for name, slots in self._slots.items():
            topic = self._tools.topic(LANES[self._lane].named(provider=name))
            owned = sum(1 for each, _ in partitions if each == topic)
            slots.share(owned, t.LANE_PARTITIONS)

    async def _revoked(self, partitions: set[tuple[str, int]]) -> None:
        kept = [flight for flight in self._in_flight.values() if flight.place[:2] in partitions]
        await asyncio.gather(*(self._leave_open(flight.call, "kept") for flight in kept))

    async def _leave_open(self, call: Call, phase: str) -> None:
        event = left_open(call, phase, self._tools.worker, self._tools.now_ms())
        await self._emit.attempt(event, call.partition_key)

    async def _give_back(self, record: Any) -> None:
        call = await self._decoded(record)
        if call is None:
            return
        flight = self._in_flight.get(call.attempt_id)
        if flight is not None and flight.place == (record.topic, record.partition, record.offset):
            return  # the running call acks this offset when it has ended
        if flight is None and call.attempt_id not in self._seen:
            await self._leave_open(call, "returned")
            if call.role == "probe":
                self._sensing.probe_lost(call)
        self._app.ack(record.topic, record.partition, record.offset)

    async def _accept(self, record: Any) -> None:
        call = await self._decoded(record)
        if call is None:
            return
        if call.attempt_id in self._seen:
            self._app.ack(record.topic, record.partition, record.offset)
            return
        life, slots = self._lives, self._slots[call.provider]
        await slots.take()
        if self._is_draining:
            return  # un-acked: given back after the restart
        if self._lane == "bulk" and (life != self._lives or call.attempt_id in self._seen):
            slots.release()
            if life == self._lives:  # a copy of it has begun; else it is delivered again
                self._app.ack(record.topic, record.partition, record.offset)
            return
        self._seen[call.attempt_id] = time.monotonic()
        _forget(self._seen, MEMORY_S)
        flight = InFlight(call, self._phase(call, "started"), (record.topic, record.partition, record.offset))
        self._in_flight[call.attempt_id] = flight
        flight.task = asyncio.create_task(self._execute(flight))
        flight.task.add_done_callback(self._app.watch)

    async def _decoded(self, record: Any) -> Call | None:
        call = decode(Call, record.value)
        if not isinstance(call, Undecodable) and call.provider in self._drivers:
            return call
        reason, detail = (
            (call.reason, call.detail) if isinstance(call, Undecodable) else ("unknown_provider", call.provider)
        )
        await self._emit.dead_letter("call", record, reason, detail)
        self._app.ack(record.topic, record.partition, record.offset)
        return None

    async def _execute(self, flight: InFlight) -> None:
        call = flight.call
        try:
            if self._is_over(flight):
                await self._emit.attempt(self._not_sent(flight), call.partition_key)
            elif self._sensing.is_out(call):
                await self._emit.attempt(self._held_back(flight), call.partition_key)
            else:
                await self._emit.attempt(flight.started, call.partition_key)
                await self._emit.attempt(await self._observed(flight), call.partition_key)
            self._app.ack(*flight.place)
        finally:
            self._in_flight.pop(call.attempt_id, None)
            self._leave_place(flight)

    def _leave_place(self, flight: InFlight) -> None:
        if flight.has_place:
            flight.has_place = False
            self._slots[flight.call.provider].release()

    def _phase(self, call: Call, phase: str) -> Attempt:
        return phase_of(call, phase, self._tools.worker, self._tools.now_ms())

    def _is_over(self, flight: InFlight) -> bool:
        if self._cancels.concern(flight.call):
            flight.stopped_by = flight.stopped_by or "cancelled"
        return bool(flight.stopped_by) or self._tools.now_ms() >= flight.call.deadline_at

    def _not_sent(self, flight: InFlight) -> Attempt:
        return not_sent(flight.started, flight.stopped_by or "deadline_exceeded", self._tools.now_ms())

    def _held_back(self, flight: InFlight) -> Attempt:
        return held_back(flight.started, self._tools.now_ms())

    async def _observed(self, flight: InFlight) -> Attempt:
        self._sensing.started(flight.call)
        finished = await self._call_and_answer(flight)
        self._sensing.finished(flight.call, finished)
        return finished

    async def _call_and_answer(self, flight: InFlight) -> Attempt:
        if self._is_over(flight):  # `started` may have waited for the broker
            return self._not_sent(flight)
        call = flight.call
        if self._sensing.is_out(call):
            return self._held_back(flight)
        continuation = Continuation(call.prefix, orjson.loads(call.flags)) if call.prefix is not None else None
        is_told = call.stream and call.role not in BULK_ROLES
        writer = DeltaWriter(call, self._emit, continuation) if is_told else None
        try:
            result, stopped = await self._complete(flight, await self._provider_call(call), writer)
        except Exception:
            # An adapter that raises is our mistake: it must not take the other calls of this process down.
            log.exception("call raised", extra={"request_id": call.request_id, "provider": call.provider})
            result, stopped = None, INTERNAL
        if result is not None and result.completion is not None:
            self._sensing.limited(call, result.pause_s)
            if writer is not None:
                writer.stop()
            return await self._answered(flight, result, result.completion, continuation)
        if writer is not None:
            await writer.flush()
        streamed, now_ms = bool(writer and writer.sent), self._tools.now_ms()
        if result is not None:
            return failed(flight.started, result, now_ms, streamed=streamed)
        usage = Usage(call.input_tokens, writer.tokens if writer else 0, estimated=True)
        return interrupted(flight.started, stopped, usage, now_ms, streamed=streamed)

    async def _provider_call(self, call: Call) -> ProviderCall:
        raw = call.body if call.body is not None else await self._fetch(call.body_ref)
        body, flags = orjson.loads(raw), orjson.loads(call.flags)
        return ProviderCall(
            body=continued(body, call.prefix, flags) if call.prefix is not None else body,
            upstream=call.upstream,
            stream=call.stream,
            max_tokens=call.max_tokens,
            flags=flags,
            operation=call.operation,
            keep_state=call.keep_state,
        )

    async def _complete(
        self, flight: InFlight, provider_call: ProviderCall, writer: DeltaWriter | None
    ) -> tuple[CallResult | None, str]:
        """The driver runs in a task of its own: a cancel closes the upstream and leaves this one to do the books."""
        timeout_s = max(0.0, (flight.call.deadline_at - self._tools.now_ms()) / 1000)
        if flight.call.role == "probe":
            timeout_s = min(timeout_s, self._sensing.probe_patience_s(flight.call))
        driver = self._drivers[flight.call.provider]
        upstream = asyncio.ensure_future(
            driver.complete(
                provider_call,
                model=flight.call.model,
                timeout_s=timeout_s,
                on_delta=writer.add if writer else None,
                on_wire=writer.begin if writer else None,
                on_first_event=functools.partial(self._sensing.first_event, flight.call),
            )
        )
        self._upstreams[flight.call.attempt_id] = upstream
        try:
            return await upstream, ""
        except asyncio.CancelledError:
            if not flight.stopped_by:
                upstream.cancel()
                raise
            return None, flight.stopped_by
        finally:
            self._upstreams.pop(flight.call.attempt_id, None)
            self._leave_place(flight)  # what is left to do is between us and the log

    def _stop(self, flight: InFlight, reason: str) -> None:
        flight.stopped_by = flight.stopped_by or reason
        if upstream := self._upstreams.get(flight.call.attempt_id):
            upstream.cancel()

    async def _fetch(self, ref: Ref | None) -> bytes:
        if ref is None:
            raise ValueError("a call has neither body nor reference")
        record = await self._tools.scanner.fetch(ref.topic, ref.partition, ref.offset)
        request = decode_request(record.value if record else None)
        if not isinstance(request, Request):
            raise ValueError(f"no request at {ref}")
        return request.body

    async def _answered(
        self, flight: InFlight, result: CallResult, completion: Answer, continuation: Continuation | None
    ) -> Attempt:
        call, now_ms = flight.call, self._tools.now_ms()
        if call.role == "probe":  # nobody waits for it
            return finished(flight.started, "ok", now_ms, result=result, usage=completion.usage)
        response = answer_of(call, flight.started, result, completion, continuation, now_ms)
        delivered = await self._emit.response(response, call.partition_key)
        if call.role in REQUEST_ROLES:
            added_ms = max(0, now_ms - call.accepted_at - result.duration_ms)
            self._tools.metrics.observe("added_seconds", added_ms / 1000, stream=str(call.stream).lower())
        return finished(
            flight.started,
            "ok",
            self._tools.now_ms(),
            result=result,
            usage=completion.usage,
            finish_reason=response.finish_reason,
            response=Ref(delivered.topic, delivered.partition, delivered.offset),
        )


def _forget(memory: "OrderedDict[Any, float]", seconds: float) -> None:
    horizon = time.monotonic() - seconds
    while memory and next(iter(memory.values())) < horizon:
        memory.popitem(last=False)
