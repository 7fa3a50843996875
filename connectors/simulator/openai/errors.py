"""OpenAI's error bodies and rate-limit headers."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from connectors.simulator.delivery import Reply
from connectors.simulator.faults import Fault
from connectors.simulator.limits import RateState

_JSON = {"content-type": "application/json"}
_HTML_502 = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    b"<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)


class Refused(Exception):
    """The request is wrong; carries OpenAI's answer to it."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        kind: str = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.body = error_body(message, kind=kind, param=param, code=code)

    def reply(self, headers: Mapping[str, str]) -> Reply:
        return Reply(self.status, {**headers, **_JSON}, self.body)


class _Row(NamedTuple):
    status: int
    kind: str
    code: str | None
    message: str


_INVALID = "invalid_request_error"
_FAULTS = {
    "invalid_request": _Row(400, _INVALID, None, "Invalid request (simulated)."),
    "context_too_long": _Row(
        400,
        _INVALID,
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 128001 tokens. "
        "Please reduce the length of the messages.",
    ),
    "content_filtered": _Row(
        400,
        _INVALID,
        "content_policy_violation",
        "Your request was rejected as a result of our safety system.",
    ),
    "auth": _Row(
        401,
        _INVALID,
        "invalid_api_key",
        "Incorrect API key provided: sk-sim**********ked. "
        "You can find your API key at https://platform.openai.com/account/api-keys.",
    ),
    "permission": _Row(
        403, _INVALID, "insufficient_permissions", "You have insufficient permissions for this operation."
    ),
    "quota_exhausted": _Row(
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "rate_limited": _Row(
        429,
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached for the model in organization org-sim on requests per min (RPM). Please try again in 1s.",
    ),
    "overloaded": _Row(
        503,
        "service_unavailable_error",
        "server_is_overloaded",
        "Our servers are currently overloaded. Please try again later.",
    ),
    "provider_fault": _Row(
        500,
        "server_error",
        None,
        "The server had an error while processing your request. Sorry about that!",
    ),
    "timeout": _Row(408, "server_error", "request_timeout", "Request timed out."),
    "conflict": _Row(409, _INVALID, "conflict", "The resource was updated by another request. Please try again."),
    "not_found": _Row(404, _INVALID, "model_not_found", "The model does not exist or you do not have access to it."),
}
_FAULTS["billing"] = _FAULTS["quota_exhausted"]  # OpenAI says the same to both
_RETRY_AFTER_S = {"rate_limited": 1.0}


def error_body(message: str, *, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def fault_reply(fault: Fault, headers: Mapping[str, str]) -> Reply:
    """The answer for a fault that shows before the start; `error_200` says it with status 200."""
    if fault.kind == "html_502":
        return Reply(502, {**headers, "content-type": "text/html"}, _HTML_502)
    row = _FAULTS.get(fault.kind, _FAULTS["provider_fault"])
    body = error_body(row.message, kind=row.kind, code=row.code)
    after_s = fault.retry_after_s if fault.retry_after_s is not None else _RETRY_AFTER_S.get(fault.kind)
    hint = {} if after_s is None else retry_headers(after_s)
    return Reply(200 if fault.kind == "error_200" else row.status, {**headers, **_JSON, **hint}, body)


def stream_error() -> bytes:
    """The event for a failure after the start."""
    row = _FAULTS["provider_fault"]
    return b"data: " + error_body(row.message, kind=row.kind, code=row.code) + b"\n\n"


def limit_reply(state: RateState, model: str, headers: Mapping[str, str]) -> Reply:
    """429 for an empty bucket."""
    per, limit, left = (
        ("requests per min (RPM)", state.limit_requests, state.remaining_requests)
        if state.short_of == "requests"
        else ("tokens per min (TPM)", state.limit_tokens, state.remaining_tokens)
    )
    message = (
        f"Rate limit reached for {model} in organization org-sim on {per}: Limit {limit}, Used {limit - left}, "
        f"Requested {state.asked}. Please try again in {duration(state.wait_s)}. "
        "Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    body = error_body(message, kind=state.short_of, code="rate_limit_exceeded")
    return Reply(429, {**headers, **_JSON, **retry_headers(state.wait_s)}, body)


def retry_headers(after_s: float) -> dict[str, str]:
    return {"retry-after": str(math.ceil(after_s)), "retry-after-ms": str(math.ceil(after_s * 1_000))}


def rate_headers(state: RateState) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(state.limit_requests),
        "x-ratelimit-limit-tokens": str(state.limit_tokens),
        "x-ratelimit-remaining-requests": str(state.remaining_requests),
        "x-ratelimit-remaining-tokens": str(state.remaining_tokens),
        "x-ratelimit-reset-requests": duration(state.reset_requests_s),
        "x-ratelimit-reset-tokens": duration(state.reset_tokens_s),
    }


def duration(seconds: float) -> str:
    """As OpenAI writes it: `12ms`, `8.64s`, `6m0s`, `1h2m3s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1_000)}ms"
    if seconds < 60:
        return f"{round(seconds, 3):g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{rest}s"
