"""A Faust app as every stage runs it: batches in, acks per offset, fail-stop, a ready signal.

1. `agent()` names the topics and their handler; `start()` joins the group.
2. At every rebalance `on_assigned` is awaited with the whole assignment before any of its records reaches a handler.
3. A handler gets whole batches in order; `ack()` closes one offset once its outputs are acked by the broker.
4. `on_revoked` is awaited before the last commit, while the partitions are still ours.
5. An exception of a handler, a hook or of Faust itself resolves `failed`; nothing is acked by it. The host exits non-zero.

Kept partitions are redelivered after a rebalance from the committed offset. Nothing here drains: redelivery is harmless.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import faust
from aiokafka import ConsumerRecord
from faust.types import TP

from connectors.kafka.fetching import PATIENT, PROMPT
from connectors.kafka.transport import FastTables, Hooks, register
from connectors.kafka.window import Window

__all__ = ["Assigned", "Batch", "StageApp"]

BATCH_RECORDS = 500
BUFFERED_BATCHES = 16
STOP_S = 15.0


@dataclass(slots=True)
class Batch:
    """What one fetch brought of one partition, in order."""

    topic: str
    partition: int
    records: list[ConsumerRecord]


@dataclass(slots=True, frozen=True)
class Assigned:
    """`end`: the next offset to be written when the partition was taken; `committed`: None in a fresh group."""

    end: int
    committed: int | None


Handle = Callable[[Batch], Awaitable[None]]


class StageApp:
    """One consumer group member. Several may live in one process and loop."""

    def __init__(
        self,
        name: str,
        *,
        bootstrap: str,
        slot: str,
        security: Mapping[str, Any] | None = None,
        group_prefix: str = "",
        is_patient: bool = False,
    ) -> None:
        self.name = name
        self.group = f"{group_prefix}millrace-{name}"
        self.ready = asyncio.Event()
        self.on_assigned: Callable[[dict[tuple[str, int], Assigned]], Awaitable[None]] | None = None
        self.on_revoked: Callable[[set[tuple[str, int]]], Awaitable[None]] | None = None
        self._bootstrap, self._slot = bootstrap, slot
        self._security, self._fetching = security or {}, PATIENT if is_patient else PROMPT
        self._agents: list[tuple[str, list[str], Handle]] = []
        self._app: Any = None
        self._failed: asyncio.Future[BaseException] | None = None
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def failed(self) -> "asyncio.Future[BaseException]":
        """Resolves to the reason when this app must not go on. Needs a running loop."""
        if self._failed is None:
            self._failed = asyncio.get_running_loop().create_future()
        return self._failed

    def agent(self, name: str, topics: Sequence[str], handle: Handle) -> None:
        """Before `start()`. Batches of one agent come one after the other, whatever their partition."""
        self._agents.append((name, list(topics), handle))

    def ack(self, topic: str, partition: int, offset: int) -> None:
        """From the loop. An offset outside the present window is ignored."""
        if self._consumer is not None:
            self._consumer.ack_offset(TP(topic, partition), offset)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside the handlers; an exception out of it is fail-stop, like one of a handler."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self.watch)

    def watch(self, task: "asyncio.Task[None]") -> None:
        """Done callback: a task that failed ends this app."""
        if not task.cancelled() and (exc := task.exception()) is not None:
            self._fail(exc)

    async def start(self) -> None:
        """Returns after the first assignment has been handled; raises what made that impossible."""
        loop, failed = asyncio.get_running_loop(), self.failed
        _quiet_libraries()
        self._app = _new_app(self, loop)
        for name, topics, handle in self._agents:
            self._declare(name, topics, handle)
        starting = loop.create_task(self._app.start())
        is_ready = loop.create_task(self.ready.wait())
        try:
            await asyncio.wait({starting, is_ready, failed}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({starting, failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_ready.cancel()
            if not starting.done():
                starting.cancel()
        if starting.done() and not starting.cancelled():
            starting.result()
        if failed.done():
            raise failed.result()
        await self.ready.wait()

    async def stop(self) -> None:
        """Commits what is acked and ends; a static member keeps its place in the group for one session."""
        self._stopping = True
        if self._app is not None:
            await asyncio.wait_for(self._app.stop(), STOP_S)

    def lag(self) -> dict[tuple[str, int], int]:
        """Records between the commit position and the end of the log, as far as the last fetch knew."""
        consumer = self._consumer
        if consumer is None:
            return {}
        owned = consumer.windows.keys() & consumer.assignment() if consumer.windows else ()
        return {(tp.topic, tp.partition): _lag(consumer.windows[tp], consumer.highwater(tp)) for tp in owned}

    def oldest_unacked_s(self) -> dict[str, float]:
        """By topic: age of the oldest open record since its (latest) delivery; 0 when nothing is open."""
        consumer, now = self._consumer, monotonic()
        ages: dict[str, float] = {}
        for tp, window in ({} if consumer is None else consumer.windows).items():
            since = window.oldest()
            ages[tp.topic] = max(ages.get(tp.topic, 0.0), now - since if since is not None else 0.0)
        return ages

    def is_assigned(self) -> bool:
        """Whether it owns partitions whose take-over is complete."""
        return bool(self.ready.is_set() and self._consumer is not None and self._consumer.windows)

    @property
    def _consumer(self) -> Any:
        return None if self._app is None else self._app._consumer

    def _declare(self, name: str, topics: list[str], handle: Handle) -> None:
        app = self._app

        async def run(stream: Any) -> None:
            async for event in stream.noack().events():
                try:
                    await handle(Batch(event.message.topic, event.message.partition, event.value))
                except Exception as exc:
                    self._fail(exc)
                    await asyncio.Event().wait()
                app.consumer.forget(event)

        run.__name__ = name
        topic = app.topic(*topics, schema=_Untouched(), internal=False)
        app.agent(topic, name=f"{self.name}.{name}", concurrency=1)(run)

    def _fail(self, reason: BaseException) -> None:
        if not self._stopping and not self.failed.done():
            self.failed.set_result(reason)


def _lag(window: Window, end: int | None) -> int:
    return max(0, (end or 0) - (window.position() or window.start))


class _Untouched(faust.Schema):  # type: ignore[misc]
    """Batches pass as they are; what is inside is decoded by the stage, which knows what to do with a broken record."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value


class _StageHooks(Hooks):
    def __init__(self, stage: StageApp) -> None:
        self._stage = stage
        self.security, self.fetching = stage._security, stage._fetching

    async def assigned(self, positions: dict[TP, tuple[int, int | None]]) -> None:
        if self._stage.on_assigned is not None:
            found = {(tp.topic, tp.partition): Assigned(*position) for tp, position in positions.items()}
            await self._stage.on_assigned(found)
        self._stage.ready.set()

    async def revoked(self, partitions: set[TP]) -> None:
        if self._stage.on_revoked is not None:
            await self._stage.on_revoked({(tp.topic, tp.partition) for tp in partitions})


class _App(faust.App):  # type: ignore[misc]
    millrace_hooks: Hooks
    millrace_fail: Callable[[BaseException], object]

    def _create_directories(self) -> None:
        """No tables on disk, so no folders in the current directory."""

    def _crash(self, reason: BaseException) -> None:
        super()._crash(reason)
        self.millrace_fail(reason)


def _new_app(stage: StageApp, loop: asyncio.AbstractEventLoop) -> _App:
    app = _App(stage.group, loop=loop, broker=f"{register()}://{stage._bootstrap}", **_settings(stage._slot))
    app.millrace_hooks = _StageHooks(stage)
    # Parts of Faust crash in the consumer's thread.
    app.millrace_fail = lambda reason: loop.call_soon_threadsafe(stage._fail, reason)

    async def without_partitions(*_: Any, **__: Any) -> None:
        # Faust asks for positions only where there are any.
        if not app.consumer.assignment():
            await app.millrace_hooks.assigned({})

    app.on_rebalance_complete.connect(without_partitions, weak=False)
    app.finalize()
    return app


def _settings(slot: str) -> dict[str, Any]:
    return {
        "processing_guarantee": "at_least_once",
        "consumer_group_instance_id": slot,
        "broker_session_timeout": 10,
        "broker_heartbeat_interval": 1,
        # A held JoinGroup runs under the request timeout, hence far above the session.
        "broker_request_timeout": 90,
        "broker_rebalance_timeout": 150,
        # A member that fetches nothing for this long leaves for ever: https://github.com/aio-libs/aiokafka/issues/1187
        "broker_max_poll_interval": 10_000_000,
        "broker_max_poll_records": BATCH_RECORDS,
        "broker_commit_interval": 0.5,
        "broker_commit_every": 1_000_000_000,
        "consumer_auto_offset_reset": "earliest",
        "stream_wait_empty": False,
        "stream_buffer_maxsize": BUFFERED_BATCHES,
        "producer_acks": -1,
        "producer_max_request_size": 11 * 1024 * 1024,
        "TableManager": FastTables,
        "store": "memory://",
        # Faust takes its own assignor, which puts equal partition numbers together, only with replicas.
        "table_standby_replicas": 1,
        "topic_replication_factor": 1,
        "topic_disable_leader": True,
        "topic_allow_declare": False,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
        "cython_optimizations": False,
    }


def _quiet_libraries() -> None:
    """Their debug calls cost a sixth of the CPU under a root logger at DEBUG; levels set by the host are respected."""
    for name in ("faust", "mode", "aiokafka"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
