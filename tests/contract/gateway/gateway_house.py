"""A gateway with a log in memory: what is sent there can be answered by a function."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
from fastapi import FastAPI

from connectors.gateway import GatewayConfig, Waiting, create_app
from schemas import headers
from schemas.catalog import Catalog
from schemas.codec import decode, encode
from schemas.completion import Usage
from schemas.events import Delta, InvalidRequest, Outcome, Ref, Request, Response, RouteInfo, Timings

KEY = "sk-test"
NOW = 1_800_000_000_000
CATALOG = Catalog.model_validate(
    {
        "version": 1,
        "providers": {"sim": {"adapter": "openai", "base_url": "http://127.0.0.1:1/v1"}},
        "models": {
            name: {"provider": "sim", "price": {"input_per_mtok_usd": 1, "output_per_mtok_usd": 2}}
            for name in ("small", "org/large")
        },
        "routes": {"auto": {"candidates": ["*"]}},
        "tenants": {"acme": {"routes": ["auto", "small"]}, "rich": {}},
    }
)


@dataclass
class Rec:
    topic: str
    partition: int
    offset: int
    headers: list[tuple[str, bytes]]
    value: bytes | None
    timestamp: int = NOW


@dataclass
class House:
    """`answer` is called with each request and says which records follow; `lookup`, `conversation`, `usage`: ports."""

    answer: Callable[["House", Request], None] | None = None
    deliver_waits: Any = None
    lookup: Any = None
    conversation: Any = None
    usage: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    records: list[Rec] = field(default_factory=list)
    now: int = NOW
    draws: int = 0

    def __post_init__(self) -> None:
        self.waiting = Waiting("t.", lambda: self.now)
        keys = {hashlib.sha256(key.encode()).hexdigest(): name for key, name in ((KEY, "acme"), ("sk-rich", "rich"))}
        self.app: FastAPI = create_app(
            GatewayConfig("t.", b"pepper", 2, **self.options),
            catalog=lambda: CATALOG,
            keys=lambda: keys,
            log=self,
            waiting=self.waiting,
            scan=self.scan,
            fetch=self.fetch,
            check_body=check,
            count_tokens=lambda body: len(str(body["messages"])),
            now_ms=lambda: self.now,
            random_bytes=self.random,
            lookup=self.lookup,
            conversation=self.conversation,
            usage=self.usage,
        )

    def random(self, count: int) -> bytes:
        self.draws += 1
        return self.draws.to_bytes(count, "big")

    async def deliver(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        partition: int | None = None,
    ) -> Rec:
        if self.deliver_waits is not None:
            await self.deliver_waits.wait()
        record = self.put(topic, value, headers)
        if topic == "t.requests.v1" and self.answer is not None:
            self.answer(self, decode(Request, value))
        return record

    def put(self, topic: str, value: bytes | None, said: list[tuple[str, bytes]]) -> Rec:
        record = Rec(topic, 0, len(self.records), said, value)
        self.records.append(record)
        self.waiting.handle(record)
        return record

    def respond(self, response: Response) -> Rec:
        said = headers.build(request_id=response.request_id, tenant=response.tenant, role=response.role)
        return self.put("t.responses.v1", encode(response), said)

    def delta(self, request: Request, seq: int, *pieces: Any, attempt: int = 1, **more: Any) -> None:
        delta = Delta(
            request.request_id or "",
            request.tenant,
            attempt,
            seq,
            "chunk",
            orjson.dumps(pieces),
            "sim",
            "small",
            **more,
        )
        said = headers.build(request_id=request.request_id, tenant=request.tenant, kind="chunk")
        self.put("t.deltas.v1", encode(delta), said)

    def note(self, request: Request, **said: Any) -> None:
        data = orjson.dumps({"ticket": request.ticket, **said})
        delta = Delta(request.request_id or "", request.tenant, 0, 0, "note", data)
        names = headers.build(request_id=request.request_id, tenant=request.tenant, kind="note")
        self.put("t.deltas.v1", encode(delta), names)

    async def fetch(self, ref: Ref) -> Rec | None:
        return self.records[ref.offset] if ref.offset < len(self.records) else None

    async def scan(self, topic: str, partition: int, since_ms: int) -> AsyncIterator[Rec]:
        for record in list(self.records):
            if record.topic == topic and record.partition == partition:
                yield record

    def sent(self, topic: str) -> list[Rec]:
        return [record for record in self.records if record.topic == f"t.{topic}"]

    def client(self, **said: str) -> httpx.AsyncClient:
        names = {"authorization": f"Bearer {KEY}", **said}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway", headers=names)


def check(operation: str, body: dict[str, object]) -> InvalidRequest | None:
    return None if isinstance(body.get("messages"), list) else InvalidRequest("`messages` is missing", param="messages")


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": "hi"}], **more}


def answered(request: Request, text: str = "hello world", **more: Any) -> Response:
    message = {"role": "assistant", "content": text, "refusal": None}
    body = {
        "id": f"chatcmpl-{request.request_id}",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": Usage(3, 2).to_openai(),
    }
    facts: dict[str, Any] = {"outcome": "ok", "body": orjson.dumps(body), **more}
    return Response(
        request_id=request.request_id or "",
        tenant=request.tenant,
        operation="chat",
        accepted_at=NOW,
        finished_at=NOW,
        route=RouteInfo(),
        timings_ms=Timings(),
        provider="sim",
        model="small",
        cost_nano_usd=1_500,
        attempts=1,
        **facts,
    )


def failed(request: Request, code: str, **more: Any) -> Response:
    return answered(request, outcome="error", body=None, error=Outcome(code, "no", **more))
