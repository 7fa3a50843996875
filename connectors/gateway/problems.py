"""Refusals and failures as callers read them: status, retry headers, and the body in the shape of the surface. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from starlette.responses import Response as HttpResponse

from schemas.errors import ERROR_CODES, ERROR_KINDS, ErrorCode, ErrorKind
from schemas.events import InvalidRequest, Response

__all__ = ["Problem", "error_body", "error_response", "from_invalid", "from_outcome"]

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(slots=True, frozen=True)
class Problem:
    """Why there is no answer. `status` and `should_retry` come from the code's row unless said."""

    code: str
    message: str
    param: str | None = None
    status: int | None = None
    should_retry: bool | None = None
    retry_after_s: float | None = None
    allow: str | None = None

    @property
    def http_status(self) -> int:
        if self.status is not None:
            return self.status
        return ERROR_CODES[ErrorCode(self.code)].status if self.code in _CODES else 500

    @property
    def retries(self) -> bool:
        if self.should_retry is not None:
            return self.should_retry
        return self.code in _CODES and ERROR_CODES[ErrorCode(self.code)].should_retry


_CODES = frozenset(ErrorCode)


def error_body(problem: Problem) -> bytes:
    """OpenAI's shape."""
    error = {
        "message": problem.message,
        "type": _type_of(problem),
        "param": problem.param,
        "code": problem.code,
    }
    return orjson.dumps({"error": error})


def error_response(
    problem: Problem,
    request_id: str | None = None,
    also: dict[str, str] | None = None,
    *,
    body: Callable[[Problem], bytes] = error_body,
) -> HttpResponse:
    """The problem over HTTP; `also`: headers known besides, `body`: how the surface says it."""
    headers = {**(also or {}), "x-should-retry": "true" if problem.retries else "false"}
    if request_id is not None:
        headers["x-request-id"] = request_id
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(max(0, math.ceil(problem.retry_after_s)))
    if problem.allow is not None:
        headers["allow"] = problem.allow
    if problem.http_status == 401:
        headers["www-authenticate"] = "Bearer"
    return HttpResponse(body(problem), problem.http_status, headers, "application/json")


def from_invalid(invalid: InvalidRequest) -> Problem:
    return Problem(invalid.code, invalid.message, invalid.param)


def from_outcome(response: Response) -> Problem:
    """The error of an outcome; a vendor's own code takes its status from the kind."""
    error = response.error
    if error is None:
        return Problem(ErrorCode.INTERNAL, "the outcome is an error without a reason")
    status = None
    if error.code not in _CODES and error.kind in frozenset(ErrorKind):
        status = ERROR_KINDS[ErrorKind(error.kind)].status
    return Problem(error.code, error.message, status=status, retry_after_s=error.retry_after_s)


def _type_of(problem: Problem) -> str:
    status = problem.http_status
    if problem.code == ErrorCode.INSUFFICIENT_QUOTA:
        return "insufficient_quota"
    return _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
