"""What all surfaces say of an outcome: headers, problems, usage with our cost beside it. Pure.

Headers: CONTRACT.md section 5.
"""

import re
from typing import Any

import orjson

from connectors.gateway.problems import Problem, from_outcome
from schemas.errors import ErrorCode
from schemas.events import Delta, Response

__all__ = ["known_headers", "one_line", "outcome_headers", "outcome_problem", "request_document", "usage_of", "usd"]

_NANO = 1_000_000_000
_NOT_IN_A_NAME = re.compile(r"[^\x21-\x2b\x2d-\x7e]")
_MOST_NAMES = 32


def usd(nano_usd: int) -> str:
    """Exact, without an exponent."""
    whole, rest = divmod(nano_usd, _NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def outcome_headers(response: Response, dropped: list[str]) -> dict[str, str]:
    """All that is known at the end; `dropped` before the request was sent on."""
    return {
        **_named(response.request_id, response.model, response.provider, [*dropped, *response.dropped]),
        "x-cost-usd": usd(response.cost_nano_usd),
        "x-attempts": str(response.attempts),
        "x-cache": response.cached,
    }


def known_headers(first: Delta, dropped: list[str]) -> dict[str, str]:
    """What is known at the first piece of a stream."""
    return _named(first.request_id, first.model, first.provider, [*dropped, *first.dropped])


def _named(request_id: str, model: str | None, provider: str | None, dropped: list[str]) -> dict[str, str]:
    said = {
        "x-request-id": request_id,
        "x-model": model,
        "x-provider": provider,
        "x-dropped-params": _listed(dropped) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _listed(names: list[str]) -> str:
    """Callers choose the names of what nobody knows: no line end and no letter that a header cannot hold gets through."""
    shown = [_NOT_IN_A_NAME.sub("?", name[:64]) for name in names[:_MOST_NAMES]]
    return ", ".join([*shown, f"{len(names) - _MOST_NAMES}-more"] if len(names) > _MOST_NAMES else shown)


def outcome_problem(response: Response) -> Problem | None:
    """Why the outcome is no answer, if it is none."""
    if response.outcome != "ok":
        return from_outcome(response)
    if response.body is None:
        return Problem(ErrorCode.INTERNAL, "the outcome holds no answer")
    return None


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


def one_line(text: bytes) -> bytes:
    """Readers that split lines as `str.splitlines` does (httpx `aiter_lines`) would cut the JSON at these characters."""
    for raw, escaped in ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085")):
        text = text.replace(raw, escaped)
    return text
