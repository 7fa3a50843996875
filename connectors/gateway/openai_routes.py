"""OpenAI's surface: chat completions, streamed and whole, and the list of models."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.gateway.asking import Session, ask
from connectors.gateway.auth import Caller
from connectors.gateway.context import Gateway
from connectors.gateway.intake import Gone, parse_object, read_body, unpack
from connectors.gateway.options import Options, read_options
from connectors.gateway.problems import Problem, error_response, from_invalid
from connectors.gateway.streaming import KEEP_ALIVE, Assembler
from connectors.gateway.wire import completion_response, outcome_headers, outcome_problem
from schemas.errors import ErrorCode
from schemas.events import Request, Response

__all__ = ["STREAM_HEADERS", "EventStream", "chat_completions", "model", "models", "read_object"]

STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
_HUNG_UP = Problem(ErrorCode.CANCELLED, "the caller hung up")


class EventStream:
    """Sends frames as they come, each in a write of its own."""

    def __init__(
        self, frames: AsyncGenerator[bytes, None], headers: dict[str, str], close: Callable[[], None] | None = None
    ) -> None:
        self._frames = frames
        self._close = close
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = [(name.encode(), value.encode()) for name, value in {**self._headers, **STREAM_HEADERS}.items()]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            async for frame in self._frames:
                await send({"type": "http.response.body", "body": frame, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self._frames.aclose()
            if self._close is not None:
                self._close()


async def read_object(http: HttpRequest) -> tuple[bytes, dict[str, Any]] | Problem:
    """The body as sent and as parsed."""
    raw = await read_body(http.receive, http.headers.get("content-length"))
    if isinstance(raw, Gone):
        return _HUNG_UP
    if isinstance(raw, bytes):
        raw = unpack(raw, http.headers.get("content-encoding", ""))
    if isinstance(raw, Problem):
        return raw
    value = parse_object(raw)
    return value if isinstance(value, Problem) else (raw, value)


async def chat_completions(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    options = read_options(http.headers)
    if isinstance(options, Problem):
        return options
    read = await read_object(http)
    if isinstance(read, Problem):
        return read
    raw, body = read
    invalid = gateway.check_body(body)
    request = from_invalid(invalid) if invalid is not None else _request(caller, options, raw, body)
    asked = request if isinstance(request, Problem) else ask(gateway, caller, request, options)
    if isinstance(asked, Problem):
        return asked
    session = Session(gateway, asked, http.receive)
    if asked.request.stream:
        stream_options = body.get("stream_options")
        wants_usage = isinstance(stream_options, dict) and stream_options.get("include_usage") is True
        return await _streamed(session, wants_usage)
    return await _whole(session)


def _request(caller: Caller, options: Options, raw: bytes, body: dict[str, Any]) -> Request | Problem:
    target, stream = body.get("model"), body.get("stream") or False
    if target is None:  # null means absent, here as everywhere
        target = "auto"
    if not isinstance(target, str) or not 1 <= len(target) <= 128:
        return Problem(ErrorCode.INVALID_REQUEST, "`model` must be a string of 1 to 128 characters", "model")
    if not isinstance(stream, bool):
        return Problem(ErrorCode.INVALID_REQUEST, "`stream` must be true or false", "stream")
    return Request(
        request_id=None,
        tenant=caller.tenant,
        body=raw,
        model=target,
        user=options.user,
        conversation_id=options.conversation_id,
        idempotency_key=options.idempotency_key,
        stream=stream,
        deadline_s=options.deadline_s,
        priority=options.priority,
        sensitivity=options.sensitivity,
        tags=options.tags,
    )


async def _whole(session: Session) -> ASGIApp:
    try:
        outcome = await session.send() or await session.outcome()
    finally:
        session.close()
    return _plain(session, outcome)


def _plain(session: Session, outcome: Response | Problem | None) -> ASGIApp:
    if isinstance(outcome, Response):
        return completion_response(outcome)
    return error_response(outcome or _HUNG_UP, session.asked.request_id)


async def _streamed(session: Session, include_usage: bool) -> ASGIApp:
    """A stream once there is something to send; until then a problem is plain HTTP."""
    handed_over = False
    try:
        outcome = await session.send() or await session.first()
        is_answer = isinstance(outcome, Response) and outcome_problem(outcome) is None
        if not is_answer and not session.waiter.deltas:
            return _plain(session, outcome)
        handed_over = True
        return EventStream(_frames(session, include_usage), _known(session, outcome), session.close)
    finally:
        if not handed_over:
            session.close()


def _known(session: Session, outcome: Response | Problem | None) -> dict[str, str]:
    """Headers from what is known at the first event."""
    if isinstance(outcome, Response):
        return outcome_headers(outcome)
    first = session.waiter.deltas[0]
    known = {"x-request-id": session.asked.request_id, "x-model": first.model, "x-provider": first.provider}
    return {name: value for name, value in known.items() if value is not None}


async def _frames(session: Session, include_usage: bool) -> AsyncGenerator[bytes, None]:
    gateway, waiter = session.gateway, session.waiter
    assembler: Assembler | None = None
    while not waiter.hung_up or waiter.response is not None:
        deltas, outcome = waiter.take_deltas(), await session.arrived()
        if assembler is None:
            assembler = Assembler(
                session.asked.request_id,
                created=gateway.now_ms() // 1000,
                model=_model_name(session, deltas[0].model if deltas else None, outcome),
                include_usage=include_usage,
            )
        if ready := assembler.feed(deltas):
            yield ready
        if outcome is not None:
            yield assembler.finish(outcome) if isinstance(outcome, Response) else assembler.fail(outcome)
            return
        if not await waiter.wait(min(gateway.config.keep_alive_s, session.left_s)) and session.left_s > 0:
            yield KEEP_ALIVE


def _model_name(session: Session, said: str | None, outcome: Response | Problem | None) -> str:
    answered = outcome.model if isinstance(outcome, Response) else None
    return said or answered or session.asked.request.model


async def models(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    data = [_model_row(gateway, name) for name in sorted(gateway.catalog().targets(caller.tenant))]
    return HttpResponse(orjson.dumps({"object": "list", "data": data}), media_type="application/json")


async def model(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    name = str(http.path_params["id"])
    if name not in gateway.catalog().targets(caller.tenant):
        return Problem(ErrorCode.MODEL_NOT_FOUND, "there is no such model for this key", "model")
    return HttpResponse(orjson.dumps(_model_row(gateway, name)), media_type="application/json")


def _model_row(gateway: Gateway, name: str) -> dict[str, Any]:
    found = gateway.catalog().models.get(name)
    return {"id": name, "object": "model", "created": 0, "owned_by": found.provider if found else "millrace"}
