"""Anthropic's error bodies and rate-limit headers."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from connectors.simulator.delivery import Reply
from connectors.simulator.faults import Fault
from connectors.simulator.limits import RateState

_JSON = {"content-type": "application/json"}
_HTML_502 = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\r\n"
INVALID = "invalid_request_error"
BROKEN_FRAME = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'


class Refused(Exception):
    """The request is wrong; carries Anthropic's answer to it."""

    def __init__(self, message: str, *, status: int = 400, kind: str = INVALID) -> None:
        super().__init__(message)
        self.message, self.status, self.kind = message, status, kind

    def reply(self, headers: Mapping[str, str]) -> Reply:
        body = error_body(self.message, kind=self.kind, request_id=headers["request-id"])
        return Reply(self.status, {**headers, **_JSON}, body)


class _Row(NamedTuple):
    status: int
    kind: str
    message: str
    code: str = ""

    def body(self, request_id: str) -> bytes:
        return error_body(self.message, kind=self.kind, request_id=request_id, code=self.code)


_FAULTS = {
    "invalid_request": _Row(400, INVALID, "Invalid request (simulated)."),
    "context_too_long": _Row(400, INVALID, "prompt is too long: 200001 tokens > 200000 maximum"),
    "content_filtered": _Row(400, INVALID, "Output blocked by content filtering policy"),
    "auth": _Row(401, "authentication_error", "invalid x-api-key"),
    "permission": _Row(403, "permission_error", "Your API key does not have permission to use the specified resource."),
    "quota_exhausted": _Row(
        429,
        "rate_limit_error",
        "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
        "enforced_spend_limit_reached",
    ),
    "billing": _Row(
        402,
        "billing_error",
        "Your credit balance is too low to access the Anthropic API. "
        "Please go to Plans & Billing to upgrade or purchase credits.",
    ),
    "rate_limited": _Row(
        429, "rate_limit_error", "This request would exceed your organization's rate limit of requests per minute."
    ),
    "overloaded": _Row(529, "overloaded_error", "Overloaded"),
    "provider_fault": _Row(500, "api_error", "Internal server error"),
    "timeout": _Row(504, "timeout_error", "Request timed out."),
    "conflict": _Row(409, "conflict_error", "The resource was updated by another request."),
    "not_found": _Row(404, "not_found_error", "model: no-such-model"),
}
_RETRY_AFTER_S = {"rate_limited": 1.0}


def error_body(message: str, *, kind: str, request_id: str, code: str = "") -> bytes:
    error = {"type": kind, "message": message} | ({"details": {"error_code": code}} if code else {})
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id})


def fault_reply(fault: Fault, headers: Mapping[str, str]) -> Reply:
    """The answer for a fault that shows before the start; `error_200` says it with status 200."""
    if fault.kind == "html_502":
        return Reply(502, {**headers, "content-type": "text/html"}, _HTML_502)
    row = _FAULTS.get(fault.kind, _FAULTS["provider_fault"])
    body = row.body(headers["request-id"])
    after_s = fault.retry_after_s if fault.retry_after_s is not None else _RETRY_AFTER_S.get(fault.kind)
    hint = {} if after_s is None else _retry_header(after_s)
    return Reply(200 if fault.kind == "error_200" else row.status, {**headers, **_JSON, **hint}, body)


def stream_error(request_id: str) -> bytes:
    """The event for a failure after the start."""
    return b"event: error\ndata: " + _FAULTS["overloaded"].body(request_id) + b"\n\n"


def limit_reply(state: RateState, model: str, headers: Mapping[str, str]) -> Reply:
    """429 for an empty bucket."""
    limit, what = {
        "requests": (state.limit_requests, "requests"),
        "tokens": (state.limit_tokens, "input tokens"),
        "output_tokens": (state.limit_output_tokens, "output tokens"),
    }[state.short_of]
    message = (
        f"This request would exceed your organization's rate limit of {limit:,} {what} per minute "
        f"(org: org-sim, model: {model}). For details, refer to: https://docs.claude.com/en/api/rate-limits."
    )
    body = error_body(message, kind="rate_limit_error", request_id=headers["request-id"])
    return Reply(429, {**headers, **_JSON, **_retry_header(state.wait_s)}, body)


def _retry_header(after_s: float) -> dict[str, str]:
    return {"retry-after": str(math.ceil(after_s))}


def rate_headers(state: RateState, now: float) -> dict[str, str]:
    """Limit, remaining and reset of each bucket; `tokens` repeats the one with less left."""
    rows = {
        "requests": (state.limit_requests, state.remaining_requests, state.reset_requests_s),
        "input-tokens": (state.limit_tokens, state.remaining_tokens, state.reset_tokens_s),
        "output-tokens": (state.limit_output_tokens, state.remaining_output_tokens, state.reset_output_tokens_s),
    }
    rows["tokens"] = min(rows["input-tokens"], rows["output-tokens"], key=lambda row: row[1])
    headers = {}
    for name, (limit, remaining, reset_s) in rows.items():
        headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
        headers[f"anthropic-ratelimit-{name}-remaining"] = str(remaining)
        headers[f"anthropic-ratelimit-{name}-reset"] = _rfc3339(now + reset_s)
    return headers


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(math.ceil(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
