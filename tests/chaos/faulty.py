"""A provider that fails as it is told: OpenAI's wire over real sockets, one fault at a time, every call noted."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PIECES = ("One by one ", "the words arrive, ", "and none is said ", "twice or left out.")
ANSWER = "".join(PIECES)
USAGE = {"prompt_tokens": 12, "completion_tokens": 16, "total_tokens": 28}
HANG_S = 3600.0
DRIP_S = 0.1
LATENCY_S = 0.05


@dataclass
class Called:
    """One call as the provider saw it, in seconds since the epoch."""

    at: float
    fault: str
    body: dict[str, Any]
    ended: float | None = None

    @property
    def is_probe(self) -> bool:
        return bool(self.body["messages"] == [{"role": "user", "content": "Say ok."}])


@dataclass
class Faulty:
    """`fault` is a name of `FAULTS`, or `refused`: then nobody listens."""

    name: str
    retry_after_s: float = 0.0
    fault: str = ""
    calls: list[Called] = field(default_factory=list)
    port: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None
    _site: web.TCPSite | None = None

    async def open(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def fail(self, fault: str, *, retry_after_s: float = 0.0) -> None:
        """From now on; empty: it is well."""
        self.fault, self.retry_after_s = fault, retry_after_s
        if fault == "refused":
            await self._hang_up()
        elif self._site is None:
            await self._listen()

    async def answered(self, number: int, timeout_s: float = 5) -> Called:
        """The call of this number, once it is over."""
        async with asyncio.timeout(timeout_s):
            while len(self.calls) <= number or self.calls[number].ended is None:
                self.changed.clear()
                await self.changed.wait()
        return self.calls[number]

    async def _listen(self) -> None:
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()
        self.port = self._runner.addresses[-1][1]

    async def _hang_up(self) -> None:
        if self._site is None or self._runner is None or self._runner.server is None:
            return
        await self._site.stop()
        self._site = None
        for connection in list(self._runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        called = Called(time.time(), self.fault, await request.json())
        self.calls.append(called)
        try:
            return await FAULTS[called.fault](self, request, called.body)
        except ConnectionResetError:
            return web.Response()  # nobody reads it
        finally:
            called.ended = time.time()
            self.changed.set()


@contextlib.asynccontextmanager
async def faulty_providers(*names: str) -> AsyncIterator[dict[str, Faulty]]:
    providers = {name: Faulty(name) for name in names}
    try:
        for provider in providers.values():
            await provider.open()
        yield providers
    finally:
        for provider in providers.values():
            await provider.close()


def _rest(body: dict[str, Any]) -> list[str]:
    """The pieces that are left after the beginning of the answer that it was sent."""
    begun = next((m["content"] for m in body["messages"] if m["role"] == "assistant"), "")
    left = ANSWER.removeprefix(begun)
    return [piece for piece in PIECES if ANSWER.index(piece) >= len(ANSWER) - len(left)] or [left]


async def _well(_provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(LATENCY_S)
    if not body.get("stream"):
        return web.json_response(_whole(body, "".join(_rest(body)), "stop"))
    response = await _begun(request)
    for piece in _rest(body):
        await response.write(_event(_chunk(body, {"content": piece})))
    await response.write(_event(_chunk(body, {}, "stop")))
    await response.write(_event({"choices": [], "usage": USAGE}) + b"data: [DONE]\n\n")
    return response


def _whole(body: dict[str, Any], text: str | None, finish: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice],
            "usage": USAGE}  # fmt: skip


def _chunk(body: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": [choice]}


def _event(data: Any) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


async def _begun(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    return response


def _status(status: int, *, message: str = "it is broken", **error: Any) -> "Fault":
    async def said(provider: Faulty, _request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
        headers = {"retry-after": f"{provider.retry_after_s:g}"} if provider.retry_after_s else {}
        return web.json_response({"error": {"message": message, **error}}, status=status, headers=headers)

    return said


async def _silent(_provider: Faulty, _request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(HANG_S)
    raise AssertionError("nobody waits for so long")


async def _headers_only(provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    await _opened(request, body)
    return await _silent(provider, request, body)


async def _opened(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Headers of an answer that is to come."""
    if body.get("stream"):
        return await _begun(request)
    response = web.StreamResponse(headers={"content-type": "application/json"})
    await response.prepare(request)
    return response


async def _drip(_provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A byte now and then, none of which means anything."""
    response = await _opened(request, body)
    while True:
        await response.write(b":" if body.get("stream") else b" ")
        await asyncio.sleep(DRIP_S)


async def _cut_before(_provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = await _opened(request, body)
    return _aborted(request, response)


async def _cut_after(_provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = await _half(request, body)
    await asyncio.sleep(LATENCY_S)  # what was written is read before the reset overtakes it
    return _aborted(request, response)


def _aborted(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return response


async def _half(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """The beginning of an answer."""
    response = await _opened(request, body)
    if not body.get("stream"):
        await response.write(json.dumps(_whole(body, ANSWER, "stop")).encode()[:80])
        return response
    for piece in _rest(body)[:2]:
        await response.write(_event(_chunk(body, {"content": piece})))
    return response


async def _stall(provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    await _half(request, body)
    return await _silent(provider, request, body)


async def _early_end(_provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """The body ends as a good one does; only the answer is not whole."""
    return await _half(request, body)


async def _malformed(_provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = await _opened(request, body)
    await response.write(b'data: {"choices": [{"del\n\n' if body.get("stream") else b'{"choices": [{"mess')
    return response


async def _error_200(_provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = await _opened(request, body)
    error = {"error": {"message": "the engine fell over", "type": "server_error", "code": None}}
    await response.write(_event(error) if body.get("stream") else json.dumps(error).encode())
    return response


async def _withheld(_provider: Faulty, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A safety filter took the answer away."""
    if not body.get("stream"):
        return web.json_response(_whole(body, None, "content_filter"))
    response = await _begun(request)
    await response.write(_event(_chunk(body, {}, "content_filter")) + b"data: [DONE]\n\n")
    return response


Fault = Callable[[Faulty, web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]

FAULTS: dict[str, Fault] = {
    "": _well,
    "refused": _silent,  # of a connection that was accepted just before
    "500": _status(500, type="server_error"),
    "503": _status(503, type="server_error", code="server_is_overloaded"),
    "529": _status(529, type="overloaded_error"),
    "429": _status(429, type="rate_limit_error", code="rate_limit_exceeded"),
    "silent": _silent,
    "headers_only": _headers_only,
    "drip": _drip,
    "cut_before": _cut_before,
    "cut_after": _cut_after,
    "stall": _stall,
    "early_end": _early_end,
    "malformed": _malformed,
    "error_200": _error_200,
    "too_long": _status(
        400, message="This model's maximum context length is 8192 tokens.", code="context_length_exceeded"
    ),
    "filtered": _status(400, message="It was filtered.", type="invalid_request_error", code="content_filter"),
    "withheld": _withheld,
}
