"""Virtual time, and processes that may die at any of their effects."""

import heapq
from collections.abc import Callable, Generator
from random import Random
from typing import Any

__all__ = ["START_MS", "Clock", "Crashed", "Process", "Task", "Work"]

START_MS = 1_800_000_000_000
_LEAST_LIFE_MS = 8_000
"""A supervisor that restarts faster than anything could be done is another matter."""

Work = Generator[int, None, Any]
"""Yields how many milliseconds it waits."""


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS
        self._due: list[tuple[int, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._number = 0

    def after(self, wait_ms: int, act: Callable[..., Any], *args: Any) -> None:
        self._number += 1
        heapq.heappush(self._due, (self.now_ms + wait_ms, self._number, act, args))

    def run_until(self, end_ms: int) -> None:
        due = self._due
        while due and due[0][0] <= end_ms:
            self.now_ms, _, act, args = heapq.heappop(due)
            act(*args)
        self.now_ms = end_ms


class Crashed(Exception):
    """Raised in a process at an effect; nothing of it is heard again."""


class Task:
    """One flow of a process; `interrupt` ends its present wait."""

    __slots__ = ("_process", "_turn", "_work", "is_done")

    def __init__(self, process: "Process", work: Work) -> None:
        self._process, self._work, self._turn, self.is_done = process, work, 0, False
        self._wake(0)

    def interrupt(self) -> None:
        if not self.is_done:
            self._turn += 1
            self._process.clock.after(0, self._wake, self._turn)

    def _wake(self, turn: int) -> None:
        if turn != self._turn or not self._process.is_alive:
            return
        try:
            wait_ms = next(self._work)
        except (StopIteration, Crashed):
            self.is_done = True
            return
        self._turn += 1
        self._process.clock.after(wait_ms, self._wake, self._turn)


class Process:
    """One life of one slot. `dies` is told when it does."""

    def __init__(self, name: str, clock: Clock, rng: Random, dies: "Callable[[Process], None] | None" = None) -> None:
        self.name, self.clock, self.rng, self.is_alive = name, clock, rng, True
        self.crash_share = 0.0
        self._dies = dies
        self._born_ms = clock.now_ms

    def spawn(self, work: Work) -> Task:
        return Task(self, work)

    def risk(self) -> None:
        """Stands before and after each effect."""
        if self.crash_share and self.rng.random() < self.crash_share:
            self._crash()

    def _crash(self) -> None:
        if self._dies is None or self.clock.now_ms < self._born_ms + _LEAST_LIFE_MS:
            return
        self.is_alive = False
        self._dies(self)
        raise Crashed(self.name)

    def ack_ms(self) -> int:
        """How long the broker takes to ack a record; now and then a while."""
        return 2 if self.rng.random() < 0.99 else self.rng.randrange(50, 500)
