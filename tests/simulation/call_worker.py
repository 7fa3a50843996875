"""A `call` process: what `agents/call.py` does, with simulated vendors instead of a driver."""

from collections import defaultdict, deque
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.agents.endpoints import endpoint_of
from pipeline.agents.sensing import Sensing
from pipeline.core.continuation import Continuation
from schemas.completion import Choice, Completion, Usage
from schemas.errors import BREAKER_OPEN, EVACUATED, ErrorKind
from schemas.events import Attempt, AttemptError, Call, Delta, Ref, Signal
from tests.simulation.clock import Process, Task, Work
from tests.simulation.logs import Group, Place, Reader
from tests.simulation.providers import Plan
from tests.simulation.route_owner import Answer

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["CallWorker"]

SIGNAL_EVERY_MS = 250
_USAGE = Usage(100, 20)


class _Sensing(Sensing):
    """Its loop is driven from outside."""

    def due(self, now_ms: int) -> list[Signal]:
        self._urgent.clear()
        return [*self._sensor.urgent(now_ms), *self._sensor.signals(now_ms)]

    def mute(self, now_ms: int) -> list[str]:
        """What `listen` tells."""
        found = self._sensor.silent_endpoints(now_ms, self._local.since_ms)
        for endpoint in found:
            self._local.silent(endpoint, now_ms)
        return [endpoint for endpoint in found if self._local.allows(endpoint, 0, now_ms) is not None]

    @property
    def is_urgent(self) -> bool:
        return self._urgent.is_set()


@dataclass(slots=True)
class Flight:
    call: Call
    started: Attempt
    place: tuple[Reader, int]
    task: Task | None = None
    stopped_by: str = ""
    is_calling: bool = False


@dataclass(slots=True)
class _Said:
    """What went out of a stream so far."""

    continuation: Continuation | None
    text: str = ""
    deltas: int = 0
    pieces: int = 0


class CallWorker:
    def __init__(self, world: "World", name: str, group: Group) -> None:
        self._world = world
        self._name, self._group = name, group
        self.process = world.process(f"{name}~{group.lives}", self._died)
        self._tools = world.tools(self.process.name)
        self._sensing = _Sensing(self._tools, emit=None)  # type: ignore[arg-type]  # the loop that would emit is ours
        self._readers: list[Reader] = []
        self._in_flight: dict[str, Flight] = {}
        self._seen: set[str] = set()
        self._cancelled: set[str] = set()
        self._slots = {name: provider.max_in_flight for name, provider in world.catalog.providers.items()}
        self._queues: defaultdict[str, deque[tuple[Reader, int, Call]]] = defaultdict(deque)
        self._speaker = self.process.spawn(self._speak())
        world.hear_breakers(self.process, self._breaker_changed)

    def _died(self, _: Process) -> None:
        self._world.monitor.worker_died(self.process.name, [flight.call for flight in self._in_flight.values()])
        self._group.died(self._name)

    # --- ownership ----------------------------------------------------------------------------------------------

    def revoked(self) -> Work:
        """What is under way goes on; route hears that before anybody gives it back. What has not begun does not."""
        for reader in self._readers:
            reader.close()
        self._queues.clear()
        for flight in list(self._in_flight.values()):
            yield from self._attempt(self._phase(flight.call, "kept"))

    def assigned(self, places: dict[int, Place]) -> Work:
        for reader in self._readers:
            reader.close()
        self._readers = []
        self._queues.clear()
        for place in places.values():
            for log in place.values():
                self._read(log)
        yield 0

    def _read(self, log: Any) -> None:
        def take(offset: int, call: Call) -> None:
            self._take(reader, offset, call)

        reader = Reader(log, self.process, take, position=log.committed, delay_ms=(1, 6))
        self._readers.append(reader)

    def _take(self, reader: Reader, offset: int, call: Call) -> None:
        flight = self._in_flight.get(call.attempt_id)
        if flight is not None and offset == flight.place[1]:
            flight.place = (reader, offset)
        elif call.attempt_id in self._seen:
            reader.ack(offset)
        elif offset < reader.end:
            self.process.spawn(self._give_back(reader, offset, call))
        else:
            self._queues[call.provider].append((reader, offset, call))
            self._next(call.provider)

    def _give_back(self, reader: Reader, offset: int, call: Call) -> Work:
        yield from self._attempt(self._phase(call, "returned"))
        if call.role == "probe":
            self._sensing.probe_lost(call)
            self._speaker.interrupt()
        reader.ack(offset)

    # --- calls --------------------------------------------------------------------------------------------------

    def cancel(self, request_id: str) -> None:
        self._cancelled.add(request_id)
        for flight in list(self._in_flight.values()):
            if flight.call.request_id == request_id:
                self._stop(flight, "cancelled")

    def _next(self, provider: str) -> None:
        """As many at a time as the provider has slots."""
        queue = self._queues[provider]
        while queue and self._slots[provider] > 0:
            reader, offset, call = queue.popleft()
            if call.attempt_id in self._seen:
                reader.ack(offset)
                continue
            self._slots[provider] -= 1
            self._seen.add(call.attempt_id)
            flight = Flight(call, self._phase(call, "started"), (reader, offset))
            self._in_flight[call.attempt_id] = flight
            flight.task = self.process.spawn(self._execute(flight))

    def _execute(self, flight: Flight) -> Work:
        call = flight.call
        if self._is_over(flight):
            yield from self._attempt(self._not_sent(flight))
        elif self._sensing.is_out(call):
            yield from self._attempt(self._held_back(flight))
        else:
            yield from self._attempt(flight.started)
            yield from self._attempt((yield from self._observed(flight)))
        reader, offset = flight.place
        reader.ack(offset)
        del self._in_flight[call.attempt_id]
        self._slots[call.provider] += 1
        self._next(call.provider)

    def _is_over(self, flight: Flight) -> bool:
        if flight.call.request_id in self._cancelled:
            flight.stopped_by = flight.stopped_by or "cancelled"
        return bool(flight.stopped_by) or self._world.clock.now_ms >= flight.call.deadline_at

    def _not_sent(self, flight: Flight) -> Attempt:
        code = flight.stopped_by or "deadline_exceeded"
        error = AttemptError(ErrorKind.CANCELLED if code == "cancelled" else ErrorKind.TIMEOUT, code=code)
        return self._finished(flight, "cancelled" if code == "cancelled" else "error", error=error)

    def _held_back(self, flight: Flight) -> Attempt:
        return self._finished(flight, "error", error=AttemptError(ErrorKind.OVERLOADED, code=BREAKER_OPEN))

    def _observed(self, flight: Flight) -> Work:
        self._sensing.started(flight.call)
        finished = yield from self._called(flight)
        self._sensing.finished(flight.call, finished)
        if self._sensing.is_urgent:
            self._speaker.interrupt()
        return finished

    def _called(self, flight: Flight) -> Work:
        if self._is_over(flight):
            return self._not_sent(flight)
        call, clock = flight.call, self._world.clock
        if self._sensing.is_out(call):
            return self._held_back(flight)
        self._world.monitor.called(call, clock.now_ms)
        plan = self._world.vendors.plan(call, endpoint_of(call), clock.now_ms)
        said = _Said(Continuation(call.prefix, orjson.loads(call.flags)) if call.prefix is not None else None)
        flight.is_calling = True
        is_in_time = yield from self._run(flight, plan, said)
        flight.is_calling = False
        self._world.monitor.call_ended(call)
        if flight.stopped_by:
            return self._interrupted(flight, said)
        if not is_in_time or plan.kind is not None:
            return self._failed(flight, plan, said, is_in_time=is_in_time)
        return (yield from self._answered(flight, said))

    def _run(self, flight: Flight, plan: Plan, said: _Said) -> Work:
        """False where the deadline cut it short."""
        call, clock = flight.call, self._world.clock
        end_ms = call.deadline_at
        if call.role == "probe":
            end_ms = min(end_ms, clock.now_ms + int(self._sensing.probe_patience_s(call) * 1000))
        for number, piece in enumerate(plan.pieces or [""]):
            wait_ms = plan.gap_ms if number else plan.first_ms
            left_ms = end_ms - clock.now_ms
            yield min(wait_ms, max(left_ms, 0))
            if flight.stopped_by or wait_ms > left_ms:
                return not wait_ms > left_ms
            if not piece:
                break
            if not number and call.stream:
                self._sensing.first_event(call)
            said.text += piece
            if call.stream:
                said.pieces += 1
                yield from self._say(call, piece, said)
        return True

    def _say(self, call: Call, piece: str, said: _Said) -> Work:
        delta: dict[str, Any] = {"content": piece}
        new = said.continuation.piece(delta) if said.continuation is not None else delta
        if not new:
            return
        prefix = call.prefix if said.deltas == 0 else None
        said.deltas += 1
        event = Delta(
            request_id=call.request_id,
            tenant=call.tenant,
            attempt=call.attempt,
            seq=said.deltas - 1,
            kind="chunk",
            data=orjson.dumps([new]),
            continues_attempt=prefix.attempt if prefix else None,
            continues_pieces=prefix.pieces if prefix else 0,
        )
        self.process.risk()
        self._world.deltas[call.request_id].append(event)
        self.process.risk()
        yield self.process.ack_ms()

    def _stop(self, flight: Flight, reason: str) -> None:
        flight.stopped_by = flight.stopped_by or reason
        if flight.is_calling and flight.task is not None:
            flight.task.interrupt()

    def _answered(self, flight: Flight, said: _Said) -> Work:
        call = flight.call
        if call.role == "probe":
            return self._finished(flight, "ok", usage=_USAGE)
        text = said.text
        if said.continuation is not None:
            text = said.continuation.answer(Completion([Choice(text=text)], _USAGE)).choices[0].text
        partition = self._world.partition_of(call.partition_key)
        answer = Answer(call.request_id, None, text)
        offset = yield from self._world.write(self.process, self._world.responses[partition], answer)
        return self._finished(flight, "ok", usage=_USAGE, response=Ref("responses", partition, offset))

    def _failed(self, flight: Flight, plan: Plan, said: _Said, *, is_in_time: bool) -> Attempt:
        kind = plan.kind if is_in_time and plan.kind else ErrorKind.TIMEOUT
        code = plan.code if is_in_time else "deadline_exceeded"
        error = AttemptError(kind, code=code, retry_after_s=plan.retry_after_s if is_in_time else None)
        return self._finished(flight, "error", usage=_USAGE, error=error, streamed=said.deltas > 0)

    def _interrupted(self, flight: Flight, said: _Said) -> Attempt:
        is_cancelled = flight.stopped_by == "cancelled"
        self._world.monitor.counts[f"stopped: {flight.stopped_by}"] += 1
        kind = ErrorKind.CANCELLED if is_cancelled else ErrorKind.TIMEOUT
        return self._finished(
            flight,
            "cancelled" if is_cancelled else "error",
            error=AttemptError(kind, code=flight.stopped_by),
            usage=Usage(100, said.pieces, estimated=True),
            streamed=said.deltas > 0,
        )

    def _finished(self, flight: Flight, result: str, **facts: Any) -> Attempt:
        event = self._phase(flight.call, "finished")
        event.started_at, event.finished_at, event.result = flight.started.started_at, event.started_at, result
        for name, value in facts.items():
            setattr(event, name, value)
        return event

    def _phase(self, call: Call, phase: str) -> Attempt:
        return Attempt(
            request_id=call.request_id,
            tenant=call.tenant,
            attempt=call.attempt,
            attempt_id=call.attempt_id,
            phase=phase,
            role=call.role,
            provider=call.provider,
            model=call.model,
            region=call.region,
            worker=self.process.name,
            started_at=self._world.clock.now_ms,
            price=call.price,
        )

    def _attempt(self, event: Attempt) -> Work:
        if event.role == "probe":
            yield self.process.ack_ms()  # of a tenant of its own: no journey hears of it
            return
        log = self._world.attempts[self._world.partition_of(event.tenant)]
        yield from self._world.write(self.process, log, event)

    # --- breakers -----------------------------------------------------------------------------------------------

    def _breaker_changed(self, record: SimpleNamespace) -> None:
        if (silent := self._sensing.heard(record)) is not None:
            self._evacuate(silent)

    def _evacuate(self, silent: str) -> None:
        for flight in list(self._in_flight.values()):
            may_move = flight.call.role == "primary" and flight.call.route.alternatives
            if endpoint_of(flight.call) == silent and may_move and self._sensing.is_silent(flight.call):
                self._stop(flight, EVACUATED)

    def _speak(self) -> Work:
        while True:
            yield SIGNAL_EVERY_MS
            for endpoint in self._sensing.mute(self._world.clock.now_ms):
                self._evacuate(endpoint)
            for signal in self._sensing.due(self._world.clock.now_ms):
                self.process.risk()
                self._world.signal(signal)
                self.process.risk()
