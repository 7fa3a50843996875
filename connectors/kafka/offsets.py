"""How far consumer groups are: what they committed against the ends of their partitions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

__all__ = ["Offsets", "Place"]

POLL_MS = 200
POLLS = 10


@dataclass(slots=True, frozen=True)
class Place:
    """A partition as one group sees it. `committed`: everything before it is done; `end`: the next offset to be written."""

    group: str
    topic: str
    partition: int
    committed: int
    end: int


class Offsets:
    """Raises KafkaError while the broker does not answer."""

    def __init__(self, bootstrap: str, *, security: Mapping[str, Any] | None = None) -> None:
        self._bootstrap, self._security = bootstrap, security or {}
        self._admin: Any = None
        self._consumer: Any = None

    async def start(self) -> None:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap, **self._security)
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_bytes=2**20,
            max_partition_fetch_bytes=2**16,
            **self._security,
        )
        try:
            await self._admin.start()
            await self._consumer.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        for client in (self._consumer and self._consumer.stop, self._admin and self._admin.close):
            if client is not None:
                await client()

    async def committed(self, group: str, place: TopicPartition) -> tuple[int, str] | None:
        """Offset and metadata; None if the group has no commit there."""
        found = (await self._admin.list_consumer_group_offsets(group, partitions=[place])).get(place)
        return None if found is None or found.offset < 0 else (found.offset, found.metadata or "")

    async def places(self, group_prefix: str, topic_prefix: str) -> list[Place]:
        """Of all groups and topics with these prefixes; a partition that its group never committed stands at its beginning."""
        found = []
        for group, _ in await self._admin.list_consumer_groups():
            if group.startswith(group_prefix):
                commits = await self._admin.list_consumer_group_offsets(group)
                found += await self._of_group(
                    group, {p: c for p, c in commits.items() if p.topic.startswith(topic_prefix)}
                )
        return found

    async def first_times(self, places: Iterable[Place]) -> dict[Place, int]:
        """Timestamps (ms) of the first records that are not done; a place whose record does not come in time is left out."""
        wanted = {TopicPartition(place.topic, place.partition): place for place in places}
        times: dict[Place, int] = {}
        self._consumer.assign(list(wanted))
        try:
            for tp, place in wanted.items():
                self._consumer.seek(tp, place.committed)
            for _ in range(POLLS):
                if len(times) == len(wanted):
                    break
                for tp, records in (await self._consumer.getmany(timeout_ms=POLL_MS)).items():
                    times.setdefault(wanted[tp], records[0].timestamp)
                    self._consumer.pause(tp)
        finally:
            self._consumer.unsubscribe()
        return times

    async def _of_group(self, group: str, commits: Mapping[TopicPartition, OffsetAndMetadata]) -> list[Place]:
        parts = await self._partitions({tp.topic for tp in commits})
        missing = [tp for tp in parts if tp not in commits or commits[tp].offset < 0]
        starts = await self._consumer.beginning_offsets(missing) if missing else {}
        ends = await self._consumer.end_offsets(parts) if parts else {}
        return [
            Place(group, tp.topic, tp.partition, starts[tp] if tp in starts else commits[tp].offset, ends[tp])
            for tp in parts
        ]

    async def _partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        # partitions_for_topic() of a consumer without subscription knows nothing.
        cluster = await self._consumer._client.fetch_all_metadata()
        return [TopicPartition(t, p) for t in sorted(topics) for p in sorted(cluster.partitions_for_topic(t) or ())]
