"""Google's error bodies: `google.rpc.Status` with its details; hints are in the body, there are no rate headers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from connectors.simulator.delivery import Reply
from connectors.simulator.faults import Fault
from connectors.simulator.limits import RateState

JSON_TYPE = "application/json; charset=UTF-8"
Details = Sequence[Mapping[str, Any]]

_RPC = "type.googleapis.com/google.rpc."
_LIMITS_PAGE = "https://ai.google.dev/gemini-api/docs/rate-limits"
_METRIC = "generativelanguage.googleapis.com/"
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_HTML_502 = (
    b"<!DOCTYPE html>\n<html lang=en>\n  <title>Error 502 (Server Error)!!1</title>\n"
    b"  <p><b>502.</b> <ins>That\xe2\x80\x99s an error.</ins>\n  <p>The server encountered a temporary error.\n</html>\n"
)


class Refused(Exception):
    """The request is wrong; carries Google's answer to it."""

    def __init__(self, message: str, *, status: int = 400, name: str = "", details: Details = ()) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message, name=name, details=details)


class _Row(NamedTuple):
    status: int
    message: str
    name: str = ""


_FAULTS = {
    "invalid_request": _Row(400, "Request contains an invalid argument."),
    "context_too_long": _Row(
        400, "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."
    ),
    "permission": _Row(403, "The caller does not have permission"),
    "overloaded": _Row(503, "The model is overloaded. Please try again later."),
    "provider_fault": _Row(
        500,
        "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
    ),
    "timeout": _Row(504, "Deadline expired before operation could complete."),
    "conflict": _Row(409, "The operation was aborted."),
    "not_found": _Row(404, "The model is not found for API version v1beta, or is not supported for generateContent."),
    "billing": _Row(
        400, "Please enable billing on your project in Google AI Studio to use this model.", "FAILED_PRECONDITION"
    ),
}
_RETRY_AFTER_S = {"rate_limited": 1.0, "quota_exhausted": 40.0}


def error_body(status: int, message: str, *, name: str = "", details: Details = ()) -> bytes:
    error: dict[str, Any] = {"code": status, "message": message, "status": name or _STATUS[status]}
    if details:
        error["details"] = list(details)
    return orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2)


def bad_fields(descriptions: Sequence[tuple[str, str]]) -> Refused:
    """One refusal for all fields that are wrong, each as (path, description)."""
    violations = [({"field": path} if path else {}) | {"description": text} for path, text in descriptions]
    details = [{"@type": f"{_RPC}BadRequest", "fieldViolations": violations}]
    return Refused("\n".join(text for _, text in descriptions), details=details)


def wrong_key() -> Refused:
    metadata = {"service": "generativelanguage.googleapis.com"}
    message = "API key not valid. Please pass a valid API key."
    details: list[dict[str, Any]] = [
        {
            "@type": f"{_RPC}ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": metadata,
        },
        {"@type": f"{_RPC}LocalizedMessage", "locale": "en-US", "message": message},
    ]
    return Refused(message, details=details)


def model_not_found(name: str, action: str) -> Refused:
    message = (
        f"models/{name} is not found for API version v1beta, or is not supported for {action}. "
        "Call ListModels to see the list of available models and their supported methods."
    )
    return Refused(message, status=404)


def fault_body(fault: Fault, model: str) -> tuple[int, bytes]:
    """Status and body of a fault that shows before the start."""
    after_s = fault.retry_after_s if fault.retry_after_s is not None else _RETRY_AFTER_S.get(fault.kind)
    match fault.kind:
        case "html_502":
            return 502, _HTML_502
        case "auth":
            return 400, wrong_key().body
        case "rate_limited":
            return 429, _quota_body(_PER_MINUTE, model, limit=10, after_s=after_s)
        case "quota_exhausted":
            return 429, _quota_body(_PER_DAY, model, limit=250, after_s=after_s)
    row = _FAULTS.get(fault.kind, _FAULTS["provider_fault"])
    details = [] if after_s is None else [_retry_info(after_s)]
    return row.status, error_body(row.status, row.message, name=row.name, details=details)


def fault_reply(fault: Fault, model: str, headers: Mapping[str, str], *, listed: bool = False) -> Reply:
    """The answer for a fault that shows before the start; `error_200` says it with status 200."""
    status, body = fault_body(fault, model)
    kind = "text/html; charset=UTF-8" if fault.kind == "html_502" else JSON_TYPE
    status = 200 if fault.kind == "error_200" else status
    return Reply(status, {**headers, "content-type": kind}, as_list(body) if listed and status != 502 else body)


def as_list(body: bytes) -> bytes:
    """An error of `streamGenerateContent` without `alt=sse`: the list of one that the stream would have been."""
    return b"[" + body + b"\n]\n"


def limit_body(state: RateState, model: str) -> bytes:
    """429 for an empty bucket."""
    quota, limit = (
        (_PER_MINUTE, state.limit_requests)
        if state.short_of == "requests"
        else (_TOKENS_PER_MINUTE, state.limit_tokens)
    )
    return _quota_body(quota, model, limit=limit, after_s=state.wait_s)


class _Quota(NamedTuple):
    metric: str
    id: str


_PER_MINUTE = _Quota("generate_content_paid_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel-PaidTier")
_TOKENS_PER_MINUTE = _Quota(
    "generate_content_paid_tier_input_token_count", "GenerateContentPaidTierInputTokensPerModelPerMinute"
)
_PER_DAY = _Quota("generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier")


def _quota_body(quota: _Quota, model: str, *, limit: int, after_s: float | None) -> bytes:
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        f"error, head to: {_LIMITS_PAGE}.\n* Quota exceeded for metric: {_METRIC}{quota.metric}, limit: {limit}, "
        f"model: {model}"
    )
    violation = {
        "quotaMetric": _METRIC + quota.metric,
        "quotaId": quota.id,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": str(limit),
    }
    details: list[dict[str, Any]] = [
        {"@type": f"{_RPC}QuotaFailure", "violations": [violation]},
        {
            "@type": f"{_RPC}Help",
            "links": [{"description": "Learn more about Gemini API quotas", "url": _LIMITS_PAGE}],
        },
    ]
    if after_s is not None:
        message += f"\nPlease retry in {_seconds(after_s)}."
        details.append(_retry_info(after_s))
    return error_body(429, message, details=details)


def _retry_info(after_s: float) -> dict[str, Any]:
    return {"@type": f"{_RPC}RetryInfo", "retryDelay": _seconds(after_s)}


def _seconds(after_s: float) -> str:
    """As protobuf writes a duration: `2.4s`."""
    return f"{round(after_s, 3):g}s"
