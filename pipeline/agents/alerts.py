"""alerts: the catalogue's rules over what the platform does -> `alerts.v1` -> webhooks.

1. Whoever owns the one partition of `alerts.v1` judges; other instances stand by.
2. Taking over, it reads that topic: what fires goes on firing, under the same id. Then it looks at the last minute.
3. Every second the rules are asked; what began or ended is written, and is in force once the broker has acked it.
4. The same partition, read by the group, is the outbox: webhooks get what they have not taken yet, beside the judging. The
   group's commit says how far they are, so a post is repeated only if the stage died while it was under way.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import OffsetAndMetadata, TopicPartition

from connectors.kafka.member import join
from connectors.kafka.offsets import Offsets
from connectors.webhooks import Poster
from pipeline.agents.observing import Observer
from pipeline.agents.posting import Posting
from pipeline.core.alerting import Outbox, Rules
from pipeline.core.alerting.outbox import GIVE_UP_MS
from pipeline.emit import Emit
from pipeline.tools import Tools
from schemas import topics as t
from schemas.codec import decode
from schemas.events import Alert

__all__ = ["Alerts"]

GROUP = "millrace-alerts"
TICK_S = 1.0
REACHABLE_S = 1.0

log = logging.getLogger(__name__)


class Alerts:
    """`failed` resolves if it must not go on."""

    def __init__(self, tools: Tools, emit: Emit, *, security: Mapping[str, Any] | None = None) -> None:
        self._tools, self._emit, self._security = tools, emit, security or {}
        self._topic = tools.topic(t.ALERTS.name)
        self._offsets = Offsets(tools.bootstrap, security=security)
        self._poster = Poster()
        self._rules = Rules()
        self._posting: Posting | None = None
        self._shown: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._duty: asyncio.Task[None] | None = None
        self._consumer: Any = None
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        await self._offsets.start()
        self._consumer = join(
            self._tools.bootstrap,
            GROUP,
            f"alerts-{self._tools.instance}",
            [self._topic],
            self,
            options=self._security,
        )
        await self._consumer.start()
        self._spawn(self._read())

    async def stop(self) -> None:
        await self.revoked()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.stop()
        await self._offsets.stop()
        await self._poster.close()

    def is_ready(self) -> bool:
        return self._posting is not None

    def show(self) -> None:
        """Set the gauge, also of rules that have gone."""
        names = [alert.name for alert in self._rules.firing]
        self._shown.update(names, (rule.name for rule in self._tools.loaded.catalog.alerts))
        for name in self._shown:
            self._tools.metrics.set("alerts_firing", names.count(name), name=name)

    async def assigned(self, places: set[TopicPartition]) -> None:
        try:
            for place in places:
                position, memo = await self._position(place)
                self._consumer.seek(place, position)
                commit = functools.partial(self._commit, place)
                self._posting = Posting(self._tools, self._poster, Outbox(position, memo), commit)
                self._duty = self._spawn(self._serve(place, self._posting))
        except Exception as error:  # aiokafka would log it and go on without us
            self._fail(error)

    async def revoked(self) -> None:
        posting, self._posting, duty, self._duty = self._posting, None, self._duty, None
        if posting is not None:
            await posting.leave()
        if duty is not None:
            duty.cancel()
            await asyncio.gather(duty, return_exceptions=True)
        self._rules = Rules()

    async def _position(self, place: TopicPartition) -> tuple[int, str]:
        """Where the outbox goes on. Without a commit only what nobody would have given up by now is posted."""
        commit = await self._offsets.committed(GROUP, place)
        if commit is not None:
            return commit
        found = (await self._consumer.offsets_for_times({place: self._tools.now_ms() - GIVE_UP_MS}))[place]
        return (await self._consumer.end_offsets([place]))[place] if found is None else found.offset, ""

    async def _commit(self, place: TopicPartition, position: int, memo: str) -> None:
        await self._consumer.commit({place: OffsetAndMetadata(position, memo)})

    async def _serve(self, place: TopicPartition, posting: Posting) -> None:
        """As long as the partition is ours."""
        self._rules = Rules([alert async for alert in self._history(place)])
        observer = Observer(self._tools, self._offsets, self._terms, self._rules.firing, security=self._security)
        try:
            await observer.start()
            await asyncio.gather(observer.watch(), self._judge(observer), posting.run())
        finally:
            await observer.stop()

    async def _history(self, place: TopicPartition) -> AsyncIterator[Alert]:
        async for record in self._tools.scanner.read(place.topic, place.partition):
            if isinstance(alert := decode(Alert, record.value), Alert):
                yield alert

    def _terms(self) -> set[str]:
        return {rule.condition.term for rule in self._tools.loaded.catalog.alerts}

    async def _judge(self, observer: Observer) -> None:
        while True:
            # With the broker away nothing comes in, and nothing would seem to be wrong.
            if await self._tools.producers.is_reachable(REACHABLE_S):
                await self._step(observer)
            await asyncio.sleep(TICK_S)

    async def _step(self, observer: Observer) -> None:
        catalog = self._tools.loaded.catalog
        readings = observer.readings()
        for alert in self._rules.step(catalog.alerts, readings, self._tools.now_ms(), catalog=catalog.hash):
            await self._emit.alert(alert)
            log.warning("alert", extra={"alert": alert.name, "state": alert.state, **_subject(alert)})

    async def _read(self) -> None:
        async for record in self._consumer:
            if self._posting is not None and isinstance(alert := decode(Alert, record.value), Alert):
                self._posting.add(record.offset, alert)

    def _spawn(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_result(error)


def _subject(alert: Alert) -> dict[str, Any]:
    return {"value": alert.value, "labels": ",".join(f"{key}={value}" for key, value in sorted(alert.labels.items()))}
