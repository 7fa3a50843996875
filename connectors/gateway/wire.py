"""An outcome as an OpenAI client reads it: the chat completion as it stands in the record, and headers. Pure.

Source: platform.openai.com/docs/api-reference/chat/object; headers: CONTRACT.md section 5.
"""

from typing import Any

import orjson
from starlette.responses import Response as HttpResponse

from connectors.gateway.problems import Problem, error_response, from_outcome
from schemas.errors import ErrorCode
from schemas.events import Response

__all__ = ["completion_response", "outcome_headers", "outcome_problem", "request_document", "usage_of", "usd"]

_NANO = 1_000_000_000


def usd(nano_usd: int) -> str:
    """Exact, without an exponent."""
    whole, rest = divmod(nano_usd, _NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def outcome_headers(response: Response) -> dict[str, str]:
    headers = {
        "x-request-id": response.request_id,
        "x-cost-usd": usd(response.cost_nano_usd),
        "x-attempts": str(response.attempts),
        "x-cache": response.cached,
    }
    if response.model is not None:
        headers["x-model"] = response.model
    if response.provider is not None:
        headers["x-provider"] = response.provider
    return headers


def outcome_problem(response: Response) -> Problem | None:
    """Why the outcome is no answer, if it is none."""
    if response.outcome != "ok":
        return from_outcome(response)
    if response.body is None:
        return Problem(ErrorCode.INTERNAL, "the outcome holds no answer")
    return None


def completion_response(response: Response) -> HttpResponse:
    """A whole answer, or its error, over HTTP."""
    headers = outcome_headers(response)
    problem = outcome_problem(response)
    if problem is not None:
        return error_response(problem, also=headers)
    return HttpResponse(response.body, 200, {**headers, "x-should-retry": "false"}, "application/json")


def usage_of(response: Response, body: dict[str, Any]) -> dict[str, Any]:
    """Usage for a stream's last chunk, with our cost beside it."""
    usage = body.get("usage") or (response.usage.to_openai() if response.usage is not None else {})
    ours = {"cost_usd": response.cost_nano_usd / _NANO, "attempts": response.attempts}
    return {**usage, "millrace": ours}


def request_document(response: Response) -> bytes:
    """What `GET /v1/requests/{id}` says of a finished request."""
    problem = outcome_problem(response)
    document = {
        "id": response.request_id,
        "status": "error" if problem else "ok",
        "operation": response.operation,
        "provider": response.provider,
        "model": response.model,
        "finish_reason": response.finish_reason,
        "usage": response.usage,
        "cost_usd": usd(response.cost_nano_usd),
        "attempts": response.attempts,
        "cached": response.cached,
        "route": response.route,
        "timings_ms": response.timings_ms,
        "tags": response.tags,
        "accepted_at": response.accepted_at,
        "finished_at": response.finished_at,
        "error": response.error,
        "response": orjson.Fragment(response.body) if response.body is not None and not problem else None,
    }
    return orjson.dumps(document)
