"""Exactly once, with a death at any point: a world with ClickHouse's real weaknesses, and many lives of the sink in it."""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.delivery import (
    Bury,
    Commit,
    Effect,
    Insert,
    Inserted,
    Intend,
    Missing,
    Rebuild,
    Settle,
    Sieve,
    deliver,
    metadata_of,
    until_of,
)


class Death(Exception):
    """The process is gone."""


@dataclass
class World:
    """A log, a table with its rollup and token log, and what the group committed.

    Inserts are killed as ClickHouse is: before anything, after the token but before the rows, after the rows but before the
    rollup; or they end after their client has died.
    """

    log: list[int]
    chance: random.Random
    trouble: float
    undecodable: frozenset[int] = frozenset()
    refused: frozenset[int] = frozenset()
    rows: list[int] = field(default_factory=list)
    rollup: list[int] = field(default_factory=list)
    tokens: set[object] = field(default_factory=set)
    buried: list[int] = field(default_factory=list)
    running: list[tuple[object, tuple[int, ...]]] = field(default_factory=list)
    committed: int = 0
    until: int | None = None

    def live(self, batch_size: int) -> None:
        """One life of the sink: from the committed offset to the end of the log, or to its death."""
        until = self.until
        while rest := [offset for offset in self.log if offset >= self.committed]:
            batch = rest[:batch_size]
            if until is not None and until >= batch[0]:
                batch = [offset for offset in batch if offset <= until]
            journey = deliver(batch, batch[0], batch[-1], until=until)
            answer = None
            try:
                while True:
                    answer = self.do(journey.send(answer))
            except StopIteration:
                until = self.until

    def do(self, effect: Effect) -> Any:
        self._may_die()
        answer = self._do(effect)
        self._may_die()
        return answer

    def _do(self, effect: Effect) -> Any:
        match effect:
            case Intend(first, until):
                self.committed, self.until = first, until
            case Commit(offset, until):
                self.committed, self.until = offset, until
            case Insert(offsets, is_repair):
                return self._insert(object() if is_repair else (offsets[0], offsets[-1]), offsets)
            case Settle():
                while self.running:
                    self._finish()
            case Missing(offsets):
                return tuple(offset for offset in offsets if offset not in set(self.rows))
            case Sieve(offsets):
                return {offset: "truncated" for offset in offsets if offset in self.undecodable}
            case Bury(offset):
                self.buried.append(offset)
            case Rebuild():
                self._rebuild()
        return None

    def _insert(self, token: object, offsets: tuple[int, ...]) -> Inserted:
        if not (self.undecodable | self.refused).isdisjoint(offsets):
            return Inserted.REFUSED
        self.running.append((token, offsets))
        if self.chance.random() < self.trouble:
            return self._trouble()
        self._finish()
        return Inserted.ACKED

    def _trouble(self) -> Inserted:
        match self.chance.randrange(5):
            case 0:  # it ends later, its client does not know
                if self.chance.random() < 0.5:
                    raise Death
            case 1:  # never arrived
                self.running.pop()
            case 2:  # killed after the token, before the rows; the rollup has them
                token, offsets = self.running.pop()
                if token not in self.tokens:
                    self.tokens.add(token)
                    self.rollup += offsets
            case 3:  # killed after the rows, before the rollup
                token, offsets = self.running.pop()
                if token not in self.tokens:
                    self.tokens.add(token)
                    self.rows += offsets
            case 4:  # all there, the answer got lost
                self._finish()
        return Inserted.UNKNOWN

    def _finish(self) -> None:
        token, offsets = self.running.pop()
        if token not in self.tokens:
            self.tokens.add(token)
            self.rows += offsets
            self.rollup += offsets

    def _rebuild(self) -> None:
        """All hours are one here: deleted, then filled; a death in between leaves it empty."""
        self.rollup = []
        self._may_die()
        self.rollup = list(self.rows)

    def _may_die(self) -> None:
        if self.chance.random() < self.trouble / 4:
            raise Death


def _log(chance: random.Random, size: int) -> list[int]:
    """Offsets with gaps, as compaction leaves them."""
    return [offset for offset in range(size) if chance.random() < 0.9] or [0]


def _lives(world: World, batch_sizes: list[int]) -> None:
    for size in batch_sizes:
        try:
            world.live(size)
        except Death:
            continue
    world.trouble = 0
    world.live(batch_sizes[-1])


@settings(max_examples=500, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    trouble=st.sampled_from([0.05, 0.2, 0.5]),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=30),
    size=st.integers(1, 60),
    bad=st.frozensets(st.integers(0, 59), max_size=4),
    worse=st.frozensets(st.integers(0, 59), max_size=2),
)
def test_every_record_is_one_row_and_counted_once_whatever_dies(
    seed: int, trouble: float, sizes: list[int], size: int, bad: frozenset[int], worse: frozenset[int]
) -> None:
    chance = random.Random(seed)
    world = World(_log(chance, size), chance, trouble, undecodable=bad, refused=worse - bad)
    _lives(world, sizes)
    good = [offset for offset in world.log if offset not in bad | worse]
    assert sorted(world.rows) == good
    assert sorted(world.rollup) == good
    assert set(world.buried) == set(world.log) & (bad | worse)
    assert (world.committed, world.until) == (world.log[-1] + 1, None)


def test_a_batch_that_is_acked_takes_four_steps() -> None:
    journey = deliver([3, 5], 3, 6, until=None)
    assert next(journey) == Intend(3, 6)
    assert journey.send(None) == Insert((3, 5))
    assert journey.send(Inserted.ACKED) == Commit(7, None)


def test_a_range_without_rows_is_committed() -> None:
    assert list(deliver([], 3, 6, until=None)) == [Intend(3, 6), Commit(7, None)]


def test_doubt_beyond_a_batch_is_kept() -> None:
    journey = deliver([1, 2], 1, 2, until=9)
    assert next(journey) == Intend(1, 9)
    assert journey.send(None) == Settle()
    assert journey.send(None) == Missing((1, 2))
    assert journey.send(()) == Rebuild(1, 2)
    assert journey.send(None) == Commit(3, 9)


def test_rows_that_a_repair_could_not_bring_back_are_let_go() -> None:
    """They are past the retention of their table."""
    journey = deliver([1], 1, 1, until=1)
    assert [next(journey), journey.send(None)] == [Intend(1, 1), Settle()]
    assert journey.send(None) == Missing((1,))
    assert journey.send((1,)) == Insert((1,))
    assert journey.send(Inserted.ACKED) == Settle()
    assert journey.send(None) == Missing((1,))
    assert journey.send((1,)) == Insert((1,), is_repair=True)
    assert journey.send(Inserted.ACKED) == Rebuild(1, 1)


@pytest.mark.parametrize(("text", "until"), [("", None), ("until=7", 7), ("until=x", None), ("from=7", None)])
def test_the_intent_stands_beside_the_committed_offset(text: str, until: int | None) -> None:
    assert until_of(text) == until
    assert until is None or metadata_of(until) == text
    assert metadata_of(None) == ""
