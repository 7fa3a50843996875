"""The journey of one request over any surface: read, check, send, wait, spell.

A stream starts once there is something to send; until then a problem is plain HTTP with its status.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.gateway.asking import Session, ask
from connectors.gateway.auth import Caller
from connectors.gateway.context import Gateway, Handler
from connectors.gateway.intake import Gone, parse_object, read_body, unpack
from connectors.gateway.options import Options, read_options
from connectors.gateway.problems import Problem, error_response, from_invalid
from connectors.gateway.streaming import Assembler
from connectors.gateway.surface import Asking, Opening, Surface
from connectors.gateway.wire import known_headers, outcome_headers, outcome_problem
from schemas.errors import ErrorCode
from schemas.events import Request, Response

__all__ = ["STREAM_HEADERS", "EventStream", "read_object", "serve"]

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


def serve(surface: Surface) -> Handler:
    """The handler of a surface's path."""

    async def handle(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
        options = read_options(http.headers)
        if isinstance(options, Problem):
            return options
        read = await read_object(http)
        asking = read if isinstance(read, Problem) else surface.read(*read, http.headers)
        if isinstance(asking, Problem):
            return asking
        invalid = gateway.check_body(surface.operation, asking.body)
        request = from_invalid(invalid) if invalid is not None else _request(surface, caller, options, asking)
        asked = request if isinstance(request, Problem) else ask(gateway, caller, request, options)
        if isinstance(asked, Problem):
            return asked
        exchange = _Exchange(surface, asking, Session(gateway, asked, http.receive))
        return await (exchange.streamed() if asked.request.stream else exchange.whole())

    return handle


def _request(surface: Surface, caller: Caller, options: Options, asking: Asking) -> Request | Problem:
    target, stream = asking.body.get("model"), asking.body.get("stream") or False
    if target is None:  # null means absent, here as everywhere
        target = "auto"
    if not isinstance(target, str) or not 1 <= len(target) <= 128:
        return Problem(ErrorCode.INVALID_REQUEST, "`model` must be a string of 1 to 128 characters", "model")
    if not isinstance(stream, bool):
        return Problem(ErrorCode.INVALID_REQUEST, "`stream` must be true or false", "stream")
    return Request(
        request_id=None,
        tenant=caller.tenant,
        body=asking.raw,
        model=target,
        operation=surface.operation,
        user=options.user,
        conversation_id=options.conversation_id,
        idempotency_key=options.idempotency_key,
        stream=stream and surface.frames is not None,
        deadline_s=options.deadline_s,
        priority=options.priority,
        sensitivity=options.sensitivity,
        tags=options.tags,
    )


class _Exchange:
    """A request under way and the surface that its caller speaks."""

    def __init__(self, surface: Surface, asking: Asking, session: Session) -> None:
        self._surface = surface
        self._asking = asking
        self._session = session

    async def whole(self) -> ASGIApp:
        try:
            outcome = await self._session.send() or await self._session.outcome()
        finally:
            self._session.close()
        return self._plain(outcome)

    async def streamed(self) -> ASGIApp:
        session, handed_over = self._session, False
        try:
            outcome = await session.send() or await session.first()
            is_answer = isinstance(outcome, Response) and outcome_problem(outcome) is None
            if not is_answer and not session.waiter.deltas:
                return self._plain(outcome)
            handed_over = True
            return EventStream(self._frames(), self._known(outcome), session.close)
        finally:
            if not handed_over:
                session.close()

    def _plain(self, outcome: Response | Problem | None) -> ASGIApp:
        if not isinstance(outcome, Response):
            return error_response(outcome or _HUNG_UP, self._session.asked.request_id, body=self._surface.error)
        headers, problem = outcome_headers(outcome, self._asking.dropped), outcome_problem(outcome)
        if problem is not None:
            return error_response(problem, also=headers, body=self._surface.error)
        said = self._surface.answer(outcome, self._asking)
        return HttpResponse(said, 200, {**headers, "x-should-retry": "false"}, "application/json")

    def _known(self, outcome: Response | Problem | None) -> dict[str, str]:
        """Headers from what is known at the first event."""
        if isinstance(outcome, Response):
            return outcome_headers(outcome, self._asking.dropped)
        return known_headers(self._session.waiter.deltas[0], self._asking.dropped)

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        session, waiter = self._session, self._session.waiter
        keep_alive_s = session.gateway.config.keep_alive_s
        assembler: Assembler | None = None
        while not waiter.hung_up or waiter.response is not None:
            deltas, outcome = waiter.take_deltas(), await session.arrived()
            if assembler is None:
                assembler = self._assembler(deltas[0].model if deltas else None, outcome)
            if ready := assembler.feed(deltas):
                yield ready
            if outcome is not None:
                yield assembler.finish(outcome) if isinstance(outcome, Response) else assembler.fail(outcome)
                return
            if not await waiter.wait(min(keep_alive_s, session.left_s)) and session.left_s > 0:
                yield assembler.keep_alive

    def _assembler(self, said: str | None, outcome: Response | Problem | None) -> Assembler:
        asked, make = self._session.asked, self._surface.frames
        answered = outcome.model if isinstance(outcome, Response) else None
        model = said or answered or asked.request.model
        if make is None:
            raise AssertionError("this surface does not stream")
        return Assembler(make(Opening(asked.request_id, model, self._session.gateway.now_ms() // 1000), self._asking))
