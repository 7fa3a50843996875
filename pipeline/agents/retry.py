"""retry: `retries.<delay>.v1` -> `retries.due.v1`, a plain loop per tier.

The delay of a topic is fixed, so each partition is ordered by due time and the head is always the next one due: the loop
sleeps on the head. Offsets are committed after the broker has acked the copy; redelivery is harmless to route.
"""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from connectors.kafka.member import MEMBER
from pipeline.tools import Tools
from schemas import headers as h
from schemas import topics as t


class RetryRelay:
    """One consumer per tier; `failed` resolves if a loop ends by an error."""

    def __init__(self, tools: Tools, group_prefix: str = "millrace-") -> None:
        self._tools = tools
        self._group_prefix = group_prefix
        self._tasks: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        for delay in self._tools.loaded.catalog.retry.delays_s:
            consumer = self._consumer(delay)
            await consumer.start()
            task = asyncio.create_task(self._relay(consumer), name=f"retry-{delay}s")
            task.add_done_callback(self._ended)
            self._tasks.append(task)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _consumer(self, delay: int) -> Any:
        return AIOKafkaConsumer(
            self._tools.topic(t.RETRIES.named(delay=delay)),
            bootstrap_servers=self._tools.bootstrap,
            group_id=f"{self._group_prefix}retry-{delay}s",
            group_instance_id=f"retry-{delay}s-{self._tools.instance}",
            **MEMBER,
        )

    async def _relay(self, consumer: Any) -> None:
        due = self._tools.topic(t.RETRIES_DUE.name)
        try:
            async for record in consumer:
                await self._sleep_until(h.integer(record.headers, h.NOT_BEFORE_MS) or 0)
                await self._tools.producers.deliver(due, record.value, key=record.key, headers=list(record.headers))
                partition = TopicPartition(record.topic, record.partition)
                if partition in consumer.assignment():
                    await consumer.commit({partition: record.offset + 1})
        finally:
            await consumer.stop()

    async def _sleep_until(self, due_ms: int) -> None:
        await asyncio.sleep(max(0, due_ms - self._tools.now_ms()) / 1000)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) and not self.failed.done():
            self.failed.set_result(error)
