"""Topics in memory: append-only, read by one group each, redelivered from the last commit; groups whose members die."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

from tests.simulation.clock import Clock, Process, Work

__all__ = ["Group", "Log", "Member", "Place", "Reader"]

_COMMIT_SHARE = 0.05
"""Of acks that are followed by a commit: what was acked since the last one is redelivered."""

Handle = Callable[[int, Any], Work | None]


class Log:
    """One partition. `committed` is its group's; what is not acked is somebody's open work."""

    def __init__(self, name: str, clock: Clock, rng: Random) -> None:
        self.name = name
        self.records: list[Any] = []
        self.times: list[int] = []
        self.committed = 0
        self.acked = 0
        self._early: set[int] = set()
        self._clock, self._rng = clock, rng
        self.readers: list[Reader] = []

    def append(self, record: Any) -> int:
        self.records.append(record)
        self.times.append(self._clock.now_ms)
        for reader in self.readers:
            reader.notice()
        return len(self.records) - 1

    def since(self, at_ms: int) -> list[tuple[int, Any]]:
        first = bisect_left(self.times, at_ms)
        return list(enumerate(self.records[first:], first))

    def assign(self, position: int) -> None:
        """To a new reader: its books begin at what is committed, and what was acked beyond is open again."""
        self.acked = position
        self._early.clear()

    def ack(self, offset: int) -> None:
        """In any order; commits are contiguous."""
        if offset >= self.acked:
            self._early.add(offset)
        while self.acked in self._early:
            self._early.discard(self.acked)
            self.acked += 1
        if self._rng.random() < _COMMIT_SHARE:
            self.committed = self.acked


class Reader:
    """Hands a log to a process from `position` on, a fetch at a time, until it is closed. `end`: of the log, when it began."""

    def __init__(self, log: Log, process: Process, handle: Handle, *, position: int, delay_ms: tuple[int, int]) -> None:
        self.log, self.process, self.end, self._handle = log, process, len(log.records), handle
        self._start = self._position = position
        self._delay_ms = delay_ms
        self._is_busy = self._is_closed = False
        log.assign(position)
        log.readers.append(self)
        self.notice()

    def notice(self) -> None:
        if not self._is_busy and not self._is_closed and self._position < len(self.log.records):
            self._is_busy = True
            self.process.clock.after(self.process.rng.randint(*self._delay_ms), self._begin)

    def close(self) -> None:
        self._is_closed = True
        if self in self.log.readers:
            self.log.readers.remove(self)

    def ack(self, offset: int) -> None:
        """What was taken away is not ours to ack, nor what has not come again yet."""
        if not self._is_closed and self._start <= offset < self._position:
            self.log.ack(offset)

    def _begin(self) -> None:
        if self.process.is_alive and not self._is_closed:
            self.process.spawn(self._pump())

    def _pump(self) -> Work:
        while self._position < len(self.log.records) and self.process.is_alive and not self._is_closed:
            self._position += 1
            work = self._handle(self._position - 1, self.log.records[self._position - 1])
            if work is not None:
                yield from work
        self._is_busy = False
        self.notice()


Place = dict[str, Log]
"""The logs that one member reads together, by role: one partition of a group."""


class Member(Protocol):
    process: Process

    def revoked(self) -> Work: ...

    def assigned(self, places: dict[int, Place]) -> Work: ...


class Group:
    """Members share places. A slot that restarts soon has its own again; one that does not is replaced by the others."""

    def __init__(
        self, slots: Sequence[str], places: dict[int, Place], make: Callable[[str, "Group"], Member], system: Process
    ) -> None:
        self.places = places
        self.members: dict[str, Member] = {}
        self.lives = 0
        self._slots, self._make, self._system = list(slots), make, system
        self._shares: dict[str, list[int]] = {}
        self._generation = 0
        for slot in slots:
            self.members[slot] = make(slot, self)
        self.rebalance()

    def owner_of(self, number: int) -> Member | None:
        return next((self.members.get(slot) for slot, share in self._shares.items() if number in share), None)

    def died(self, slot: str) -> None:
        """Soon back in its slot, or after the others have taken over, which is two moves between the living."""
        clock, rng = self._system.clock, self._system.rng
        member = self.members.pop(slot)
        for place in self.places.values():
            for log in place.values():
                for reader in [each for each in log.readers if each.process is member.process]:
                    reader.close()
        if rng.random() < 0.6:
            clock.after(rng.randrange(300, 3_000), self._restart, slot)
        else:
            clock.after(6_000, self.rebalance)
            clock.after(rng.randrange(6_500, 20_000), self._rejoin, slot)

    def rebalance(self) -> None:
        self._generation += 1
        self._system.spawn(self._rebalance(self._generation))

    def _restart(self, slot: str) -> None:
        self._rise(slot)
        member = self.members[slot]
        member.process.spawn(member.assigned({number: self.places[number] for number in self._shares.get(slot, [])}))

    def _rejoin(self, slot: str) -> None:
        self._rise(slot)
        self.rebalance()

    def _rise(self, slot: str) -> None:
        self.lives += 1
        self.members[slot] = self._make(slot, self)

    def _rebalance(self, generation: int) -> Work:
        """All give up all, then each gets its share."""
        members = list(self.members.values())
        tasks = [(member, member.process.spawn(member.revoked())) for member in members]
        while any(member.process.is_alive and not task.is_done for member, task in tasks):
            yield 1
        if generation != self._generation:
            return
        alive = [slot for slot in self._slots if slot in self.members]
        self._shares = {slot: [n for n in self.places if alive[n % len(alive)] == slot] for slot in alive}
        for slot, share in self._shares.items():
            member = self.members[slot]
            member.process.spawn(member.assigned({number: self.places[number] for number in share}))
