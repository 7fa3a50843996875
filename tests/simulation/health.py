"""The `health` process: what `agents/health.py` does, with logs instead of topics."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.core.breaker import Effect, Judge, Publish
from pipeline.core.probe import probe_call
from schemas.events import Breaker, Signal
from tests.simulation.clock import Process, Work
from tests.simulation.logs import Group, Place, Reader

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Health"]

TICK_MS = 100
RISK = 100
"""It has so many fewer effects than the others, and is to die as often."""


class Health:
    def __init__(self, world: "World", name: str, group: Group) -> None:
        self._world = world
        self._name, self._group = name, group
        self.process = world.process(f"{name}~{group.lives}", self._died)
        self.process.crash_share *= RISK
        self._judges: dict[str, Judge] = {}
        self._models = {world.catalog.endpoint_of(name): name for name in world.catalog.models}
        self._reader: Reader | None = None
        self.process.spawn(self._watch())

    def _died(self, _: Process) -> None:
        self._world.monitor.counts["deaths of health"] += 1
        self._group.died(self._name)

    def revoked(self) -> Work:
        if self._reader is not None:
            self._reader.close()
        yield 0

    def assigned(self, places: dict[int, Place]) -> Work:
        """The table first, then signals."""
        if not places:
            self._judges.clear()
            return
        yield self.process.rng.randrange(5, 50)
        for breaker in self._world.breakers.records:
            self._judges[breaker.endpoint] = Judge(breaker, self._world.catalog.breaker)
        log = places[0]["signals"]
        if self._reader is not None:
            self._reader.close()
        self._reader = Reader(log, self.process, self._heard, position=log.committed, delay_ms=(1, 6))

    def _heard(self, offset: int, signal: Signal) -> Work:
        judge = self._judges.get(signal.endpoint)
        if judge is None:
            judge = self._judges[signal.endpoint] = Judge(Breaker(signal.endpoint), self._world.catalog.breaker)
        yield from self._do(judge.signal(signal, self._world.clock.now_ms))
        assert self._reader is not None
        self._reader.ack(offset)

    def _watch(self) -> Work:
        while True:
            yield TICK_MS
            for judge in list(self._judges.values()):
                yield from self._do(judge.tick(self._world.clock.now_ms))

    def _do(self, effects: Iterable[Effect]) -> Work:
        for effect in effects:
            if isinstance(effect, Publish):
                self._world.monitor.published(effect.breaker)
                yield from self._world.write(self.process, self._world.breakers, effect.breaker)
            elif effect.endpoint in self._models:
                now_ms = self._world.clock.now_ms
                call = probe_call(effect, self._models[effect.endpoint], self._world.catalog, now_ms)
                yield from self._world.write(self.process, self._world.lane_of(call), call)
