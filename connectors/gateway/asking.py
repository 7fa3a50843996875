"""From a checked body to a record on `requests.v1`, and the wait for what becomes of it.

1. `ask` builds the request: target allowed, id (from the Idempotency-Key, else by time), absolute deadline.
2. `Session.send` starts to wait, then sends: no outcome can be missed.
3. `Session.outcome` is the response, a problem, or `None`: the caller hung up and the request is cancelled, unless an
   Idempotency-Key says that the caller may come back.
"""

import asyncio
import re
from dataclasses import dataclass

from starlette.types import Receive

from connectors.gateway.auth import Caller
from connectors.gateway.context import Gateway
from connectors.gateway.options import Options
from connectors.gateway.ports import Delivered
from connectors.gateway.problems import Problem
from connectors.gateway.waiting import Note, Waiter
from schemas import headers, ids
from schemas.avro_schema import schema_name
from schemas.codec import decode, encode
from schemas.errors import ErrorCode
from schemas.events import Cancel, Request, Response
from schemas.topics import CANCELS, REQUESTS

__all__ = ["Asked", "Session", "ask", "cancel_record", "fetch_response", "request_key", "send_request"]

_DEADLINE_S = 120.0
_PENDING = Problem(ErrorCode.OUTCOME_PENDING, "no outcome yet; ask again with the same Idempotency-Key, or by id")
_GONE = Problem(ErrorCode.INTERNAL, "the stored outcome is no longer there")
_NOT_A_NAME = re.compile(r"[^\x20-\x7e]")


@dataclass(slots=True)
class Asked:
    request: Request
    request_id: str
    key: str
    deadline_ms: int
    options: Options

    @property
    def is_repeatable(self) -> bool:
        return self.request.idempotency_key is not None


def ask(gateway: Gateway, caller: Caller, request: Request, options: Options) -> Asked | Problem:
    """`request` as the caller wants it; its id, key id, ticket and deadline are set here."""
    refused = _refusal(gateway, caller.tenant, request.model)
    if refused is not None:
        return refused
    now = gateway.now_ms()
    request_id = (
        ids.idempotent_request_id(gateway.config.pepper, caller.tenant, request.idempotency_key)
        if request.idempotency_key is not None
        else ids.time_ordered_id(now, gateway.random_bytes(10))
    )
    request.request_id, request.key_id = request_id, caller.key_id
    request.ticket = gateway.random_bytes(12).hex()
    route = gateway.catalog().routes.get(request.model)
    deadline_s = request.deadline_s or (route.deadline_s if route is not None else _DEADLINE_S)
    key = request_key(gateway, caller.tenant, request_id, request.conversation_id)
    return Asked(request, request_id, key, now + int(deadline_s * 1000), options)


def request_key(gateway: Gateway, tenant: str, request_id: str, conversation_id: str | None = None) -> str:
    known = gateway.catalog().tenant_of(tenant)
    shards = known.shards if known is not None else 1
    return ids.partition_key(tenant, shards=shards, conversation_id=conversation_id, request_id=request_id)


def _refusal(gateway: Gateway, tenant: str, target: str) -> Problem | None:
    catalog = gateway.catalog()
    shown = _NOT_A_NAME.sub("?", target[:128])
    if target not in catalog.models and target not in catalog.routes:
        return Problem(ErrorCode.MODEL_NOT_FOUND, f"there is no model `{shown}`", "model")
    if target not in catalog.targets(tenant):
        return Problem(ErrorCode.MODEL_NOT_ALLOWED, f"model `{shown}` is not allowed for this key", "model")
    return None


async def send_request(gateway: Gateway, asked: Asked) -> Delivered | Problem:
    """Writes the request. If the broker takes it only after the caller was told no, it is cancelled."""

    def cancel_late(delivered: Delivered) -> None:
        if not asked.is_repeatable:
            cancel_aside(gateway, asked, delivered.partition, "late")

    return await gateway.outbox.send(
        gateway.config.topic_prefix + REQUESTS.name,
        encode(asked.request),
        key=asked.key,
        headers=_headers(gateway, asked),
        late=cancel_late,
    )


def _headers(gateway: Gateway, asked: Asked) -> headers.Headers:
    trace = asked.options.traceparent
    if trace is None:
        trace = f"00-{gateway.random_bytes(16).hex()}-{gateway.random_bytes(8).hex()}-01"
    return headers.build(
        request_id=asked.request_id,
        tenant=asked.request.tenant,
        deadline_ms=asked.deadline_ms,
        schema=schema_name("request"),
        content_type="application/avro",
        traceparent=trace,
        role="primary",
        cache=asked.options.cache,
    )


def cancel_record(gateway: Gateway, tenant: str, request_id: str, reason: str) -> tuple[bytes, headers.Headers]:
    """Value and headers of a record on `cancels.v1`."""
    cancel = Cancel(request_id, tenant, reason, gateway.now_ms())
    said = headers.build(
        request_id=request_id, tenant=tenant, schema=schema_name("cancel"), content_type="application/avro"
    )
    return encode(cancel), said


def cancel_aside(gateway: Gateway, asked: Asked, partition: int, reason: str) -> None:
    """Beside its request: same key, same partition."""
    value, said = cancel_record(gateway, asked.request.tenant, asked.request_id, reason)
    topic = gateway.config.topic_prefix + CANCELS.name
    gateway.outbox.send_aside(topic, value, key=asked.key, headers=said, partition=partition)


async def fetch_response(gateway: Gateway, note: Note) -> Response | Problem:
    """What a note to a duplicate stands for."""
    if note.ref is None:
        return Problem(note.code or ErrorCode.INTERNAL, note.message or "refused")
    stored = await gateway.fetch(note.ref)
    response = decode(Response, stored.value) if stored is not None else None
    return response if isinstance(response, Response) else _GONE


class Session:
    """One caller's wait, from sending to the end; `close` in any case."""

    def __init__(self, gateway: Gateway, asked: Asked, receive: Receive) -> None:
        request = asked.request
        mark = ids.fingerprint(request.model, request.operation, request.body) if asked.is_repeatable else ""
        self.gateway, self.asked = gateway, asked
        self.waiter = gateway.waiting.register(
            request.tenant, asked.request_id, request.ticket or "", deltas=request.stream, body=mark
        )
        self._watch = asyncio.ensure_future(_watch(receive, self.waiter))
        self._partition: int | None = None

    async def send(self) -> Problem | None:
        delivered = await send_request(self.gateway, self.asked)
        if isinstance(delivered, Problem):
            return delivered
        self._partition = delivered.partition
        return None

    async def outcome(self) -> Response | Problem | None:
        """The end of the wait."""
        while True:
            if (outcome := await self.arrived()) is not None or self.waiter.hung_up:
                return outcome
            if not await self.waiter.wait(self.left_s):
                return _PENDING

    async def first(self) -> Response | Problem | None:
        """Like `outcome`, but None as well once there are deltas."""
        while not self.waiter.deltas:
            if (outcome := await self.arrived()) is not None or self.waiter.hung_up:
                return outcome
            if not await self.waiter.wait(self.left_s):
                return _PENDING
        return None

    async def arrived(self) -> Response | Problem | None:
        """The outcome, if it is there."""
        if self.waiter.response is not None:
            return self.waiter.response
        if self.waiter.note is not None:
            return await fetch_response(self.gateway, self.waiter.note)
        return _PENDING if self.left_s <= 0 else None

    @property
    def left_s(self) -> float:
        grace_ms = self.gateway.config.grace_s * 1000
        return max(0.0, (self.asked.deadline_ms + grace_ms - self.gateway.now_ms()) / 1000)

    def close(self) -> None:
        """Ends the wait; a request whose caller hung up before its outcome is cancelled."""
        self._watch.cancel()
        self.gateway.waiting.release(self.asked.request.tenant, self.asked.request_id, self.waiter)
        unanswered = self.waiter.response is None and self.waiter.note is None
        if self.waiter.hung_up and unanswered and self._partition is not None and not self.asked.is_repeatable:
            cancel_aside(self.gateway, self.asked, self._partition, "hang-up")


async def _watch(receive: Receive, waiter: Waiter) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    waiter.hang_up()
