"""What vendors fail with, as the simulator's directives, and what the caller must be told (provider_contracts.md 7)."""

from dataclasses import dataclass, field
from typing import Any

from tests.integration.conformance.vendors import VENDORS


@dataclass(frozen=True, kw_only=True)
class FaultCase:
    """`codes`: any of them is right. `on`: asked whole, streamed or both. `but`: vendor -> what it does instead."""

    name: str
    directive: str
    status: int
    codes: tuple[str, ...]
    retry_after: str | None = None
    should_retry: str = "false"
    on: tuple[str, ...] = ("whole", "streamed")
    but: dict[str, str] = field(default_factory=dict)


def fault(name: str, status: int, *codes: str, more: str = "", **facts: Any) -> FaultCase:
    return FaultCase(name=name, directive=f"fault={name.partition('~')[0]} {more}", status=status, codes=codes, **facts)


_WAIT = {"status": 429, "should_retry": "true"}
FAULTS = [
    fault("invalid_request", 400, "invalid_request_error"),
    fault("context_too_long", 400, "context_length_exceeded"),
    fault("content_filtered", 400, "content_filter", but={"gemini": "200 with finish reason content_filter"}),
    fault("auth", 502, "provider_auth_error"),
    fault("permission", 502, "provider_auth_error"),
    fault("quota_exhausted", 429, "insufficient_quota"),
    fault("billing", 429, "insufficient_quota"),
    fault("rate_limited", 429, "rate_limit_exceeded", more="retry_after_s=7", retry_after="7", should_retry="true"),
    fault("rate_limited~fraction", 429, "rate_limit_exceeded", more="retry_after_s=2.4", retry_after="3",
          should_retry="true"),
    fault("overloaded", 503, "overloaded", more="retry_after_s=4", retry_after="4"),
    fault("provider_fault", 502, "provider_error"),
    fault("html_502", 502, "provider_error"),
    fault("timeout", 504, "timeout"),
    fault("not_found", 404, "model_not_found"),
    fault("reset", 502, "provider_unreachable"),
    fault("close", 502, "provider_unreachable"),
    fault("hang_before_headers", 504, "timeout"),
    fault("hang_after_headers", 504, "timeout"),
    fault("error_200", 502, "provider_error"),
    fault("malformed", 502, "provider_error", "provider_unreachable", on=("whole",)),
    fault("wrong_shape", 502, "provider_error", on=("whole",)),
    fault("empty_body", 502, "provider_error", "provider_unreachable"),
]  # fmt: skip
REFUSED_FAULTS = {
    f"{case.name}-{vendor}": (case, vendor) for case in FAULTS for vendor in VENDORS if vendor not in case.but
}
BREAKS = ("early_end", "error_mid_stream", "reset_mid_stream", "close_mid_stream", "hang_mid_stream", "malformed")
BROKEN = {f"{kind}-{vendor}": (kind, vendor) for kind in BREAKS for vendor in VENDORS}


@dataclass(frozen=True)
class Again:
    """A fault of the first call, and how often the vendor is called in all for one request."""

    directive: str
    calls: int
    status: int = 200


AGAIN = {
    "overloaded": Again("fault=overloaded fail_attempts=1 retry_after_s=0.1", 2),
    "provider-fault": Again("fault=provider_fault fail_attempts=1 retry_after_s=0.1", 2),
    "rate-limited": Again("fault=rate_limited fail_attempts=1 retry_after_s=0.5", 2),
    "reset": Again("fault=reset fail_attempts=1", 2),
    "quota-exhausted": Again("fault=quota_exhausted fail_attempts=1", 1, 429),
    "invalid-request": Again("fault=invalid_request fail_attempts=1", 1, 400),
    "a-wait-beyond-the-deadline": Again("fault=rate_limited retry_after_s=500", 1, 429),
}
RETRIED = {f"{name}-{vendor}": (again, vendor) for name, again in AGAIN.items() for vendor in VENDORS}
GONE = {
    f"{when}-{vendor}": (when, vendor)
    for when in ("before-the-first-byte", "inside-the-stream", "unstreamed")
    for vendor in VENDORS
}
