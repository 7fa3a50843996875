"""What a dead worker had written: its answer on `responses`, or pieces of it on `deltas`.

A kill loses many calls at once, and reading is what their takeover costs. So everybody who asks while a read of the same
partition runs shares the next one. Not the running one: its end may lie before what the asker has to see.
"""

import asyncio
from collections import defaultdict
from typing import Any

from connectors.kafka.partition import partition_of
from pipeline.agents.ownership import Id, id_of
from pipeline.tools import Tools
from schemas import headers as h
from schemas import topics as t
from schemas.events import Attempt, Ref

Found = dict[Id, Ref]
SLACK_MS = 1000
"""Clocks of worker and broker differ."""


class Recovery:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._asking: defaultdict[tuple[str, int], list[tuple[int, asyncio.Future[Found]]]] = defaultdict(list)
        self._reading: dict[tuple[str, int], asyncio.Task[None]] = {}

    async def answer(self, started: Attempt, partition: int) -> Ref | None:
        """The first record of the request on its partition of `responses` since the attempt started."""
        found = await self._read_since(self._tools.topic(t.RESPONSES.name), partition, started.started_at)
        return found.get((started.tenant, started.request_id))

    async def has_pieces(self, started: Attempt) -> bool:
        """Whether pieces of the answer went out to the caller."""
        topic = self._tools.topic(t.DELTAS.name)
        count = await self._tools.producers.partition_count(topic)
        found = await self._read_since(topic, partition_of(started.request_id.encode(), count), started.started_at)
        return (started.tenant, started.request_id) in found

    async def _read_since(self, topic: str, partition: int, since_ms: int) -> Found:
        place = (topic, partition)
        asked: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._asking[place].append((since_ms - SLACK_MS, asked))
        if place not in self._reading:
            self._reading[place] = asyncio.create_task(self._serve(place))
        return await asked

    async def _serve(self, place: tuple[str, int]) -> None:
        try:
            while asking := self._asking.pop(place, []):
                await self._serve_once(place, asking)
        finally:
            del self._reading[place]

    async def _serve_once(self, place: tuple[str, int], asking: "list[tuple[int, asyncio.Future[Found]]]") -> None:
        try:
            found = await self._read(place, min(since for since, _ in asking))
        except Exception as error:  # every asker fails as if it had read by itself
            for _, asked in asking:
                asked.set_exception(error)
        else:
            for _, asked in asking:
                asked.set_result(found)

    async def _read(self, place: tuple[str, int], since_ms: int) -> Found:
        found: Found = {}
        async for record in self._tools.scanner.read(*place, since_ms=since_ms):
            request = id_of(record)
            if request is not None and not _is_note(record):
                found.setdefault(request, Ref(record.topic, record.partition, record.offset))
        return found


def _is_note(record: Any) -> bool:
    return h.text(record.headers, h.KIND) == "note"
