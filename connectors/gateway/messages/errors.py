"""Problems as Anthropic says them. Source: platform.claude.com/docs/en/api/errors."""

import orjson

from connectors.gateway.problems import Problem

__all__ = ["error_body"]

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_body(problem: Problem) -> bytes:
    """`code` and `param` are ours: clients that know them need not guess from the type."""
    status = problem.http_status
    kind = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
    error = {"type": kind, "message": problem.message, "code": problem.code, "param": problem.param}
    return orjson.dumps({"type": "error", "error": error})
