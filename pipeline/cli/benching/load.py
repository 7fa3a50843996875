"""The callers: one aiohttp session, requests whose answer takes a fixed time, percentiles over what came back."""

import asyncio
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
import orjson

from pipeline.cli.benching.place import MODEL, Target

_number = itertools.count()
_TIMEOUT = aiohttp.ClientTimeout(total=70)
_DATA, _DONE = b"data: ", b"data: [DONE]"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the simulated provider is to do."""

    latency_ms: int = 20
    tokens: int = 20
    cadence_ms: int | None = None
    stream: bool = False
    model: str = MODEL

    def body(self) -> bytes:
        cadence = "" if self.cadence_ms is None else f" cadence_ms={self.cadence_ms}"
        text = f"{next(_number)} [[sim: latency_ms={self.latency_ms} tokens={self.tokens}{cadence}]]"
        return orjson.dumps(
            {"model": self.model, "stream": self.stream, "messages": [{"role": "user", "content": f"Question {text}"}]}
        )


@dataclass(slots=True)
class Outcomes:
    """Of many requests, in milliseconds; `first_ms` of streams alone."""

    total_ms: list[float] = field(default_factory=list)
    first_ms: list[float] = field(default_factory=list)
    pieces: int = 0
    failed: int = 0

    @property
    def count(self) -> int:
        return len(self.total_ms)


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


class Callers:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def one(self, target: Target, wish: Wish, into: Outcomes) -> None:
        headers = {"authorization": f"Bearer {target.key}", "content-type": "application/json"}
        began = time.perf_counter()
        try:
            async with self._session.post(
                f"{target.url}/chat/completions", data=wish.body(), headers=headers, timeout=_TIMEOUT
            ) as answer:
                whole = await (_stream(answer, began, into) if wish.stream else _whole(answer))
        except (aiohttp.ClientError, TimeoutError):
            whole = False
        if whole:
            into.total_ms.append((time.perf_counter() - began) * 1000)
        else:
            into.failed += 1

    async def for_a_while(self, target: Target, wish: Wish, *, in_flight: int, seconds: float) -> Outcomes:
        """So many at a time; requests under way at the end are waited for and counted."""
        into, ends = Outcomes(), time.monotonic() + seconds

        async def caller() -> None:
            while time.monotonic() < ends:
                await self.one(target, wish, into)

        await asyncio.gather(*(caller() for _ in range(in_flight)))
        return into

    async def paced(self, target: Target, wish: Wish, *, per_s: float, seconds: float) -> Outcomes:
        """So many a second, whatever becomes of those before; all are waited for."""
        into, began, loop = Outcomes(), time.monotonic(), asyncio.get_running_loop()
        asked = []
        for number in range(int(per_s * seconds)):
            await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
            asked.append(loop.create_task(self.one(target, wish, into)))
        await asyncio.gather(*asked)
        return into

    async def at_once(self, target: Target, wish: Wish, count: int) -> Outcomes:
        into = Outcomes()
        await asyncio.gather(*(self.one(target, wish, into) for _ in range(count)))
        return into


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def _whole(answer: aiohttp.ClientResponse) -> bool:
    return answer.status == 200 and bool(await answer.read())


async def _stream(answer: aiohttp.ClientResponse, began: float, into: Outcomes) -> bool:
    """Whether the stream came to its proper end."""
    if answer.status != 200:
        return False
    seen = 0
    async for line in answer.content:
        if line.startswith(_DONE):
            into.pieces += seen
            return True
        if line.startswith(_DATA) and b'"content":"' in line and b'"content":""' not in line:
            if seen == 0:
                into.first_ms.append((time.perf_counter() - began) * 1000)
            seen += 1
    return False
