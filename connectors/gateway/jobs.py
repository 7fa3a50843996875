"""Requests whose outcome is asked for later: POST, GET, events, DELETE on `/v1/requests`."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp

from connectors.gateway.asking import Asked, ask, cancel_record, fetch_response, request_key, send_request
from connectors.gateway.auth import Caller
from connectors.gateway.chat import KEEP_ALIVE
from connectors.gateway.context import Gateway
from connectors.gateway.options import Options, read_options
from connectors.gateway.problems import Problem, error_body, error_response, from_invalid
from connectors.gateway.serving import EventStream, read_object
from connectors.gateway.waiting import Note, Standing, Waiter
from connectors.gateway.wire import request_document
from schemas import headers
from schemas.codec import decode
from schemas.errors import ErrorCode
from schemas.events import Delta, Ref, Request, Response, parse_request
from schemas.topics import CANCELS, DELTAS

__all__ = ["create", "delete", "events", "show", "standing_of"]

_OURS = ("tenant", "request_id", "key_id", "ticket")
_UNKNOWN = Problem("not_found", "there is no such request", status=404, should_retry=False)
_EXPIRED = Problem("gone", "the outcome is past its retention", status=410, should_retry=False)
_NO_INDEX = Problem(ErrorCode.ANALYTICS_UNAVAILABLE, "older requests cannot be looked up now", retry_after_s=5)


async def create(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    options = read_options(http.headers)
    if isinstance(options, Problem):
        return options
    read = await read_object(http)
    if isinstance(read, Problem):
        return read
    asked = _asked(gateway, caller, options, read[1])
    if isinstance(asked, Problem):
        return asked
    delivered = await send_request(gateway, asked)
    if isinstance(delivered, Problem):
        return error_response(delivered, asked.request_id)
    gateway.waiting.opened(caller.tenant, asked.request_id, delivered.partition)
    return _json({"id": asked.request_id, "status": "queued"}, 202, {"x-request-id": asked.request_id})


def _asked(gateway: Gateway, caller: Caller, options: Options, envelope: dict[str, Any]) -> Asked | Problem:
    forbidden = next((name for name in _OURS if name in envelope), None)
    if forbidden is not None:
        return Problem(ErrorCode.INVALID_REQUEST, f"unknown field `{forbidden}`", forbidden)
    body = envelope.get("body")
    inner = body.get("model") if isinstance(body, dict) else None
    if inner is not None and envelope.setdefault("model", inner) != inner:
        return Problem(ErrorCode.INVALID_REQUEST, "`model` and `body.model` differ", "model")
    clash = _fill(envelope, options)
    if clash is not None:
        return Problem(ErrorCode.INVALID_REQUEST, f"`{clash}` and its header differ", clash)
    request = parse_request({**envelope, "tenant": caller.tenant})
    if not isinstance(request, Request):
        return from_invalid(request)
    invalid = gateway.check_body(request.operation, body or {})
    return from_invalid(invalid) if invalid is not None else ask(gateway, caller, request, options)


def _fill(envelope: dict[str, Any], options: Options) -> str | None:
    """Fields from headers; the name of one that says something else in both."""
    said = {
        "idempotency_key": options.idempotency_key,
        "conversation_id": options.conversation_id,
        "user": options.user,
        "deadline_s": options.deadline_s,
        "sensitivity": options.sensitivity,
        "tags": options.tags or None,
    }
    for name, value in said.items():
        if value is not None and envelope.setdefault(name, value) != value:
            return name
    if options.priority == "batch":
        envelope.setdefault("priority", options.priority)
    return None


async def show(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    request_id = str(http.path_params["id"])
    standing = await standing_of(gateway, caller.tenant, request_id)
    if isinstance(standing, Problem):
        return standing
    if standing.outcome is None:
        return _json({"id": request_id, "status": standing.status}, 200, {"x-request-id": request_id})
    response = await _stored(gateway, caller, request_id, standing.outcome)
    if isinstance(response, Problem):
        return response
    return HttpResponse(request_document(response), 200, {"x-request-id": request_id}, "application/json")


async def delete(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    """Cancels what is open; what is finished stays so."""
    request_id = str(http.path_params["id"])
    standing = await standing_of(gateway, caller.tenant, request_id)
    if isinstance(standing, Problem):
        return standing
    if standing.outcome is not None:
        return _json({"id": request_id, "status": "finished"}, 200, {})
    value, said = cancel_record(gateway, caller.tenant, request_id, "deleted")
    sent = await gateway.outbox.send(
        gateway.config.topic_prefix + CANCELS.name,
        value,
        key=request_key(gateway, caller.tenant, request_id),
        headers=said,
        partition=standing.partition,
    )
    if isinstance(sent, Problem):
        return sent
    return _json({"id": request_id, "status": "cancelling"}, 202, {"x-request-id": request_id})


async def events(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    request_id = str(http.path_params["id"])
    standing = await standing_of(gateway, caller.tenant, request_id)
    if isinstance(standing, Problem):
        return standing
    return EventStream(_follow(gateway, http, caller, request_id, standing), {"x-request-id": request_id})


async def _follow(
    gateway: Gateway, http: HttpRequest, caller: Caller, request_id: str, found: Standing
) -> AsyncGenerator[bytes, None]:
    """What `deltas` still holds, then what comes, then the outcome; each piece once. An old outcome was `found` only."""
    waiter = gateway.waiting.register(caller.tenant, request_id, "", deltas=True)
    seen: set[tuple[int, int]] = set()
    try:
        async for delta in _replay(gateway, caller.tenant, request_id):
            if frame := _frame(delta, seen):
                yield frame
        while not await http.is_disconnected():
            for delta in waiter.take_deltas():
                if frame := _frame(delta, seen):
                    yield frame
            last = await _last(gateway, caller, request_id, waiter, found)
            if last is not None:
                yield last
                return
            if not await waiter.wait(gateway.config.keep_alive_s):
                yield KEEP_ALIVE
    finally:
        gateway.waiting.release(caller.tenant, request_id, waiter)


async def _replay(gateway: Gateway, tenant: str, request_id: str) -> AsyncIterator[Delta]:
    since = gateway.now_ms() - DELTAS.retention_ms
    for partition in range(gateway.config.delta_partitions):
        async for record in gateway.scan(gateway.config.topic_prefix + DELTAS.name, partition, since):
            if headers.text(record.headers, headers.REQUEST_ID) != request_id:
                continue
            if headers.text(record.headers, headers.TENANT) == tenant:
                delta = decode(Delta, record.value)
                if isinstance(delta, Delta):
                    yield delta


def _frame(delta: Delta, seen: set[tuple[int, int]]) -> bytes | None:
    place = (delta.attempt, delta.seq)
    if delta.kind != "chunk" or place in seen:
        return None
    seen.add(place)
    piece = {"attempt": delta.attempt, "seq": delta.seq, "deltas": orjson.Fragment(delta.data)}
    return b"event: delta\ndata: " + orjson.dumps(piece) + b"\n\n"


async def _last(gateway: Gateway, caller: Caller, request_id: str, waiter: Waiter, found: Standing) -> bytes | None:
    response: Response | Problem | None = waiter.response
    if response is None:
        standing = gateway.waiting.standing(caller.tenant, request_id) or found
        if standing.outcome is not None:
            response = await _stored(gateway, caller, request_id, standing.outcome)
    if response is None:
        return None
    if isinstance(response, Problem):
        return b"event: error\ndata: " + error_body(response) + b"\n\n"
    return b"event: response\ndata: " + request_document(response) + b"\n\n"


async def standing_of(gateway: Gateway, tenant: str, request_id: str) -> Standing | Problem:
    """From the last 15 minutes, else from the index of older ones; 404 and 503 are problems."""
    standing = gateway.waiting.standing(tenant, request_id)
    if standing is not None:
        return standing
    if gateway.lookup is None:
        return _UNKNOWN
    found = await gateway.lookup(tenant, request_id)
    if isinstance(found, Ref):
        return Standing("done", None, found, 0)
    if found == "open":
        return Standing("running", None, None, 0)
    return _UNKNOWN if found == "unknown" else _NO_INDEX


async def _stored(gateway: Gateway, caller: Caller, request_id: str, ref: Ref) -> Response | Problem:
    response = await fetch_response(gateway, Note(ref))
    if isinstance(response, Problem):
        return _EXPIRED
    is_theirs = (response.tenant, response.request_id) == (caller.tenant, request_id)
    return response if is_theirs else _UNKNOWN


def _json(value: dict[str, Any], status: int, also: dict[str, str]) -> HttpResponse:
    return HttpResponse(orjson.dumps(value), status, also, "application/json")
