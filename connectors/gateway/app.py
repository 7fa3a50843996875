"""The application: which path is answered by whom. Journey: HTTP -> `requests.v1` ... `responses.v1` -> HTTP."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from connectors.gateway import feedback, jobs, models
from connectors.gateway import usage as usage_route
from connectors.gateway.auth import Caller
from connectors.gateway.chat import CHAT
from connectors.gateway.context import Endpoint, ErrorShape, Gateway, GatewayConfig, Handler
from connectors.gateway.embeddings import EMBEDDINGS
from connectors.gateway.messages import MESSAGES, count_tokens
from connectors.gateway.outbox import Outbox
from connectors.gateway.ports import (
    AskUsage,
    CheckBody,
    CountTokens,
    Fetch,
    KnowsConversation,
    Log,
    Lookup,
    Metrics,
    Scan,
)
from connectors.gateway.problems import Problem, error_body, error_response
from connectors.gateway.responses import RESPONSES
from connectors.gateway.serving import serve
from connectors.gateway.waiting import Waiting
from schemas.catalog import Catalog
from schemas.errors import ErrorCode

__all__ = ["ROUTES", "create_app"]


async def _not_yet(gateway: Gateway, http: Request, caller: Caller) -> ASGIApp | Problem:
    return Problem(ErrorCode.NOT_IMPLEMENTED_YET, "this path is not served yet")


ROUTES: tuple[tuple[str, str, Handler, ErrorShape], ...] = (
    ("POST", "/v1/chat/completions", serve(CHAT), CHAT.error),
    ("POST", "/v1/messages", serve(MESSAGES), MESSAGES.error),
    ("POST", "/v1/messages/count_tokens", count_tokens, MESSAGES.error),
    ("POST", "/v1/responses", serve(RESPONSES), RESPONSES.error),
    ("POST", "/v1/embeddings", serve(EMBEDDINGS), EMBEDDINGS.error),
    ("GET", "/v1/models", models.models, error_body),
    ("GET", "/v1/models/{id:path}", models.model, error_body),
    ("POST", "/v1/requests", jobs.create, error_body),
    ("GET", "/v1/requests/{id}", jobs.show, error_body),
    ("DELETE", "/v1/requests/{id}", jobs.delete, error_body),
    ("GET", "/v1/requests/{id}/events", jobs.events, error_body),
    ("POST", "/v1/feedback", feedback.feedback, error_body),
    ("GET", "/v1/usage", usage_route.usage, error_body),
    ("GET", "/v1/key", _not_yet, error_body),
)


def create_app(
    config: GatewayConfig,
    *,
    catalog: Callable[[], Catalog],
    keys: Callable[[], Mapping[str, str]],
    log: Log,
    waiting: Waiting,
    scan: Scan,
    fetch: Fetch,
    check_body: CheckBody,
    count_tokens: CountTokens,
    now_ms: Callable[[], int],
    random_bytes: Callable[[int], bytes],
    lookup: Lookup | None = None,
    conversation: KnowsConversation | None = None,
    usage: AskUsage | None = None,
    metrics: Metrics | None = None,
    ready: Callable[[], bool] = lambda: True,
) -> FastAPI:
    """Plugs the gateway together.

    `keys` is SHA-256 hex digest of an API key -> tenant. Without `lookup` only the outcomes of the last 15 minutes are
    known, without `conversation` no conversation, without `usage` no usage. `ready` tells of further conditions of
    readiness, as a tail that has caught up.
    """
    outbox = Outbox(log, now_ms, patience_s=config.send_patience_s)
    gateway = Gateway(
        config,
        catalog,
        keys,
        outbox,
        waiting,
        scan,
        fetch,
        lookup,
        conversation,
        usage,
        check_body,
        count_tokens,
        now_ms,
        random_bytes,
        metrics,
    )
    documents = "/openapi.json" if config.docs else None
    app = FastAPI(
        title="Millrace", docs_url="/docs" if config.docs else None, redoc_url=None, openapi_url=documents,
        redirect_slashes=False,
    )  # fmt: skip
    app.state.gateway = gateway
    for method, path, handler, shape in ROUTES:
        app.router.routes.append(Route(path, Endpoint(gateway, path, handler, shape), methods=[method]))
    _add_health(app, gateway, lambda: outbox.is_ready and ready())
    app.add_exception_handler(HTTPException, _refuse)
    app.openapi = _described  # type: ignore[method-assign]  # routes are bare ASGI; FastAPI documents it this way
    return app


def _add_health(app: FastAPI, gateway: Gateway, is_ready: Callable[[], bool]) -> None:
    def fine(body: bytes) -> HttpResponse:
        return HttpResponse(body, 200, {"x-request-id": gateway.fresh_id()}, "application/json")

    async def healthz(_: Request) -> HttpResponse:
        return fine(b'{"status":"ok"}')

    async def readyz(_: Request) -> HttpResponse:
        if is_ready():
            return fine(b'{"status":"ready"}')
        return error_response(Problem(ErrorCode.BROKER_UNAVAILABLE, "not ready"), gateway.fresh_id())

    app.router.routes.append(Route("/healthz", healthz, methods=["GET"]))
    app.router.routes.append(Route("/readyz", readyz, methods=["GET"]))


_METHODS: dict[str, list[str]] = {}
for _method, _path, *_ in ROUTES:
    _METHODS.setdefault(_path, []).append(_method)


async def _refuse(request: Request, error: Exception) -> HttpResponse:
    """404 and 405 in the error shape; the path is not repeated."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    request_id = request.app.state.gateway.fresh_id()
    if status == 405:
        allowed = (error.headers or {}).get("Allow") if isinstance(error, HTTPException) else None
        problem = Problem("method_not_allowed", "the path has no such method", status=405, allow=allowed)
        return error_response(problem, request_id)
    return error_response(Problem("not_found", "there is nothing at this path", status=status), request_id)


def _described() -> dict[str, Any]:
    """An OpenAPI document of the routes."""
    answers = {"200": {"description": "see docs/http.md"}, "default": {"description": "an error in OpenAI's shape"}}
    paths = {
        path.replace(":path", ""): {
            method.lower(): {"operationId": f"{method} {path}", "responses": answers, "security": [{"key": []}]}
            for method in methods
        }
        for path, methods in _METHODS.items()
    }
    schemes = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}
    return {"openapi": "3.1.0", "info": {"title": "Millrace", "version": "1"}, "paths": paths, "components": schemes}
