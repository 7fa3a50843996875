"""What was written of a call: the answer on `responses`, pieces of it on `deltas`, its own events on `attempts`.

A kill loses many calls at once, and reading is what their takeover costs. So everybody who asks while a read of the same
partition runs shares the next one. Not the running one: its end may lie before what the asker has to see.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from connectors.kafka.partition import partition_of
from pipeline.agents.ownership import Id, id_of
from pipeline.tools import Tools
from schemas import headers as h
from schemas import topics as t
from schemas.codec import Undecodable, decode
from schemas.events import Attempt, Delta, Ref, Response

SLACK_MS = 1000
"""Clocks of worker and broker differ."""


@dataclass(slots=True, frozen=True)
class Asked:
    """Who asks for the records of one request since when."""

    request: Id
    since_ms: int
    found: "asyncio.Future[list[Any]]"


class Recovery:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._asking: defaultdict[tuple[str, int], list[Asked]] = defaultdict(list)
        self._reading: dict[tuple[str, int], asyncio.Task[None]] = {}

    async def answer(self, started: Attempt, partition: int) -> tuple[Ref, Response] | None:
        """The first record of the request on its partition of `responses` since the attempt started."""
        request = (started.tenant, started.request_id)
        for record in await self._read_since(
            self._tools.topic(t.RESPONSES.name), partition, request, started.started_at
        ):
            response = decode(Response, record.value)
            if isinstance(response, Response):
                return Ref(record.topic, record.partition, record.offset), response
        return None

    async def events(self, returned: Attempt, partition: int) -> list[Attempt]:
        """All events of the request's attempts since the one that came back was ordered."""
        request = (returned.tenant, returned.request_id)
        found = await self._read_since(self._tools.topic(t.ATTEMPTS.name), partition, request, returned.started_at)
        events = (decode(Attempt, record.value) for record in found)
        return [event for event in events if isinstance(event, Attempt)]

    async def pieces(self, tenant: str, request_id: str, since_ms: int) -> list[Delta] | None:
        """The pieces that went out since then, of all attempts, as they came; None if one cannot be read."""
        topic = self._tools.topic(t.DELTAS.name)
        partition = partition_of(request_id.encode(), await self._tools.producers.partition_count(topic))
        found = await self._read_since(topic, partition, (tenant, request_id), since_ms)
        pieces = [decode(Delta, record.value) for record in found if not _is_note(record)]
        known = [piece for piece in pieces if not isinstance(piece, Undecodable)]
        return known if len(known) == len(pieces) else None

    async def _read_since(self, topic: str, partition: int, request: Id, since_ms: int) -> list[Any]:
        place = (topic, partition)
        asked = Asked(request, since_ms - SLACK_MS, asyncio.get_running_loop().create_future())
        self._asking[place].append(asked)
        if place not in self._reading:
            self._reading[place] = asyncio.create_task(self._serve(place))
        return await asked.found

    async def _serve(self, place: tuple[str, int]) -> None:
        try:
            while asking := self._asking.pop(place, []):
                await self._serve_once(place, asking)
        finally:
            del self._reading[place]

    async def _serve_once(self, place: tuple[str, int], asking: list[Asked]) -> None:
        try:
            found = await self._read(place, asking)
        except Exception as error:  # every asker fails as if it had read by itself
            for asked in asking:
                asked.found.set_exception(error)
        else:
            for asked in asking:
                asked.found.set_result([r for r in found[asked.request] if r.timestamp >= asked.since_ms])

    async def _read(self, place: tuple[str, int], asking: list[Asked]) -> dict[Id, list[Any]]:
        """The records of those who ask, everybody else's are passed over by their headers."""
        found: dict[Id, list[Any]] = {asked.request: [] for asked in asking}
        async for record in self._tools.scanner.read(*place, since_ms=min(asked.since_ms for asked in asking)):
            request = id_of(record)
            if request in found:
                found[request].append(record)
        return found


def _is_note(record: Any) -> bool:
    return h.text(record.headers, h.KIND) == "note"
