"""Error bodies of servers that are not OpenAI: vLLM's bare object, FastAPI's `detail`, DeepSeek's 402."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from connectors.simulator.delivery import Reply
from connectors.simulator.faults import Fault
from connectors.simulator.limits import RateState
from connectors.simulator.openai import errors as openai
from connectors.simulator.openai.errors import Refused, retry_headers

_JSON = {"content-type": "application/json"}
_NAMES = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError", 429: "RateLimitError"}


class Unprocessable(Refused):
    """The body does not fit the server's model of it: FastAPI's 422."""

    def __init__(self, kind: str, where: tuple[str | int, ...], message: str, given: object = None) -> None:
        super().__init__(message, status=422)
        self.detail = [{"type": kind, "loc": ["body", *where], "msg": message, "input": given}]


class _Row(NamedTuple):
    status: int
    body: Mapping[str, Any]


def bare(status: int, message: str, kind: str) -> dict[str, Any]:
    """An error body as vLLM writes it: no `error` around it, and the status as the code."""
    return {"object": "error", "message": message, "type": kind, "param": None, "code": status}


def _bare(status: int, message: str, kind: str) -> _Row:
    return _Row(status, bare(status, message, kind))


_TOO_LONG = (
    "This model's maximum context length is 32768 tokens. However, you requested 32800 tokens (32700 in the messages, "
    "100 in the completion). Please reduce the length of the messages or completion."
)
_NO_BALANCE = {
    "message": "Insufficient Balance",
    "type": "unknown_error",
    "param": None,
    "code": "invalid_request_error",
}
_BROKEN = _bare(500, "Internal server error", "InternalServerError")
_FAULTS = {
    "invalid_request": _Row(
        422, {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": None}]}
    ),
    "context_too_long": _bare(400, _TOO_LONG, "BadRequestError"),
    "content_filtered": _Row(400, {"error": {"message": "Flagged by moderation.", "code": "content_filter"}}),
    "auth": _Row(401, {"error": "Unauthorized"}),
    "permission": _Row(403, {"detail": "Forbidden"}),
    "not_found": _bare(404, "The model does not exist.", "NotFoundError"),
    "timeout": _bare(408, "Request timed out.", "TimeoutError"),
    "conflict": _bare(409, "The model is being reloaded.", "ConflictError"),
    "quota_exhausted": _Row(402, {"error": _NO_BALANCE}),
    "billing": _Row(402, {"error": _NO_BALANCE}),
    "rate_limited": _bare(429, "Too many requests.", "RateLimitError"),
    "overloaded": _bare(503, "The engine is overloaded.", "ServiceUnavailableError"),
    "provider_fault": _BROKEN,
}
_RETRY_AFTER_S = {"rate_limited": 1.0}


def refusal_reply(refusal: Refused) -> Reply:
    """A refusal in this server's words, whoever found the mistake."""
    body: Mapping[str, Any]
    if isinstance(refusal, Unprocessable):
        body = {"detail": refusal.detail}
    else:
        body = bare(refusal.status, refusal.message, _NAMES.get(refusal.status, "BadRequestError"))
    return Reply(refusal.status, _JSON, orjson.dumps(body))


def fault_reply(fault: Fault, headers: Mapping[str, str]) -> Reply:
    """The answer for a fault that shows before the start; `error_200` says it with status 200."""
    if fault.kind == "html_502":
        return openai.fault_reply(fault, headers)
    row = _FAULTS.get(fault.kind, _BROKEN)
    after_s = fault.retry_after_s if fault.retry_after_s is not None else _RETRY_AFTER_S.get(fault.kind)
    hint = {} if after_s is None else retry_headers(after_s)
    status = 200 if fault.kind == "error_200" else row.status
    return Reply(status, {**headers, **_JSON, **hint}, orjson.dumps(row.body))


def stream_error() -> bytes:
    """The event for a failure after the start."""
    return b"data: " + orjson.dumps(_BROKEN.body) + b"\n\n"


def limit_reply(state: RateState, model: str, headers: Mapping[str, str]) -> Reply:
    """429 for an empty bucket."""
    body = bare(429, f"Too many requests for {model}.", "RateLimitError")
    return Reply(429, {**headers, **_JSON, **retry_headers(state.wait_s)}, orjson.dumps(body))
