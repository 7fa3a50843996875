"""The two producers of a process: `now` for what somebody waits for, `soon` for books and logs, in batches.

Both are idempotent with acks=all. An idempotent aiokafka producer never expires a batch: during a broker outage a delivery
waits until the broker is back, so a caller with a deadline wraps it in `asyncio.wait_for`; the record is still written.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connectors.kafka.partition import partition_of

__all__ = ["Delivered", "Producers"]

BATCH_BYTES = 256 * 1024
REQUEST_BYTES = 11 * 1024 * 1024
SOON_MS, PATIENT_MS = 25, 500
"""How long a batch of `soon` waits for more: beside what others wait for, and where nobody waits for anything."""
STOP_S = 10.0


@dataclass(slots=True, frozen=True)
class Delivered:
    """Where the broker put a record. `timestamp`: ms since the epoch, the broker's under LogAppendTime."""

    topic: str
    partition: int
    offset: int
    timestamp: int


class Producers:
    def __init__(
        self,
        bootstrap: str,
        *,
        is_patient: bool = False,
        security: Mapping[str, Any] | None = None,
        client_id: str = "millrace",
    ) -> None:
        self._soon_ms = PATIENT_MS if is_patient else SOON_MS
        self._common: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "client_id": client_id,
            "enable_idempotence": True,
            "acks": "all",
            "max_batch_size": BATCH_BYTES,
            "max_request_size": REQUEST_BYTES,
            "request_timeout_ms": 40_000,
            "retry_backoff_ms": 100,
            **(security or {}),
        }
        self._now: Any = None
        self._soon: Any = None

    async def start(self) -> None:
        self._now = AIOKafkaProducer(linger_ms=0, **self._common)
        self._soon = AIOKafkaProducer(linger_ms=self._soon_ms, compression_type="lz4", **self._common)
        try:
            await asyncio.gather(self._now.start(), self._soon.start())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Flushes both; gives up after `STOP_S`, for a broker that is away would hold it for ever."""
        producers = [producer for producer in (self._now, self._soon) if producer is not None]
        self._now = self._soon = None
        await asyncio.gather(*(_stop(producer) for producer in producers))

    async def deliver(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        soon: bool = False,
    ) -> Delivered:
        """Returns when the broker has acked. A cancelled caller does not take the record back."""
        future = await self.enqueue(topic, value, key=key, headers=headers, partition=partition, soon=soon)
        done = await asyncio.shield(future)
        return Delivered(done.topic, done.partition, done.offset, done.timestamp)

    async def enqueue(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        soon: bool = False,
    ) -> "asyncio.Future[Any]":
        """Returns when the record has its place in the order; the future resolves to aiokafka's RecordMetadata."""
        if partition is None and key is not None:
            partition = partition_of(key, await self.partition_count(topic))
        producer = self._soon if soon else self._now
        future: asyncio.Future[Any] = await producer.send(
            topic, value, key=key, headers=list(headers), partition=partition
        )
        return future

    async def deliver_many(
        self, topic: str, partition: int, records: Iterable[tuple[bytes, bytes, Sequence[tuple[str, bytes]]]]
    ) -> None:
        """Key, value and headers each; a tenth of the work of `deliver` per record. Returns when the broker has acked all."""
        acks: list[asyncio.Future[Any]] = []
        batch = self._soon.create_batch()
        for key, value, headers in records:
            if batch.append(key=key, value=value, headers=headers, timestamp=None) is None:
                acks.append(await self._soon.send_batch(batch, topic, partition=partition))
                batch = self._soon.create_batch()
                batch.append(key=key, value=value, headers=headers, timestamp=None)
        if batch.record_count():
            acks.append(await self._soon.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*acks)

    async def is_reachable(self, timeout_s: float) -> bool:
        """Whether a broker answers on this client's own connections."""
        try:
            await asyncio.wait_for(self._now.client.fetch_all_metadata(), timeout_s)
        except (KafkaError, TimeoutError):
            return False
        return True

    async def partition_count(self, topic: str) -> int:
        """From the client's metadata; asks the broker the first time."""
        return len(await self._now.partitions_for(topic))


async def _stop(producer: Any) -> None:
    try:
        await asyncio.wait_for(producer.stop(), STOP_S)
    except TimeoutError:
        await producer.client.close()
