"""`python -m pipeline.operations.redeciding.worker`: a process that replays segments, one after the other.

stdin: the order (a JSON line), then a segment a line, until it ends. stdout: {"looked_at": n} while it goes on, and
{"segment": tally} for each. Credentials of the broker come out of the environment, as for every process of ours.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any, Final, TextIO

import orjson

from pipeline.core.redeciding.joined import Joined
from pipeline.operations import records
from pipeline.operations.redeciding.catalogs import catalogs_of
from pipeline.operations.redeciding.scores import scores_of
from pipeline.operations.redeciding.segments import Segment
from pipeline.operations.redeciding.topics import replay_segment
from pipeline.operations.running import Connection
from pipeline.settings import Settings
from schemas.catalog import Catalog

__all__ = ["Order"]

_EVERY: Final = 2_000


@dataclass(slots=True, frozen=True)
class Order:
    """What every segment has in common. `policy`: the document of a catalogue, `known_as` its hash; both may be empty."""

    bootstrap: str
    topic_prefix: str
    is_secured: bool
    from_ms: int
    tenant: str
    policy: str
    known_as: str

    def line(self) -> bytes:
        return orjson.dumps(asdict(self)) + b"\n"


async def work(source: TextIO, sink: TextIO) -> None:
    lines = _lines(source)
    order = Order(**orjson.loads(await anext(lines)))
    options = Settings().client_options() if order.is_secured else {}
    where = Connection(order.bootstrap, order.topic_prefix, 0, "", None, options)
    policy = Catalog.of_document(order.policy.encode(), order.known_as) if order.policy else None
    catalogs, scores = await catalogs_of(where), await scores_of(where, order.from_ms)
    async with records.consumer(where.bootstrap, options) as client:
        async for line in lines:
            segment = Segment(**orjson.loads(line))
            joined = Joined(catalogs, policy, (segment.from_ms, segment.to_ms), tenant=order.tenant)
            told = _Told(sink)
            await replay_segment(client, where, segment, joined, scores, tell=told.add)
            told.say()
            _say(sink, {"segment": joined.tally.plain()})


@dataclass(slots=True)
class _Told:
    """Progress, told now and then: a line costs more than a decision."""

    sink: TextIO
    looked_at: int = 0

    def add(self, count: int) -> None:
        self.looked_at += count
        if self.looked_at >= _EVERY:
            self.say()

    def say(self) -> None:
        _say(self.sink, {"looked_at": self.looked_at})
        self.looked_at = 0


async def _lines(source: TextIO) -> AsyncIterator[str]:
    while line := await asyncio.to_thread(source.readline):
        yield line


def _say(sink: TextIO, said: dict[str, Any]) -> None:
    sink.write(orjson.dumps(said).decode() + "\n")
    sink.flush()


if __name__ == "__main__":
    gc.disable()  # millions of objects and no cycles; looking for some takes a fifth of the time
    asyncio.run(work(sys.stdin, sys.stdout))
