"""The open pairs of one experiment: what happens to them is told here, and what they ask for is done."""

import asyncio
from collections.abc import Iterator
from typing import Any

from pipeline.agents.mirror_calls import MirrorCalls
from pipeline.agents.mirror_log import MirrorLog
from pipeline.core.shadowing import Forward, Pair, Recover, Step, Write
from pipeline.core.shadowing.leg import LegState
from pipeline.emit import Emit
from pipeline.tools import Tools
from schemas.events import Attempt, Response, ShadowComparison

__all__ = ["MirrorPairs"]

LEAVE_S = 3.0

Id = tuple[str, str]
Place = tuple[int, int]


class MirrorPairs:
    """By shadow request id. `done`: (tenant, request id) of those whose requests come again after a rewind.

    `places` are those of their requests in the log; after a rewind a pair has none until its request comes again.
    """

    def __init__(self, tools: Tools, emit: Emit, reading: MirrorLog, calls: MirrorCalls) -> None:
        self._tools, self._emit, self._log, self._calls = tools, emit, reading, calls
        self._pairs: dict[str, Pair] = {}
        self._by_request: dict[Id, Pair] = {}
        self._places: dict[str, Place] = {}
        self._unfolded: dict[str, int] = {}
        self._at_rest = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing: set[asyncio.Task[None]] = set()
        self.done: set[Id] = set()
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, id: str) -> bool:
        return id in self._pairs

    @property
    def held_bytes(self) -> int:
        """Of the bodies of their requests."""
        return sum(len(pair.request.body or b"") for pair in self._pairs.values())

    @property
    def coming(self) -> int:
        """Comparisons that are not in the budget's figures yet, if all of them become pairs."""
        return len(self._unfolded.keys() | self._pairs.keys())

    @property
    def known_until_ms(self) -> int:
        """Comparisons that were written before then are in the budget's figures."""
        return min(self._unfolded.values(), default=self._tools.now_ms())

    @property
    def is_under_way(self) -> bool:
        """A call may be at a provider, or a comparison on its way to the log."""
        return bool(self._tasks or self._writing) or any(pair.is_under_way for pair in self._pairs.values())

    def of(self, request: Id) -> Pair | None:
        return self._by_request.get(request)

    def open(self, pair: Pair, place: Place) -> None:
        id = pair.plan.shadow_request_id
        self._pairs[id] = self._by_request[pair.request.tenant, pair.request.request_id] = pair
        self._places[id] = place

    def came_again(self, id: str, place: Place) -> None:
        """The request of an open pair, after a rewind."""
        self._places[id] = place

    def rewound(self) -> None:
        """All requests will come again."""
        self._places.clear()

    def lacks_outcome(self, partition: int) -> bool:
        return any(
            pair.primary is None and self._places.get(id, (-1, 0))[0] == partition for id, pair in self._pairs.items()
        )

    def heard(self, event: Attempt) -> bool:
        """An event of a call; False if it is of none that is open here."""
        if (pair := self._pairs.get(event.request_id)) is None:
            return False
        self.act(pair, pair.heard(event, self._tools.now_ms()))
        self._at_rest.set()
        return True

    def answered(self, answer: Response) -> bool:
        if (pair := self._pairs.get(answer.request_id)) is None:
            return False
        self.act(pair, pair.answered(answer, self._tools.now_ms()))
        return True

    def folded(self, comparison: ShadowComparison) -> None:
        """It stands in the log."""
        self._unfolded.pop(comparison.shadow_request_id or "", None)

    def tick(self) -> None:
        now_ms = self._tools.now_ms()
        for id, pair in list(self._pairs.items()):
            if pair.primary is None and id in self._places:
                known_ms = self._log.outcomes_known_until_ms(self._places[id][0])
                self.act(pair, pair.never_came(now_ms, known_ms))
            else:
                self.act(pair, pair.step(now_ms))

    def act(self, pair: Pair, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Forward(leg=leg):
                    self._calls.want(pair, leg)
                case Recover(started=started):
                    partition = self._places.get(pair.plan.shadow_request_id, (0, 0))[0]
                    self._spawn(self._calls.recover(pair, started, partition))
                case Write(comparison=comparison):
                    self._spawn(self._end(pair, comparison))
        self._calls.note(pair)

    async def write(self, comparison: ShadowComparison, key: str) -> None:
        """Returns when the broker has it. It is on its way also if nobody waits any more."""
        self._unfolded[comparison.shadow_request_id or ""] = comparison.at
        writing = asyncio.get_running_loop().create_task(self._emit.comparison(comparison, key))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.shield(writing)
        self._tools.metrics.count(
            "shadow_comparisons_total", experiment=comparison.experiment, status=comparison.status
        )

    async def rest(self, timeout_s: float) -> bool:
        """Take back the calls that wait for a place; False if some still do after that time."""
        waiting = list(self._ordered())
        for pair in waiting:
            id, request = pair.plan.shadow_request_id, pair.request
            await self._emit.cancel(id, request.tenant, request.partition_key, self._tools.now_ms())
        try:
            async with asyncio.timeout(timeout_s):
                while any(self._ordered()):
                    self._at_rest.clear()
                    await self._at_rest.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Whoever goes on finds in the log what was written here: it is waited for, unless the broker is away."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.written()

    async def written(self) -> None:
        """Returns when everything that is on its way is in the log, or after a moment."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=LEAVE_S)

    def _ordered(self) -> Iterator[Pair]:
        for pair in self._pairs.values():
            if any(leg.state is LegState.ORDERED for leg in pair.legs):
                yield pair

    async def _end(self, pair: Pair, comparison: ShadowComparison) -> None:
        """Its comparison, then its place in the log."""
        id, key = pair.plan.shadow_request_id, (pair.request.tenant, pair.request.request_id)
        await self.write(comparison, pair.request.partition_key)
        place = self._places.pop(id, None)
        del self._pairs[id]
        del self._by_request[key]
        if place is None:
            self.done.add(key)
        else:
            self._log.ack(*place)

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            self.failed.set_result(error)
