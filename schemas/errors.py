"""What can go wrong, as two tables: kinds of provider failure and codes that callers see.

A kind says what the platform does next (the router reads the row, it has no `if` per kind); a code says what the caller
reads. Sources: provider_contracts.md section 7 (kinds), CONTRACT.md section 4 (codes). Behaviour hangs on the rows
alone.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "ERROR_CODES",
    "ERROR_KINDS",
    "CodeRow",
    "ErrorCode",
    "ErrorKind",
    "KindRow",
    "ProviderError",
]


class ErrorKind(StrEnum):
    INVALID_REQUEST = "invalid_request"
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_FILTERED = "content_filtered"
    AUTH = "auth"
    QUOTA_EXHAUSTED = "quota_exhausted"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    PROVIDER_FAULT = "provider_fault"
    MALFORMED_REPLY = "malformed_reply"
    TIMEOUT = "timeout"
    TRANSPORT = "transport"
    NOT_FOUND = "not_found"
    CANCELLED = "cancelled"


STATE_REFUSED = "state_refused"
"""The code of an attempt whose vendor refused signatures or thinking of earlier turns: without them it may pass."""


CANNOT_SPELL = frozenset({"unsupported_content", "unsupported_parameter", "unsupported_operation"})
"""Codes of a call that was not made: this vendor or model cannot be given the request, another one may."""

BREAKER_OPEN = "breaker_open"
EVACUATED = "evacuated"
"""Codes of a call that was not made because its endpoint is out, and of one that was taken from a silent endpoint."""

SAYS_NOTHING = frozenset({"deadline_exceeded", "cancelled", "handed_over", "internal", BREAKER_OPEN, *CANNOT_SPELL})
"""Codes of attempts that say nothing about their endpoint."""


class ErrorCode(StrEnum):
    INVALID_REQUEST = "invalid_request"
    UNKNOWN_TENANT = "unknown_tenant"
    INVALID_API_KEY = "invalid_api_key"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    NO_ELIGIBLE_MODEL = "no_eligible_model"
    MODEL_NOT_FOUND = "model_not_found"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    BUDGET_EXCEEDED = "budget_exceeded"
    RATE_LIMITED_TENANT = "rate_limited_tenant"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    NOT_IMPLEMENTED_YET = "not_implemented_yet"
    RESPONSE_TOO_LARGE = "response_too_large"
    ALL_PROVIDERS_UNAVAILABLE = "all_providers_unavailable"
    BROKER_UNAVAILABLE = "broker_unavailable"
    ANALYTICS_UNAVAILABLE = "analytics_unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    OUTCOME_PENDING = "outcome_pending"
    STREAM_INTERRUPTED = "stream_interrupted"
    INVALID_REQUEST_ERROR = "invalid_request_error"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTER = "content_filter"
    PROVIDER_AUTH_ERROR = "provider_auth_error"
    INSUFFICIENT_QUOTA = "insufficient_quota"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    OVERLOADED = "overloaded"
    PROVIDER_ERROR = "provider_error"
    TIMEOUT = "timeout"
    PROVIDER_UNREACHABLE = "provider_unreachable"


@dataclass(frozen=True, slots=True)
class CodeRow:
    """How a code is said over HTTP; `should_retry` is the `x-should-retry` header.

    It is false on what is final and on what we have already retried: client SDKs try again twice on 408, 409, 429 and
    5xx, which would multiply our own attempts.
    """

    status: int
    should_retry: bool = False


ERROR_CODES: dict[ErrorCode, CodeRow] = {
    ErrorCode.INVALID_REQUEST: CodeRow(400),
    ErrorCode.UNKNOWN_TENANT: CodeRow(400),  # Kafka only: over HTTP the key decides the tenant
    ErrorCode.INVALID_API_KEY: CodeRow(401),
    ErrorCode.MODEL_NOT_ALLOWED: CodeRow(403),
    ErrorCode.NO_ELIGIBLE_MODEL: CodeRow(403),
    ErrorCode.MODEL_NOT_FOUND: CodeRow(404),
    ErrorCode.PAYLOAD_TOO_LARGE: CodeRow(413),
    ErrorCode.IDEMPOTENCY_MISMATCH: CodeRow(422),
    ErrorCode.BUDGET_EXCEEDED: CodeRow(429),
    ErrorCode.RATE_LIMITED_TENANT: CodeRow(429, should_retry=True),
    ErrorCode.CANCELLED: CodeRow(499),
    ErrorCode.INTERNAL: CodeRow(500),
    ErrorCode.NOT_IMPLEMENTED_YET: CodeRow(501),
    ErrorCode.RESPONSE_TOO_LARGE: CodeRow(502),
    ErrorCode.ALL_PROVIDERS_UNAVAILABLE: CodeRow(503, should_retry=True),
    ErrorCode.BROKER_UNAVAILABLE: CodeRow(503, should_retry=True),
    ErrorCode.ANALYTICS_UNAVAILABLE: CodeRow(503, should_retry=True),  # HTTP only: usage and older requests
    ErrorCode.DEADLINE_EXCEEDED: CodeRow(504),
    ErrorCode.OUTCOME_PENDING: CodeRow(504),  # without an Idempotency-Key a retry would be a second request
    ErrorCode.STREAM_INTERRUPTED: CodeRow(502),  # a frame of a running stream; the status only if nothing was sent
    ErrorCode.INVALID_REQUEST_ERROR: CodeRow(400),
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: CodeRow(400),
    ErrorCode.CONTENT_FILTER: CodeRow(400),
    ErrorCode.PROVIDER_AUTH_ERROR: CodeRow(502),
    ErrorCode.INSUFFICIENT_QUOTA: CodeRow(429),
    ErrorCode.RATE_LIMIT_EXCEEDED: CodeRow(429, should_retry=True),  # we did not try again: the wait was too long
    ErrorCode.OVERLOADED: CodeRow(503),
    ErrorCode.PROVIDER_ERROR: CodeRow(502),
    ErrorCode.TIMEOUT: CodeRow(504),
    ErrorCode.PROVIDER_UNREACHABLE: CodeRow(502),
}


@dataclass(frozen=True, slots=True)
class KindRow:
    """What a kind of failure means for the request, the endpoint and the credential.

    Attributes:
        code: said to the caller if nobody else can answer (`invalid_request` may say the vendor's own code instead).
        fails_over: the next candidate may be asked; false means fatal for the request.
        retries_same: how often the same endpoint may be asked again, while nothing went to the caller.
        waits: a `retry_after_s` that fits the deadline is worth waiting for.
        counts_for_breaker: the endpoint is judged by it.
        takes_credential_out: every endpoint of that key is out until the catalogue changes or a probe succeeds.
        alarms: somebody has to act; it does not pass by itself.
        larger_context_only: failing over makes sense only to a model with a larger context.
    """

    code: ErrorCode
    fails_over: bool = False
    retries_same: int = 0
    waits: bool = False
    counts_for_breaker: bool = False
    takes_credential_out: bool = False
    alarms: bool = False
    larger_context_only: bool = False

    @property
    def status(self) -> int:
        return ERROR_CODES[self.code].status


ERROR_KINDS: dict[ErrorKind, KindRow] = {
    ErrorKind.INVALID_REQUEST: KindRow(ErrorCode.INVALID_REQUEST_ERROR),
    ErrorKind.CONTEXT_TOO_LONG: KindRow(ErrorCode.CONTEXT_LENGTH_EXCEEDED, fails_over=True, larger_context_only=True),
    ErrorKind.CONTENT_FILTERED: KindRow(ErrorCode.CONTENT_FILTER),
    ErrorKind.AUTH: KindRow(ErrorCode.PROVIDER_AUTH_ERROR, fails_over=True, takes_credential_out=True, alarms=True),
    ErrorKind.QUOTA_EXHAUSTED: KindRow(
        ErrorCode.INSUFFICIENT_QUOTA, fails_over=True, takes_credential_out=True, alarms=True
    ),
    ErrorKind.RATE_LIMITED: KindRow(ErrorCode.RATE_LIMIT_EXCEEDED, fails_over=True, waits=True),
    ErrorKind.OVERLOADED: KindRow(ErrorCode.OVERLOADED, fails_over=True, retries_same=2, counts_for_breaker=True),
    ErrorKind.PROVIDER_FAULT: KindRow(
        ErrorCode.PROVIDER_ERROR, fails_over=True, retries_same=1, counts_for_breaker=True
    ),
    # The source table is silent about the breaker here: an endpoint that answers only garbage, or nobody, is down.
    ErrorKind.MALFORMED_REPLY: KindRow(
        ErrorCode.PROVIDER_ERROR, fails_over=True, retries_same=1, counts_for_breaker=True
    ),
    ErrorKind.TIMEOUT: KindRow(ErrorCode.TIMEOUT, fails_over=True, retries_same=1, counts_for_breaker=True),
    ErrorKind.TRANSPORT: KindRow(
        ErrorCode.PROVIDER_UNREACHABLE, fails_over=True, retries_same=1, counts_for_breaker=True
    ),
    ErrorKind.NOT_FOUND: KindRow(ErrorCode.MODEL_NOT_FOUND, fails_over=True, alarms=True),
    ErrorKind.CANCELLED: KindRow(ErrorCode.CANCELLED),
}


@dataclass(frozen=True, slots=True)
class ProviderError:
    """A failed call as a value: the facts that decide what happens next.

    Attributes:
        provider: the catalogue's name of the provider; adapters leave it empty, the driver fills it in.
        model: the catalogue's name of the model, filled in likewise.
        status: the vendor's HTTP status, None where no answer came.
        code: the vendor's own code, or ours where no answer came.
        message: one short line without credentials, addresses and tracebacks.
        retry_after_s: the vendor's wish, 0 for "at once", None if it said nothing.
    """

    kind: ErrorKind
    provider: str = ""
    model: str = ""
    status: int | None = None
    code: str | None = None
    message: str = ""
    retry_after_s: float | None = None
