"""What the topics say while a platform runs: attempts, transitions of breakers, outcomes. And what an SDK's caller sees."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import openai
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from openai import AsyncOpenAI

from schemas.codec import decode, encode
from schemas.events import Attempt, Breaker, Signal

ATTEMPTS, BREAKERS, SIGNALS = "llm.attempts.v1", "llm.breakers.v1", "llm.signals.v1"


@dataclass
class Ledger:
    """All records since the platform's start, as they come."""

    attempts: list[Attempt] = field(default_factory=list)
    breakers: list[Breaker] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, request_id: str, phase: str = "started") -> list[Attempt]:
        return [event for event in self.attempts if event.request_id == request_id and event.phase == phase]

    async def until(self, holds: Callable[[], bool], timeout_s: float = 20) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    async def calls(self, request_id: str) -> list[str]:
        """The models that were called for a request whose outcome is there, once all of them are booked."""
        await self.until(lambda: len(self.of(request_id, "finished")) >= max(1, len(self.of(request_id))))
        return [event.model for event in self.of(request_id)]

    def last(self, endpoint: str) -> Breaker:
        found = [breaker for breaker in self.breakers if breaker.endpoint == endpoint]
        return max(found, key=lambda breaker: breaker.epoch, default=Breaker(endpoint))

    async def order(self, kafka: str, endpoint: str, forced: str) -> None:
        """As `millrace breakers` gives it; returns when it has been carried out."""
        epoch = self.last(endpoint).epoch
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        try:
            signal = Signal(endpoint, "operator-test", time.time_ns() // 1_000_000, forced=forced)
            await producer.send_and_wait(SIGNALS, encode(signal), key=endpoint.encode())
        finally:
            await producer.stop()
        await self.until(lambda: self.last(endpoint).epoch > epoch)

    async def read(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            event: Any = decode(Attempt if record.topic == ATTEMPTS else Breaker, record.value)
            (self.attempts if record.topic == ATTEMPTS else self.breakers).append(event)
            self.changed.set()


@contextlib.asynccontextmanager
async def ledger_of(kafka: str) -> AsyncIterator[Ledger]:
    ledger = Ledger()
    consumer = AIOKafkaConsumer(
        ATTEMPTS, BREAKERS, bootstrap_servers=kafka, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    reading = asyncio.create_task(ledger.read(consumer))
    try:
        yield ledger
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await consumer.stop()


@dataclass
class Answer:
    """What a caller of the SDK got; `error` is the code of the error, before or within a stream."""

    asked_at: float
    text: str = ""
    finish: list[str] = field(default_factory=list)
    error: str = ""
    status: int = 200
    provider: str = ""
    request_id: str = ""
    took_s: float = 0.0

    @property
    def is_ok(self) -> bool:
        return not self.error


async def ask(
    client: AsyncOpenAI, model: str, text: str = "say it", *, stream: bool = True, headers: dict[str, str] | None = None
) -> Answer:
    """One request, read to its end."""
    answer, began = Answer(time.time()), time.monotonic()
    try:
        raw = await client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": text}], stream=stream, extra_headers=headers
        )
        answer.provider, answer.request_id = raw.headers.get("x-provider", ""), raw.headers.get("x-request-id", "")
        await _read(answer, raw.parse(), stream)
    except openai.APIStatusError as error:
        answer.status, answer.error = error.status_code, str(error.code)
        answer.request_id = error.response.headers.get("x-request-id", "")
    except openai.APIError as error:  # a frame of the stream, or no connection
        answer.error = str(error.code or type(error).__name__)
    answer.took_s = time.monotonic() - began
    return answer


async def _read(answer: Answer, parsed: Any, stream: bool) -> None:
    if not stream:
        answer.text = parsed.choices[0].message.content or ""
        answer.finish = [parsed.choices[0].finish_reason]
        return
    async for chunk in parsed:
        for choice in chunk.choices:
            answer.text += choice.delta.content or ""
            answer.finish += [choice.finish_reason] if choice.finish_reason else []
