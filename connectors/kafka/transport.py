"""Faust's Kafka transport, hardened (scheme `millrace://`), for faust-streaming 0.15.3.

What differs from Faust's own driver, and why:

1. Commits are exact: the lowest delivered but un-acked offset (Faust commits past a record in flight).
   https://github.com/faust-streaming/faust/issues/606
2. Whole batches: one event per fetched partition batch, its value is the list of records; acks come per offset.
3. Revoke: commit, hook, commit, and only then the books are dropped (Faust drops them first and re-executes finished work).
4. An assignment: positions are set one by one, books start anew, the hook runs, and only then records flow.
5. Faust's producer is idempotent; no fixed sleeps; a nap of 20 ms when every partition is back-pressured.

Everything here runs in the main loop, apart from `Thread`, which runs in the consumer's own.
"""

import asyncio
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any, cast

import aiokafka
from aiokafka.errors import IllegalStateError
from faust.tables.manager import TableManager
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from connectors.kafka.fetching import FETCH_BYTES
from connectors.kafka.window import Window

__all__ = ["SCHEME", "Consumer", "FastTables", "Hooks", "Producer", "Transport", "register"]

SCHEME = "millrace"
NAP_S = 0.02
TAKEOVER_S = 80.0
"""Below `broker_request_timeout` (90 s): when that one ends, Faust resumes the flow without the positions."""


class Hooks:
    """What the host wants to hear; an app carries it as `millrace_hooks`."""

    security: Mapping[str, Any]
    fetching: Mapping[str, Any]

    async def assigned(self, positions: dict[TP, tuple[int, int | None]]) -> None:
        """Partition -> (end offset, committed offset); the flow stands still meanwhile."""

    async def revoked(self, partitions: set[TP]) -> None:
        """Still the owner; what is acked in here is committed."""


class Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Runs aiokafka in a thread with a loop of its own."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        conf = self.app.conf
        self._assignor = self.app.assignor
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            **self.app.millrace_hooks.fetching,
            **self.app.millrace_hooks.security,
        )


class Consumer(driver.Consumer):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.windows: dict[TP, Window] = {}
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    # -- acks and commits

    def ack_offset(self, tp: TP, offset: int) -> bool:
        """Late acks (of a lost partition, or before its redelivery) find no open offset and do nothing."""
        window = self.windows.get(tp)
        return window is not None and window.ack(offset)

    def ack(self, message: Any) -> bool:
        """Faust's own ack of an event (skipped, cancelled, ended): it never speaks for the records inside."""
        message.acked = True
        self._unacked_messages.discard(message)
        return False

    def forget(self, event: Any) -> None:
        """The agent has taken the batch over; its records are acked one by one."""
        self._unacked_messages.discard(event.message)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in self.windows if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self.windows[tp].position()

    async def _commit_latest(self) -> None:
        """`commit()` alone may return on the back of an older commit that did not see the newest acks."""
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()

    # -- assignment

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.stop_flow()
        await self._commit_latest()
        self._active_partitions.difference_update(revoked)
        self._paused_partitions.difference_update(revoked)
        if not self.app.should_stop:  # else Faust closes the client under us; `on_stop` does the rest
            await self._on_partitions_revoked(revoked)
        await self._let_go(revoked)

    async def on_stop(self) -> None:
        # No flow between the last commit and the end; a static member keeps its partitions meanwhile.
        self.stop_flow()
        await self._let_go(set(self.windows))

    async def _let_go(self, revoked: set[TP]) -> None:
        try:
            if revoked:
                await self.app.millrace_hooks.revoked(set(revoked))
        except Exception as exc:
            await self.crash(exc)
        await self._commit_latest()
        for tp in revoked:
            for book in (self.windows, self._read_offset, self._committed_offset):
                book.pop(tp, None)

    async def perform_seek(self) -> None:
        """Called by Faust at the end of every rebalance, before the flow resumes; cancelled by the next rebalance."""
        try:
            await asyncio.wait_for(self._take_over(), TAKEOVER_S)
        except IllegalStateError:
            raise  # revoked again meanwhile: Faust waits for the next assignment
        except Exception as exc:
            await self.crash(exc)
            await asyncio.Event().wait()  # never let the flow resume without positions

    async def _take_over(self) -> None:
        committed = await self._committed()
        ends = {ensure_TP(tp): end for tp, end in (await self.highwaters(*committed)).items()}
        starts = {ensure_TP(tp): start for tp, start in (await self.earliest_offsets(*committed)).items()}
        positions = {tp: max(offset or 0, starts[tp]) for tp, offset in committed.items()}
        await self._seek_to(positions)
        self.windows = {tp: Window(position) for tp, position in positions.items()}
        self._committed_offset.update(committed)
        await self.app.millrace_hooks.assigned({tp: (ends[tp], committed[tp]) for tp in committed})

    async def _committed(self) -> dict[TP, int | None]:
        found = await self.seek_to_committed()
        return {ensure_TP(tp): offset if offset is not None and offset >= 0 else None for tp, offset in found.items()}

    async def _seek_to(self, positions: Mapping[TP, int]) -> None:
        await self._thread.call_thread(_seek, self._thread, dict(positions))

    # -- delivery

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock lines are false alarms with open windows; `StageApp.oldest_unacked_s` tells the truth."""

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:  # noqa: ASYNC109 - Faust's signature
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = self._get_active_partitions()
        if active:
            return await self._getmany(active_partitions=active, timeout=timeout), active
        await asyncio.sleep(NAP_S)
        return {}, active

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not self._ended(fetcher):
                generation = self.app.consumer_generation_id
                records, _ = await self._wait_next_records(1.0)
                if not records:
                    await asyncio.sleep(0)
                elif self._is_current(generation):
                    await self._hand_over(records, generation, fetcher)
                else:
                    await self._rewind(records)
        except (*self.consumer_stopped_errors, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    def _ended(self, fetcher: Any) -> bool:
        return bool(self._stopped.is_set() or fetcher._stopped.is_set())

    def _is_current(self, generation: int) -> bool:
        return bool(self.flow_active and self.app.consumer_generation_id == generation)

    async def _hand_over(self, records: Mapping[Any, list[Any]], generation: int, fetcher: Any) -> None:
        for tp, fetched in records.items():
            if self._ended(fetcher) or not self._is_current(generation):
                return  # the take-over sets every position anew
            window = self.windows.get(ensure_TP(tp))
            batch = [record for record in fetched if window is not None and record.offset >= window.next_offset]
            if window is None or not batch:
                continue
            # Booked before the hand-over: it may block across a rebalance, and then these are new books.
            window.deliver((record.offset for record in batch), monotonic())
            message = self._to_message(ensure_TP(tp), batch[-1])
            message.value = batch
            await self.callback(message)

    async def _rewind(self, records: Mapping[Any, list[Any]]) -> None:
        """Fetched across a rebalance: maybe from before the new positions, maybe after. The books know where to go on."""
        known = {ensure_TP(tp) for tp in records} & self.windows.keys()
        await self._seek_to({tp: self.windows[tp].next_offset for tp in known})


async def _seek(thread: Any, positions: dict[TP, int]) -> None:
    """In the consumer's thread. A partition that is gone again needs no position."""
    consumer = thread._ensure_consumer()
    for tp in positions.keys() & {ensure_TP(tp) for tp in consumer.assignment()}:
        consumer.seek(driver.ensure_aiokafka_TP(tp), positions[tp])


class Producer(driver.Producer):  # type: ignore[misc]
    """Faust's own (changelogs): idempotent, which Faust offers only with transactions."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"enable_idempotence": True, "acks": "all"}

    def _settings_auth(self) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], self.app.millrace_hooks.security)


class FastTables(TableManager):  # type: ignore[misc]
    """Tables are declared before the start, so Faust's fixed wait of one second buys nothing."""

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class Transport(driver.Transport):  # type: ignore[misc]
    Consumer = Consumer
    Producer = Producer


def register() -> str:
    """Makes the scheme known to Faust; returns it."""
    TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"
    return SCHEME
