"""What callers think of answers: `POST /v1/feedback` -> `feedback.v1`. Only of requests and conversations of their own tenant.

A request is looked for as `GET /v1/requests/{id}` looks, a conversation in the index of requests.
"""

from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp

from connectors.gateway.asking import request_key
from connectors.gateway.auth import Caller
from connectors.gateway.context import Gateway
from connectors.gateway.jobs import standing_of
from connectors.gateway.options import read_options
from connectors.gateway.problems import Problem, from_invalid
from connectors.gateway.serving import read_object
from schemas import headers
from schemas.avro_schema import schema_name
from schemas.codec import encode
from schemas.errors import ErrorCode
from schemas.events import Feedback, parse_feedback
from schemas.topics import FEEDBACK

__all__ = ["feedback"]

_OURS = ("tenant", "user", "at")
_UNKNOWN = Problem("not_found", "there is no such conversation", status=404, should_retry=False)
_NO_INDEX = Problem(ErrorCode.ANALYTICS_UNAVAILABLE, "conversations cannot be looked up now", retry_after_s=5)


async def feedback(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    """202 once the broker has it; saying the same again changes nothing, saying something else replaces it."""
    options = read_options(http.headers)
    if isinstance(options, Problem):
        return options
    read = await read_object(http)
    if isinstance(read, Problem):
        return read
    given = _given(read[1], caller.tenant, options.user or "", gateway.now_ms())
    if isinstance(given, Problem):
        return given
    problem = await _unknown(gateway, given) or await _send(gateway, given)
    return problem or HttpResponse(orjson.dumps(_document(given)), 202, media_type="application/json")


def _given(body: dict[str, Any], tenant: str, user: str, now_ms: int) -> Feedback | Problem:
    """The key says whose it is, and a header who says it."""
    if (ours := next((name for name in _OURS if name in body), None)) is not None:
        return Problem(ErrorCode.INVALID_REQUEST, f"unknown field `{ours}`", ours)
    found = parse_feedback({**body, "tenant": tenant, "user": user}, at_ms=now_ms)
    return found if isinstance(found, Feedback) else from_invalid(found)


async def _unknown(gateway: Gateway, given: Feedback) -> Problem | None:
    if given.request_id:
        standing = await standing_of(gateway, given.tenant, given.request_id)
        return standing if isinstance(standing, Problem) else None
    if gateway.conversation is None:
        return _UNKNOWN
    match await gateway.conversation(given.tenant, given.conversation_id):
        case "known":
            return None
        case "unknown":
            return _UNKNOWN
        case _:
            return _NO_INDEX


async def _send(gateway: Gateway, given: Feedback) -> Problem | None:
    sent = await gateway.outbox.send(
        gateway.config.topic_prefix + FEEDBACK.name,
        encode(given),
        key=request_key(gateway, given.tenant, given.request_id, given.conversation_id or None),
        headers=headers.build(
            request_id=given.request_id or None,
            tenant=given.tenant,
            schema=schema_name("feedback"),
            content_type="application/avro",
        ),
    )
    return sent if isinstance(sent, Problem) else None


def _document(given: Feedback) -> dict[str, Any]:
    of = {"request_id": given.request_id} if given.request_id else {"conversation_id": given.conversation_id}
    said = {name: getattr(given, name) for name in ("user", "score", "label", "comment", "edit", "at")}
    return {**of, **said}
