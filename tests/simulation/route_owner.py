"""A `route` process: what `agents/route.py` and `agents/ownership.py` do, with logs instead of topics."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pipeline.agents.endpoints import Endpoints
from pipeline.core import decide as deciding
from pipeline.core import lost, records
from pipeline.core.continuation import delivered, heard_tokens
from pipeline.core.journey import Journey, Phase
from pipeline.core.journey_events import BudgetSpent, CancelAsked, Collected, DeadlinePassed, Decided, Event, Recovered
from pipeline.core.outcomes import Collect, Decide, End, Forward, Orphan, Park, Recover, Reply, Step
from schemas.completion import Usage
from schemas.events import Attempt, Enriched, Outcome, Parked, Ref
from tests.simulation.clock import Process, Work
from tests.simulation.logs import Group, Place, Reader

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Answer", "RouteOwner"]

LOOK_BACK_MS = 60_000
CARRY_AFTER_MS = 60_000


@dataclass(slots=True, frozen=True)
class Answer:
    """A record of `responses`: `code` of an error, `text` of an answer."""

    request_id: str
    code: str | None
    text: str = ""


@dataclass(slots=True)
class Opened:
    journey: Journey
    source: tuple[Reader, int]
    due_ms: int = 0
    is_forgotten: bool = False


@dataclass(slots=True)
class Partition:
    place: Place
    number: int
    readers: dict[str, Reader] = field(default_factory=dict)
    open: dict[str, Opened] = field(default_factory=dict)
    history: defaultdict[str, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[str, int] = field(default_factory=dict)

    def answer(self, request_id: str, offset: int) -> None:
        """The first record is the outcome."""
        if offset < self.answered.get(request_id, offset + 1):
            self.answered[request_id] = offset
        self.history.pop(request_id, None)


class RouteOwner:
    def __init__(self, world: "World", name: str, group: Group) -> None:
        self._world, self._group = world, group
        self._name = name
        self.process = world.process(f"{name}~{group.lives}", self._died)
        self.endpoints = Endpoints(world.tools(self.process.name))
        self._partitions: dict[int, Partition] = {}
        world.hear_breakers(self.process, self.endpoints.heard)

    def _died(self, _: Process) -> None:
        for number in self._partitions:
            self._world.owner_gone(number)
        self._group.died(self._name)

    # --- ownership ----------------------------------------------------------------------------------------------

    def revoked(self) -> Work:
        for partition in self._partitions.values():
            self._close(partition)
        yield 0

    def assigned(self, places: dict[int, Place]) -> Work:
        """Kept partitions keep their state; lost ones are forgotten, with their timers."""
        for gone in sorted(set(self._partitions) - set(places)):
            for opened in self._partitions.pop(gone).open.values():
                opened.is_forgotten = True
        for number, place in places.items():
            if number not in self._partitions:
                partition = Partition(place, number)
                yield from self._take_over(partition)
                self._partitions[number] = partition
                self._world.owner_back(number)
        self.endpoints.owned(set(places))
        for number in places:
            self._read(self._partitions[number])

    def _take_over(self, partition: Partition) -> Work:
        since = min(self._first_open_ms(partition.place), self._world.clock.now_ms) - 1000
        for offset, answer in partition.place["responses"].since(min(since, self._world.clock.now_ms - LOOK_BACK_MS)):
            partition.answer(answer.request_id, offset)
        yield self.process.rng.randrange(5, 50)
        for _, attempt in partition.place["attempts"].since(since):
            if attempt.request_id not in partition.answered:
                partition.history[attempt.request_id].append(attempt)
        yield self.process.rng.randrange(5, 50)

    def _first_open_ms(self, place: Place) -> int:
        times = [self._world.clock.now_ms]
        for log in (place["requests"], place["due"]):
            if log.committed < len(log.records):
                record = log.records[log.committed]
                times.append(record.request.accepted_at if isinstance(record, Parked) else record.accepted_at)
        return min(times)

    def _close(self, partition: Partition) -> None:
        for reader in partition.readers.values():
            reader.close()

    def _read(self, partition: Partition) -> None:
        self._close(partition)
        handles = {"requests": self._admit, "due": self._unpark, "attempts": self._settle}
        for role, handle in handles.items():
            log = partition.place[role]

            def take(offset: int, record: Any, handle: Any = handle, role: str = role) -> None:
                handle(partition, partition.readers[role], offset, record)

            partition.readers[role] = Reader(log, self.process, take, position=log.committed, delay_ms=(1, 6))

    # --- requests -----------------------------------------------------------------------------------------------

    def cancel(self, request_id: str) -> None:
        for partition in self._partitions.values():
            if opened := partition.open.get(request_id):
                self._feed(partition, opened, CancelAsked())

    def _admit(self, partition: Partition, reader: Reader, offset: int, request: Enriched) -> None:
        opened = partition.open.get(request.request_id)
        if opened is not None and opened.source[0].log is reader.log and opened.source[1] == offset:
            opened.source = (reader, offset)
            return
        if opened is not None or request.request_id in partition.answered:
            reader.ack(offset)
            return
        journey = Journey(request, self._max_attempts(request), continues=self._continues(request))
        opened = self._begin(partition, journey, (reader, offset))
        history = partition.history.pop(request.request_id, [])
        now_ms = self._world.clock.now_ms
        self._act(partition, opened, journey.resume(history, now_ms) if history else journey.begin())

    def _unpark(self, partition: Partition, reader: Reader, offset: int, parked: Parked) -> None:
        key, now_ms = parked.request.request_id, self._world.clock.now_ms
        if key in partition.answered:
            reader.ack(offset)
            return
        opened = partition.open.get(key)
        if opened is not None and opened.source[0].log is reader.log and opened.source[1] == offset:
            opened.source = (reader, offset)  # redelivered
            return
        if opened is not None and parked.due_at < opened.due_ms:
            reader.ack(offset)  # a copy of an earlier parking
            return
        if opened is not None and opened.journey.phase is not Phase.PARKED:
            self._carry_later(partition, opened)
            opened.source[0].ack(opened.source[1])
            opened.source = (reader, offset)
            return
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
            opened.is_forgotten = True
            opened.source[0].ack(opened.source[1])
        opened = self._begin(partition, journey, (reader, offset))
        if parked.due_at > now_ms + 50:
            self._act(partition, opened, journey.wait(parked.due_at))
            return
        history = [event for event in partition.history.pop(key, []) if event.attempt > parked.attempts]
        self._act(partition, opened, journey.resume(history, now_ms))

    def _begin(self, partition: Partition, journey: Journey, source: tuple[Reader, int]) -> Opened:
        opened = Opened(journey, source)
        partition.open[journey.request.request_id] = opened
        left_ms = max(0, journey.request.deadline_at - self._world.clock.now_ms)
        self._world.clock.after(left_ms, self._deadline, partition, opened)
        self._carry_later(partition, opened)
        return opened

    def _deadline(self, partition: Partition, opened: Opened) -> None:
        if self.process.is_alive and not opened.is_forgotten:
            self._feed(partition, opened, DeadlinePassed())

    def _carry_later(self, partition: Partition, opened: Opened) -> None:
        if opened.journey.request.deadline_at > self._world.clock.now_ms + CARRY_AFTER_MS:
            self._world.clock.after(CARRY_AFTER_MS, self._carry, partition, opened)

    def _carry(self, partition: Partition, opened: Opened) -> None:
        is_over = opened.is_forgotten or opened.journey.phase in (Phase.PARKED, Phase.ENDED)
        if self.process.is_alive and not is_over:
            self.process.spawn(self._do_carry(partition, opened))

    def _do_carry(self, partition: Partition, opened: Opened) -> Work:
        journey = opened.journey
        done = journey.attempts - (journey.phase in (Phase.CALLING, Phase.RECOVERING))
        parked = records.parked(journey, self._world.clock.now_ms, done)
        yield from self._world.write(self.process, partition.place["due"], replace(parked, tried=[*parked.tried]))

    def _max_attempts(self, request: Enriched) -> int:
        route = self._world.catalog.routes.get(request.model)
        return route.max_attempts if route else 3

    def _continues(self, request: Enriched) -> bool:
        route = self._world.catalog.routes.get(request.model)
        return route is None or route.stream_recovery == "continue"

    # --- journeys -----------------------------------------------------------------------------------------------

    def _feed(self, partition: Partition, opened: Opened, event: Event) -> None:
        self._act(partition, opened, opened.journey.step(event, self._world.clock.now_ms))

    def _act(self, partition: Partition, opened: Opened, steps: Iterable[Step]) -> None:
        if steps:
            self.process.spawn(self._do(partition, opened, steps))

    def _do(self, partition: Partition, opened: Opened, steps: Iterable[Step]) -> Work:
        for step in steps:
            if self._world.traced == opened.journey.request.request_id:
                self._world.trace(opened.journey.request.request_id, self.process.name, step)
            match step:
                case Decide():
                    self._decide(partition, opened, step)
                case Forward():
                    yield from self._forward(partition, opened, step)
                case Collect():
                    yield self.process.rng.randrange(2, 20)
                    self._collect(partition, opened)
                case Recover():
                    yield self.process.rng.randrange(2, 20)
                    self._recover(partition, opened, step)
                case Orphan():
                    usage = Usage(opened.journey.request.features.input_tokens, step.output_tokens)
                    finished = lost.orphaned(step.attempt, usage, self._world.clock.now_ms, streamed=step.streamed)
                    self._world.monitor.orphaned(finished)
                    yield from self._world.write(self.process, partition.place["attempts"], finished)
                case Park():
                    self._world.monitor.parked(opened.journey.request.request_id, step.due_at, self._world.clock.now_ms)
                    yield from self._park(partition, opened, step)
                case Reply():
                    yield from self._reply(partition, opened, step.error)
                case End():
                    self._end(partition, opened, step.response.offset if step.response else None)

    def _decide(self, partition: Partition, opened: Opened, step: Decide) -> None:
        request, now_ms = opened.journey.request, self._world.clock.now_ms
        if step.pays and not self.endpoints.may_retry(step.pays):
            self._world.monitor.counts["retries refused"] += 1
            self._feed(partition, opened, BudgetSpent())
            return
        if step.pays:
            self._world.monitor.paid(self.process.name, self._world.catalog.models[step.pays].provider, now_ms)
        decision = deciding.decide(
            request,
            self._world.catalog,
            self.endpoints.situation(),
            attempt=step.attempt,
            tried=opened.journey.given_up,
            cause=step.cause,
            larger_than_tokens=step.larger_than_tokens,
        )
        chosen = self._world.catalog.models.get(decision.chosen)
        if chosen is None:
            self._feed(partition, opened, Decided(decision))
        else:
            self._feed(partition, opened, Decided(decision, chosen.flags.prefill, chosen.context_tokens))

    def _forward(self, partition: Partition, opened: Opened, step: Forward) -> Work:
        now_ms = self._world.clock.now_ms
        call = records.call(opened.journey, step, self._world.catalog, now_ms)
        self.endpoints.forwarded(call, partition.number)
        self._world.monitor.forwarded(self.process.name, call, now_ms)
        lane = self._world.lane_of(call)
        yield from self._world.write(self.process, lane, call)

    def _recover(self, partition: Partition, opened: Opened, step: Recover) -> None:
        request, lost = opened.journey.request, step.attempt
        offset = partition.answered.get(request.request_id)
        if offset is None:
            found = partition.place["responses"].since(lost.started_at - 1000)
            offset = next((at for at, answer in found if answer.request_id == request.request_id), None)
        ref = None if offset is None else Ref("responses", partition.number, offset)
        pieces = self._world.deltas[request.request_id] if request.stream and ref is None else []
        of_it = [piece for piece in pieces if piece.attempt == lost.attempt]
        self._feed(partition, opened, Recovered(lost.attempt_id, ref, bool(of_it), heard_tokens(of_it)))

    def _collect(self, partition: Partition, opened: Opened) -> None:
        pieces = self._world.deltas[opened.journey.request.request_id]
        self._feed(partition, opened, Collected(delivered(pieces)))

    def _park(self, partition: Partition, opened: Opened, step: Park) -> Work:
        """On the topics, or here what is too short for them."""
        journey, now_ms, opened.due_ms = opened.journey, self._world.clock.now_ms, step.due_at
        if step.due_at - now_ms < min(self._world.catalog.retry.delays_s) * 1000:
            self._world.clock.after(max(1, step.due_at - now_ms), self._wake, partition, opened)
            return
        parked = records.parked(journey, step.due_at, journey.attempts)
        self.process.risk()
        self._world.park(replace(parked, tried=[*parked.tried]), now_ms)
        self.process.risk()
        yield self.process.ack_ms()
        reader, offset = opened.source
        reader.ack(offset)

    def _wake(self, partition: Partition, opened: Opened) -> None:
        if self.process.is_alive and not opened.is_forgotten and opened.journey.phase is Phase.PARKED:
            self._act(partition, opened, opened.journey.resume([], self._world.clock.now_ms))

    def _reply(self, partition: Partition, opened: Opened, error: Outcome) -> Work:
        response = records.error_response(opened.journey, error, self._world.clock.now_ms)
        assert response.error is not None
        answer = Answer(response.request_id, response.error.code)
        offset = yield from self._world.write(self.process, partition.place["responses"], answer)
        self._end(partition, opened, offset)

    def _end(self, partition: Partition, opened: Opened, offset: int | None) -> None:
        key = opened.journey.request.request_id
        opened.is_forgotten = True
        if offset is not None:
            partition.answer(key, offset)
        if partition.open.get(key) is opened:
            del partition.open[key]
        reader, place = opened.source
        reader.ack(place)

    # --- settle -------------------------------------------------------------------------------------------------

    def _settle(self, partition: Partition, reader: Reader, offset: int, event: Attempt) -> None:
        self.endpoints.settled(event, partition.number)
        if self._world.traced == event.request_id:
            self._world.trace(event.request_id, self.process.name, event)
        opened = partition.open.get(event.request_id)
        if opened is not None:
            self._feed(partition, opened, event)
        elif event.request_id not in partition.answered and event.role != "probe":
            partition.history[event.request_id].append(event)
        reader.ack(offset)

    def check_rest(self) -> None:
        """What should be empty when all is quiet."""
        monitor = self._world.monitor
        for partition in self._partitions.values():
            for request_id in partition.open:
                monitor.violated("stays open", request_id, f"at {self.process.name}")
        for provider, number in self.endpoints.situation().in_flight.items():
            if number:
                monitor.violated("leaks", provider, f"{self.process.name} counts {number} calls that are over")
