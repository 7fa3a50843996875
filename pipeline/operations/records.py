"""Reading and writing topics from the command line: no consumer group, no commits, nothing left behind."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from connectors.kafka.producers import Producers
from pipeline.operations.running import Connection

MAX_BYTES = 10 * 1024 * 1024
_BATCH = 500
_WAIT_MS = 50  # a broker answers in order, so whatever is asked next waits as long as a fetch where nothing is


@asynccontextmanager
async def consumer(bootstrap: str, options: Mapping[str, Any]) -> AsyncIterator[Any]:
    """A consumer that is assigned by hand."""
    client = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest",
        **{"max_partition_fetch_bytes": MAX_BYTES, "fetch_max_wait_ms": _WAIT_MS, **options},
    )  # fmt: skip
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


@asynccontextmanager
async def producer(where: Connection) -> AsyncIterator[Producers]:
    client = Producers(where.bootstrap, security=where.client_options)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def partition_counts(bootstrap: str, topics: Iterable[str], options: Mapping[str, Any]) -> dict[str, int]:
    """0 for a topic that is not there; none is created by asking."""
    topics = list(topics)
    async with consumer(bootstrap, options) as client:
        found = Counter(part.topic for part in await partitions_of(client, topics))
    return {topic: found[topic] for topic in topics}


async def partitions_of(client: Any, topics: Iterable[str]) -> list[TopicPartition]:
    """Of those topics that are there; a consumer's own `partitions_for_topic` knows nothing before it is assigned."""
    cluster = await client._client.fetch_all_metadata()
    return [
        TopicPartition(topic, partition)
        for topic in topics
        for partition in sorted(cluster.partitions_for_topic(topic) or ())
    ]


async def spans(where: Connection, topics: list[str]) -> dict[str, dict[int, tuple[int, int]]]:
    """Topic -> partition -> first offset kept and the next one to come."""
    async with consumer(where.bootstrap, where.client_options) as client:
        parts = await partitions_of(client, topics)
        client.assign(parts)
        begins, ends = await client.beginning_offsets(parts), await client.end_offsets(parts)
    found: dict[str, dict[int, tuple[int, int]]] = {topic: {} for topic in topics}
    for part in parts:
        found[part.topic][part.partition] = (begins[part], ends[part])
    return found


async def start_at(client: Any, parts: list[TopicPartition], start: str | int) -> None:
    """Assign and seek: `beginning`, `end`, or epoch milliseconds."""
    client.assign(parts)
    if start == "beginning":
        await client.seek_to_beginning(*parts)
    elif start == "end":
        await client.seek_to_end(*parts)
        for part in parts:
            await client.position(part)
    else:
        found = await client.offsets_for_times(dict.fromkeys(parts, int(start)))
        ends = await client.end_offsets(parts)
        for part in parts:
            client.seek(part, found[part].offset if found.get(part) else ends[part])


async def scan(
    where: Connection, topics: list[str], since_ms: int | None = None, expects: Callable[[int], None] | None = None
) -> AsyncIterator[Any]:
    """Every record up to the ends as they are now, and no further; `expects` is told how many at most."""
    async with consumer(where.bootstrap, where.client_options) as client:
        parts = await partitions_of(client, topics)
        if not parts:
            return
        await start_at(client, parts, "beginning" if since_ms is None else since_ms)
        ends = await client.end_offsets(parts)
        starts = {part: await client.position(part) for part in parts}
        if expects is not None:
            expects(sum(ends[part] - starts[part] for part in parts))
        left = {part for part in parts if starts[part] < ends[part]}
        while left:
            batches = await client.getmany(*left, timeout_ms=500, max_records=_BATCH)
            for part, records in batches.items():
                for record in records:
                    if record.offset < ends[part]:
                        yield record
            left = {part for part in left if await client.position(part) < ends[part]}


async def one(where: Connection, topic: str, partition: int, offset: int) -> Any | None:
    """The record at a place; None where there is none (any more)."""
    async with consumer(where.bootstrap, where.client_options) as client:
        part = TopicPartition(topic, partition)
        if part not in await partitions_of(client, [topic]):
            return None
        client.assign([part])
        begin, end = (await client.beginning_offsets([part]))[part], (await client.end_offsets([part]))[part]
        if not begin <= offset < end:
            return None
        client.seek(part, offset)
        record = await asyncio.wait_for(client.getone(part), 10)
        return record if record.offset == offset else None
