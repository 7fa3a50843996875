"""health: the judge of endpoints. `signals.v1` -> `breakers.v1`, and one synthetic call where an endpoint may be well again.

1. the owner of `signals` (one partition, so one process) holds a judge per endpoint (`core/breaker`)
2. a judge's records are acked on the compacted `breakers` before the signal is: that topic is the table
3. a taker-over reads the table first, so breakers survive a kill; what the window knew is learnt again in seconds
4. a probe is an order like any other, for tenant `_platform`; its result comes back as a signal of `call`
"""

import asyncio
import logging
from typing import Any

from pipeline.agents.endpoints import BREAKER_STATES
from pipeline.core.breaker import Effect, Judge, Probe, Publish
from pipeline.core.probe import probe_call
from pipeline.emit import Emit
from pipeline.stage import Assigned, Batch, StageApp
from pipeline.tools import Tools
from schemas import topics as t
from schemas.catalog import Catalog
from schemas.codec import Undecodable, decode
from schemas.errors import ERROR_KINDS, ErrorKind
from schemas.events import Breaker, Signal

__all__ = ["HealthStage"]

TICK_S = 0.1
log = logging.getLogger(__name__)


class HealthStage:
    """Judges of all endpoints while this process owns `signals`; none otherwise."""

    def __init__(self, tools: Tools, emit: Emit, app: StageApp) -> None:
        self._tools = tools
        self._emit = emit
        self._app = app
        self._judges: dict[str, Judge] = {}
        self._overheard: dict[str, int] = {}
        self._catalog = tools.loaded.catalog
        app.on_assigned = self._assigned

    async def handle(self, batch: Batch) -> None:
        """In order, each acked when its effects are."""
        for record in batch.records:
            signal = decode(Signal, record.value)
            if isinstance(signal, Undecodable):
                await self._emit.dead_letter("health", record, signal.reason, signal.detail)
            else:
                await self._heard(signal)
            self._app.ack(record.topic, record.partition, record.offset)

    async def watch(self) -> None:
        """What time and the catalogue do: rests end, ramps go on, refused endpoints get another chance."""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._tools.now_ms()
            if self._tools.loaded.catalog is not self._catalog:
                await self._catalog_changed(now)
            for judge in list(self._judges.values()):
                await self._do(judge, judge.tick(now))

    def overheard(self, record: Any) -> None:
        """A record of `breakers`, read without a group: an owner that was fenced late may still write.

        Its epoch is known already: then the word in force is said again, since compaction keeps the last record. Or it
        is higher: then every reader goes by it, and so does the judge.
        """
        breaker = decode(Breaker, record.value)
        if isinstance(breaker, Undecodable):
            return
        judge, highest = self._judges.get(breaker.endpoint), self._overheard.get(breaker.endpoint, 0)
        self._overheard[breaker.endpoint] = max(highest, breaker.epoch)
        if judge is None:
            return
        if breaker.epoch > judge.breaker.epoch:
            self._judges[breaker.endpoint] = Judge(breaker, self._catalog.breaker)
        elif breaker.epoch <= highest and breaker.epoch < judge.breaker.epoch:
            self._app.spawn(self._emit.breaker(judge.breaker))

    async def _assigned(self, partitions: dict[tuple[str, int], Assigned]) -> None:
        if not partitions:
            self._judges.clear()
            return
        async for record in self._tools.scanner.read(self._tools.topic(t.BREAKERS.name), 0):
            breaker = decode(Breaker, record.value)
            if isinstance(breaker, Undecodable):
                continue
            known = self._judges.get(breaker.endpoint)
            if known is None or breaker.epoch > known.breaker.epoch:
                self._judges[breaker.endpoint] = Judge(breaker, self._catalog.breaker)

    async def _heard(self, signal: Signal) -> None:
        if signal.endpoint not in self._judges and signal.endpoint not in _endpoints(self._catalog):
            return  # of a catalogue that is gone, or a typing mistake of an operator
        judge = self._judge(signal.endpoint)
        await self._do(judge, judge.signal(signal, self._tools.now_ms()))

    def _judge(self, endpoint: str) -> Judge:
        if endpoint not in self._judges:
            self._judges[endpoint] = Judge(Breaker(endpoint), self._catalog.breaker)
        return self._judges[endpoint]

    async def _do(self, judge: Judge, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Publish(breaker=breaker):
                    await self._publish(breaker)
                case Probe():
                    await self._probe(effect)
        published = [effect.breaker for effect in effects if isinstance(effect, Publish)]
        if published:
            await self._tell_others(published[-1])

    async def _publish(self, breaker: Breaker) -> None:
        await self._emit.breaker(breaker)
        self._tools.metrics.set("breaker_state", BREAKER_STATES[breaker.state], endpoint=breaker.endpoint)
        log.info(
            "breaker",
            extra={
                "endpoint": breaker.endpoint,
                "state": breaker.state,
                "cause": breaker.cause,
                "epoch": breaker.epoch,
            },
        )

    async def _tell_others(self, breaker: Breaker) -> None:
        """A credential belongs to all endpoints of a provider: refused at one it is out at all, and comes back at all."""
        kind = _credential_kind(breaker)
        if kind is None and breaker.cause != "probe_ok":
            return
        now = self._tools.now_ms()
        for judge in self._others(breaker.endpoint):
            effects = judge.catalog_changed(now) if kind is None else judge.refused(kind, now)
            for effect in effects:
                await (self._publish(effect.breaker) if isinstance(effect, Publish) else self._probe(effect))

    def _others(self, endpoint: str) -> list[Judge]:
        """Of the same provider, those that have not been called yet too."""
        known = sorted({*self._judges, *_endpoints(self._catalog)} - {endpoint})
        return [self._judge(other) for other in known if _provider(other) == _provider(endpoint)]

    async def _probe(self, probe: Probe) -> None:
        model = _endpoints(self._catalog).get(probe.endpoint)
        if model is not None:
            await self._emit.call(probe_call(probe, model, self._catalog, self._tools.now_ms()))

    async def _catalog_changed(self, now: int) -> None:
        self._catalog = self._tools.loaded.catalog
        for judge in list(self._judges.values()):
            await self._do(judge, judge.catalog_changed(now, self._catalog.breaker))


def _endpoints(catalog: Catalog) -> dict[str, str]:
    """Endpoint -> a model there."""
    return {catalog.endpoint_of(name): name for name in catalog.models}


def _provider(endpoint: str) -> str:
    return endpoint.partition("/")[0]


def _credential_kind(breaker: Breaker) -> ErrorKind | None:
    """The kind by which a credential went out with this record; None if none did."""
    if breaker.cause != "refused" or breaker.last_error is None:
        return None
    kind = ErrorKind(breaker.last_error)
    return kind if ERROR_KINDS[kind].takes_credential_out else None
