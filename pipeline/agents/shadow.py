"""shadow: experiments. `enriched.v1` -> `calls.<provider>.bulk.v1` -> `shadow-comparisons.v1`; orders come on `shadows.v1`.

1. Whoever owns the one partition of `shadows.v1` runs all experiments; other instances stand by.
2. Taking over, it reads the orders and how far the experiments are (`shadow-progress.v1`); the catalogue says the rest.
3. Each experiment that runs has a `Mirror` with its own place in the log. One tail tells all of them what becomes of calls.
4. An order is carried out, then said to be: that is what `millrace shadow` waits for.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiokafka import TopicPartition

from connectors.kafka.member import join
from connectors.kafka.offsets import Offsets
from connectors.kafka.scan import Scanner
from connectors.kafka.tail import Tail
from pipeline.agents.lost import LostCalls
from pipeline.agents.mirror import Mirror
from pipeline.agents.mirror_log import GROUP, MirrorLog, may_be_open
from pipeline.agents.mirror_past import is_bulk, judged_before
from pipeline.agents.recovery import Recovery
from pipeline.core.breaker import LocalBreaker
from pipeline.core.decide import Situation
from pipeline.core.shadowing import Budget, ended_by
from pipeline.core.shadowing.budget import window_start
from pipeline.emit import Emit
from pipeline.tools import Tools
from schemas import headers as h
from schemas import topics as t
from schemas.catalog.policies import Shadow
from schemas.codec import decode
from schemas.events import Attempt, Breaker, Response, ShadowComparison, ShadowOrder, ShadowProgress

__all__ = ["ShadowStage"]

TICK_S = 1.0
RUNNING, STOPPED, FINISHED = "running", "stopped", "finished"

log = logging.getLogger(__name__)


class ShadowStage:
    """`failed` resolves if it must not go on."""

    def __init__(self, tools: Tools, emit: Emit, *, security: Mapping[str, Any] | None = None) -> None:
        self._tools, self._emit, self._security = tools, emit, security or {}
        self._topic = tools.topic(t.SHADOWS.name)
        self._offsets = Offsets(tools.bootstrap, security=security)
        self._scanner = Scanner(tools.bootstrap, security=security)
        self._breakers = LocalBreaker(lambda: tools.loaded.catalog.breaker)
        self._lost = LostCalls(tools, emit, Recovery(tools))
        self._orders: dict[str, ShadowOrder] = {}
        self._progress: dict[str, ShadowProgress] = {}
        self._mirrors: dict[str, Mirror] = {}
        self._under_way: dict[str, str] = {}
        self._ordered = asyncio.Event()
        self._assigned_once = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._duty: asyncio.Task[None] | None = None
        self._consumer: Any = None
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Returns once experiments run here, or another instance is known to run them."""
        await self._offsets.start()
        await self._scanner.start()
        self._consumer = join(
            self._tools.bootstrap,
            GROUP,
            f"shadow-{self._tools.instance}",
            [self._topic],
            self,
            options=self._security,
        )
        await self._consumer.start()
        self._spawn(self._read())
        waiting: asyncio.Future[Any] = asyncio.ensure_future(self._assigned_once.wait())
        ends: set[asyncio.Future[Any]] = {waiting, self.failed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.failed.done():
            raise self.failed.result()

    async def stop(self) -> None:
        await self.revoked()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.stop()
        await self._scanner.stop()
        await self._offsets.stop()

    def is_ready(self) -> bool:
        return self._assigned_once.is_set()

    def heard_breaker(self, record: Any) -> None:
        """A record of `breakers`, which is followed whether experiments run here or not."""
        if isinstance(breaker := decode(Breaker, record.value), Breaker):
            self._breakers.heard(breaker)

    # --- ownership --------------------------------------------------------------------------------------------

    async def assigned(self, places: set[TopicPartition]) -> None:
        if not places:
            self._assigned_once.set()
        for place in places:
            self._duty = self._spawn(self._serve(place))

    async def revoked(self) -> None:
        duty, self._duty = self._duty, None
        if duty is not None:
            duty.cancel()
            await asyncio.gather(duty, return_exceptions=True)

    async def _serve(self, place: TopicPartition) -> None:
        """As long as the partition is ours."""
        names = [self._tools.topic(topic.name) for topic in (t.ATTEMPTS, t.RESPONSES, t.SHADOW_COMPARISONS)]
        tail = Tail(self._tools.bootstrap, names, self._heard, is_patient=True, security=self._security)
        await tail.start()
        try:
            self._progress = {each.experiment: each async for each in self._all(t.SHADOW_PROGRESS, ShadowProgress)}
            async for order in self._all(t.SHADOWS, ShadowOrder):
                self._take(order)
            following = self._spawn(tail.wait())
            await self._carry_out(at_first=True)
            self._assigned_once.set()
            while not following.done():
                self._ordered.clear()
                await self._carry_out()
                await self._say_progress()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ordered.wait(), TICK_S)
        finally:
            mirrors, self._mirrors = self._mirrors, {}
            await asyncio.gather(*(mirror.close() for mirror in mirrors.values()), return_exceptions=True)
            await tail.stop()

    async def _all(self, topic: t.Topic, event: type[Any]) -> Any:
        async for record in self._scanner.read(self._tools.topic(topic.name), 0):
            if isinstance(found := decode(event, record.value), event):
                yield found

    async def _read(self) -> None:
        async for record in self._consumer:
            if isinstance(order := decode(ShadowOrder, record.value), ShadowOrder):
                self._take(order)
                self._ordered.set()

    def _take(self, order: ShadowOrder) -> None:
        known = self._orders.get(order.experiment)
        if known is None or order.run >= known.run:
            self._orders[order.experiment] = order

    # --- orders -----------------------------------------------------------------------------------------------

    async def _carry_out(self, *, at_first: bool = False) -> None:
        """Make everything as orders and catalogue want it."""
        rows = {row.name: row for row in self._tools.loaded.catalog.shadows}
        for name, mirror in list(self._mirrors.items()):
            if rows.get(name) != mirror.row:  # gone, or another experiment under its name
                await self._close(name)
        for row in rows.values():
            await self._carry_out_one(row, at_first=at_first)

    async def _carry_out_one(self, row: Shadow, *, at_first: bool) -> None:
        order, mirror = self._orders.get(row.name), self._mirrors.get(row.name)
        known = self._progress.get(row.name) or ShadowProgress(row.name, 0, "", 0)
        has_enough = ended_by(row, self._so_far(row, known)) is not None
        is_wanted = (order.is_running if order is not None else row.enabled) and not has_enough
        if mirror is None and (is_wanted or (at_first and await may_be_open(self._tools, row.name, self._offsets))):
            mirror = await self._open(row, known)
        is_new = order is not None and order.run > known.run
        if mirror is not None and is_wanted and is_new and order is not None and order.from_at is not None:
            await mirror.rewind(order.from_at)
        if mirror is not None and is_wanted and not mirror.is_resumed:
            mirror.resume()
        if mirror is not None and not is_wanted and mirror.is_resumed:
            await mirror.rest()
        state = RUNNING if is_wanted else FINISHED if has_enough else STOPPED
        if is_new or state != known.state:
            await self._say(row, state, known, run=order.run if order is not None else 0)
            log.info("experiment", extra={"experiment": row.name, "state": state})
        if mirror is not None and not is_wanted and not mirror.is_under_way:
            await self._close(row.name)

    async def _open(self, row: Shadow, known: ShadowProgress) -> Mirror:
        """It goes on where it was left, and takes nothing new yet."""
        if known.judged is None:
            known = replace(known, judged=await judged_before(self._tools, self._scanner, row.name, known.folded))
        budget = Budget.resumed(row.budget.limit_nano_usd, row.budget.per, known)
        mirror = Mirror(
            self._tools, self._emit, row, budget,
            reading=MirrorLog(self._tools, row.name, self._offsets, security=self._security),
            scanner=self._scanner, lost=self._lost, situation=self._situation, under_way=self._under_way,
        )  # fmt: skip
        self._mirrors[row.name] = mirror  # before it reads what was: from then on it hears what comes
        mirror.failed.add_done_callback(lambda failed: self._fail(failed.result()))
        since_ms = known.at or window_start(row.budget.per, self._tools.now_ms()) or None
        await mirror.start(since_ms)
        return mirror

    async def _close(self, name: str) -> None:
        await self._say_progress()
        await self._mirrors.pop(name).close()

    def _situation(self) -> Situation:
        """Breakers and providers; what is under way is the lane's matter."""
        catalog, now_ms = self._tools.loaded.catalog, self._tools.now_ms()
        views = {
            endpoint: self._breakers.view(endpoint, 0, now_ms) for endpoint in map(catalog.endpoint_of, catalog.models)
        }
        return Situation({}, self._tools.loaded.off_providers, now_ms, views)

    # --- what is heard and said -------------------------------------------------------------------------------

    def _heard(self, record: Any) -> None:
        """A record of the tail: most are nobody's here, by their headers."""
        if record.topic == self._tools.topic(t.SHADOW_COMPARISONS.name):
            mirror = self._mirrors.get(h.text(record.headers, h.EXPERIMENT) or "")
            if mirror is not None and isinstance(found := decode(ShadowComparison, record.value), ShadowComparison):
                mirror.compared(found, record.partition, record.offset)
        elif is_bulk(record):
            is_event = record.topic == self._tools.topic(t.ATTEMPTS.name)
            said = decode(Attempt if is_event else Response, record.value)
            for mirror in self._mirrors.values():
                if isinstance(said, Attempt):
                    mirror.heard(said)
                elif isinstance(said, Response):
                    mirror.answered(said)

    async def _say_progress(self) -> None:
        for mirror in self._mirrors.values():
            known = self._progress.get(mirror.row.name)
            if known is not None and known.folded != mirror.budget.folded:
                await self._say(mirror.row, known.state, known, run=known.run)

    async def _say(self, row: Shadow, state: str, known: ShadowProgress, *, run: int) -> None:
        mirror = self._mirrors.get(row.name)
        budget = self._so_far(row, known)
        said = ShadowProgress(
            experiment=row.name,
            run=run,
            state=state,
            at=mirror.known_until_ms if mirror is not None else known.at,
            pairs=budget.pairs,
            skipped=dict(budget.skipped),
            spent_nano_usd=budget.spent_nano_usd,
            window_at=budget.window_at,
            folded=dict(budget.folded),
            accepted_at=max(known.accepted_at, mirror.accepted_at if mirror is not None else 0),
            judged=dict(budget.judged) if mirror is not None else known.judged,
            ended_by=ended_by(row, budget) if state == FINISHED else None,
        )
        self._progress[row.name] = said
        await self._emit.shadow_progress(said)

    def _so_far(self, row: Shadow, known: ShadowProgress) -> Budget:
        mirror = self._mirrors.get(row.name)
        return mirror.budget if mirror is not None else Budget.resumed(0, row.budget.per, known)

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
