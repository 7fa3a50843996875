"""Requests onto `requests.v1`, outcomes off `responses.v1`: for `send` and the demo."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.kafka.producers import Producers
from pipeline.cli.errors import CliError
from pipeline.operations import records
from pipeline.operations.events import value_of
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t
from schemas.avro_schema import schema_name
from schemas.ids import partition_key, time_ordered_id

OnOutcome = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request record, ready to be produced."""

    request_id: str
    tenant: str
    key: bytes
    value: bytes
    headers: h.Headers


def new_id() -> str:
    return time_ordered_id(time.time_ns() // 1_000_000, secrets.token_bytes(10))


def outgoing(envelope: dict[str, Any], *, shards: int = 1, avro: bool = False) -> Outgoing:
    """The record of a request (contract, section 4); one without an id gets one."""
    envelope = {**envelope, "request_id": envelope.get("request_id") or new_id()}
    request_id, tenant = str(envelope["request_id"]), str(envelope["tenant"])
    conversation = envelope.get("conversation_id")
    key = partition_key(tenant, shards=shards, conversation_id=conversation, request_id=request_id)
    said = h.build(request_id=request_id, tenant=tenant, schema=schema_name("request"))
    return Outgoing(request_id, tenant, key.encode(), _value(envelope, avro), said)


def _value(envelope: dict[str, Any], avro: bool) -> bytes:
    """Avro where it is asked for and the request has the form; a malformed one goes as JSON, to be refused."""
    from schemas.events import Request, parse_request

    if avro and isinstance(parsed := parse_request(envelope), Request):
        from schemas.codec import encode

        return encode(parsed)
    return orjson.dumps(envelope)


def shards_of(where: Connection) -> dict[str, int]:
    """How many keys a tenant's requests are spread over; by the catalogue in force."""
    from pipeline.catalog_file import read_document

    tenants = read_document(where.catalog).get("tenants") or {}
    return {name: int((entry or {}).get("shards") or 1) for name, entry in tenants.items()}


@asynccontextmanager
async def outcomes(where: Connection, heard: OnOutcome) -> AsyncIterator[None]:
    """Every response from now on is told to `heard`, as plain data; the first per request is the outcome."""
    topic = where.topic(t.RESPONSES.name)
    async with records.consumer(where.bootstrap, where.client_options) as client:
        parts = await records.partitions_of(client, [topic])
        if not parts:
            raise CliError(f"there is no topic {topic}: start `millrace up`, or run `millrace topics create`")
        await records.start_at(client, parts, "end")
        listening = asyncio.ensure_future(_listen(client, heard))
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _listen(client: Any, heard: OnOutcome) -> None:
    async for record in client:
        value = value_of("response", record.value)
        if isinstance(value, dict) and "request_id" in value:
            heard(value)


async def produce(
    where: Connection, client: Producers, requests: Iterable[Outgoing], rate: float | None = None
) -> None:
    """Each acked by the broker; at most `rate` a second."""
    topic, started = where.topic(t.REQUESTS.name), time.monotonic()
    pending = []
    for number, request in enumerate(requests):
        if rate:
            await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        pending.append(await client.enqueue(topic, request.value, key=request.key, headers=request.headers))
    await asyncio.gather(*pending)
