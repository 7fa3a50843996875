"""Whether ClickHouse has what Kafka has: by the commits of the sink, which follow its inserts."""

import asyncio
import time
from collections.abc import Callable

from aiokafka import TopicPartition

from connectors.kafka.offsets import Offsets
from pipeline.agents.sink import GROUP
from pipeline.operations import records
from pipeline.operations.replaying.errors import Behind
from pipeline.operations.running import Connection
from schemas.topics import Topic

__all__ = ["until_caught_up"]

_PATIENCE_S = 60.0
_POLL_S = 0.3


async def until_caught_up(where: Connection, topic: Topic, told: Callable[[int], None]) -> None:
    """Returns once every record that is on the topic now has its row; `told` how many wait.

    Raises:
        Behind: Nothing was inserted for a minute.
    """
    name = where.topic(topic.name)
    spans = (await records.spans(where, [name]))[name]
    offsets = Offsets(where.bootstrap, security=where.client_options)
    await offsets.start()
    try:
        since, before = time.monotonic(), -1
        while waiting := await _waiting(offsets, name, spans):
            told(waiting)
            if waiting != before:
                since, before = time.monotonic(), waiting
            elif time.monotonic() - since > _PATIENCE_S:
                raise Behind(f"{waiting} records of {name} are not in ClickHouse: does the stage `sink` run?")
            await asyncio.sleep(_POLL_S)
    finally:
        await offsets.stop()


async def _waiting(offsets: Offsets, name: str, spans: dict[int, tuple[int, int]]) -> int:
    waiting = 0
    for partition, (begin, end) in spans.items():
        found = await offsets.committed(GROUP, TopicPartition(name, partition))
        waiting += max(0, end - max(begin, found[0] if found else 0))
    return waiting
