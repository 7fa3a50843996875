"""The calls of one experiment: which wait, and which are on their way through the bulk lane.

What stands in the lane can neither be reordered nor taken back, so what would only wait there waits here.
"""

import asyncio
from collections import OrderedDict

import orjson

from pipeline.agents.lost import LostCalls
from pipeline.core.classify import count_input_tokens
from pipeline.core.comparing import JUDGE_OUTPUT_TOKENS, judge_body, said_in
from pipeline.core.shadowing import Leg, Pair
from pipeline.core.shadowing.calls import JUDGE, judge_call, shadow_call
from pipeline.core.shadowing.leg import LegState
from pipeline.emit import Emit
from pipeline.tools import Tools
from schemas.catalog import Catalog
from schemas.events import Attempt, Call

__all__ = ["MirrorCalls"]

_ON_THE_WAY = 4
"""Calls for each place in the bulk lane: most of a call's time the records of it wait for others, to travel together."""


class MirrorCalls:
    """While it is not open no call is made. `under_way`: attempt id -> model, of all experiments together."""

    def __init__(self, tools: Tools, emit: Emit, experiment: str, lost: LostCalls, under_way: dict[str, str]) -> None:
        self.is_open = False
        self._tools, self._emit, self._experiment, self._lost = tools, emit, experiment, lost
        self._waiting: OrderedDict[str, tuple[Pair, Leg]] = OrderedDict()
        self._under_way, self._mine = under_way, dict[tuple[str, int], str]()
        self._changed = asyncio.Event()

    def open(self) -> None:
        self.is_open = True
        self._changed.set()

    def close(self) -> None:
        """Those that wait are forgotten: pairs ask again."""
        self.is_open = False
        self._waiting.clear()

    def want(self, pair: Pair, leg: Leg) -> None:
        self._waiting.setdefault(leg.attempt_id, (pair, leg))

    def note(self, pair: Pair) -> None:
        """Something happened to its legs, or time has passed: places may be free."""
        for leg in pair.legs:
            if leg.is_under_way:
                self._take(leg)
            else:
                self._leave((leg.request_id, leg.place))
        self._changed.set()

    def leave(self) -> None:
        """What it has under way is somebody else's to wait for."""
        for leg in tuple(self._mine):
            self._leave(leg)

    async def run(self) -> None:
        """For ever."""
        while True:
            self._changed.clear()
            full, calls = set[str](), []
            for attempt_id, (pair, leg) in list(self._waiting.items()):
                if leg.state is not LegState.WAITING or leg.attempt_id != attempt_id:
                    self._waiting.pop(attempt_id, None)
                elif not self.is_open or leg.model in full:
                    continue
                elif self._has_place(leg.model):
                    self._waiting.pop(attempt_id, None)
                    calls.append(self._order(pair, leg))
                else:
                    full.add(leg.model)
            await asyncio.gather(*(self._emit.call(call) for call in calls))
            await self._changed.wait()

    async def recover(self, pair: Pair, started: Attempt, partition: int) -> None:
        """Its worker is dead: what it had written counts; else the books are closed with an estimate."""
        request = pair.request
        key, sent = request.partition_key, request.features.input_tokens
        found = await self._lost.find(started, key, partition, input_tokens=sent, streams=False)
        if found.outcome is None:
            await self._lost.give_up(started, key, found, input_tokens=sent)

    def _has_place(self, model: str) -> bool:
        """A model that a reload has just removed has none; its experiment is closed in a moment."""
        catalog = self._tools.loaded.catalog
        if model not in catalog.models:
            return False
        provider = catalog.models[model].provider
        under_way = [catalog.models[other] for other in self._under_way.values() if other in catalog.models]
        taken = sum(1 for other in under_way if other.provider == provider)
        return taken < _ON_THE_WAY * catalog.places(provider, "bulk")

    def _order(self, pair: Pair, leg: Leg) -> Call:
        """Counted before it is sent: its first event may be heard before the broker's ack is."""
        call = self._call(pair, leg)
        leg.forwarded(call.deadline_at)
        self._take(leg)
        return call

    def _take(self, leg: Leg) -> None:
        """By its leg: what was taken back goes on as another attempt."""
        self._under_way[leg.attempt_id] = leg.model
        self._mine[leg.request_id, leg.place] = leg.attempt_id

    def _leave(self, leg: tuple[str, int]) -> None:
        if (attempt_id := self._mine.pop(leg, None)) is not None:
            self._under_way.pop(attempt_id, None)

    def _call(self, pair: Pair, leg: Leg) -> Call:
        catalog, now_ms = self._tools.loaded.catalog, self._tools.now_ms()
        if leg.role != JUDGE:
            return shadow_call(self._experiment, pair.request, pair.plan, leg, catalog, now_ms)
        body = _judge_body(pair, leg, catalog)
        return judge_call(
            self._experiment, pair.request, pair.plan, leg, catalog, now_ms,
            body=body, max_tokens=JUDGE_OUTPUT_TOKENS, input_tokens=count_input_tokens(orjson.loads(body)),
        )  # fmt: skip


def _judge_body(pair: Pair, leg: Leg, catalog: Catalog) -> bytes:
    """The primary's answer first, then the shadow's first."""
    said = [said_in(answer.body) for answer in (pair.primary, pair.shadow.answer) if answer is not None]
    first, second = said if leg.place == 2 else reversed(said)
    return judge_body(pair.body or {}, first, second, has_schema=catalog.models[leg.model].flags.json_schema)
