"""What all routes share: configuration, what was handed in, and how a route becomes an endpoint."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.gateway.auth import Caller, authenticate
from connectors.gateway.outbox import Outbox
from connectors.gateway.ports import AskUsage, CheckBody, CountTokens, Fetch, KnowsConversation, Lookup, Metrics, Scan
from connectors.gateway.problems import Problem, error_response
from connectors.gateway.waiting import Waiting
from schemas import ids
from schemas.catalog import Catalog
from schemas.errors import ErrorCode

__all__ = ["Endpoint", "ErrorShape", "Gateway", "GatewayConfig", "Handler"]

_log = logging.getLogger(__name__)
_CROWDED = Problem(ErrorCode.OVERLOADED, "too many requests at a time", should_retry=True, retry_after_s=1)
_BROKEN = Problem(ErrorCode.INTERNAL, "the gateway failed")


@dataclass(slots=True, frozen=True)
class GatewayConfig:
    """`partitions`: of tenant-keyed topics; `delta_partitions`: of `deltas`. `grace_s`: patience beyond the deadline."""

    topic_prefix: str
    pepper: bytes = field(repr=False)
    partitions: int
    docs: bool = False
    delta_partitions: int = 2
    send_patience_s: float = 0.8
    grace_s: float = 3.0
    keep_alive_s: float = 15.0
    most_requests: int = 4_096


@dataclass(slots=True)
class Gateway:
    config: GatewayConfig
    catalog: Callable[[], Catalog]
    keys: Callable[[], Mapping[str, str]]
    outbox: Outbox
    waiting: Waiting
    scan: Scan
    fetch: Fetch
    lookup: Lookup | None
    conversation: KnowsConversation | None
    usage: AskUsage | None
    check_body: CheckBody
    count_tokens: CountTokens
    now_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    metrics: Metrics | None
    in_flight: int = 0

    def fresh_id(self) -> str:
        return ids.time_ordered_id(self.now_ms(), self.random_bytes(10))


ErrorShape = Callable[[Problem], bytes]
Handler = Callable[[Gateway, Request, Caller], Awaitable[ASGIApp | Problem]]


class Endpoint:
    """A route with its key check, its limit and its count. Bare ASGI: no model, no middleware, no thread."""

    def __init__(self, gateway: Gateway, template: str, handler: Handler, shape: ErrorShape) -> None:
        self._gateway = gateway
        self._template = template
        self._handler = handler
        self._shape = shape

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway, started, status = self._gateway, time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = self._named(message)
            await send(message)

        gateway.in_flight += 1
        try:
            answer = await self._answer(Request(scope, receive))
            await answer(scope, receive, counted)
        finally:
            gateway.in_flight -= 1
            if gateway.metrics is not None:
                gateway.metrics(self._template, status, time.perf_counter() - started)

    def _named(self, start: Message) -> Message:
        """Every response can be told from all others: what has no request's id gets one of its own."""
        sent = start.get("headers", [])
        if any(name == b"x-request-id" for name, _ in sent):
            return start
        return {**start, "headers": [*sent, (b"x-request-id", self._gateway.fresh_id().encode())]}

    async def _answer(self, request: Request) -> ASGIApp:
        gateway = self._gateway
        caller = authenticate(request.headers, gateway.keys())
        if isinstance(caller, Problem):
            return self._refused(caller)
        if gateway.in_flight > gateway.config.most_requests:
            return self._refused(_CROWDED)
        try:
            answer = await self._handler(gateway, request, caller)
        except Exception as error:
            _log.exception("gateway route failed", extra={"route": self._template, "error": type(error).__name__})
            return self._refused(_BROKEN)
        return self._refused(answer) if isinstance(answer, Problem) else answer

    def _refused(self, problem: Problem) -> ASGIApp:
        return error_response(problem, body=self._shape)
