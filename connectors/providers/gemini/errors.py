"""Google's error bodies (`google.rpc.Status`) as kinds.

A 400 is a bad request, a wrong key or an account without billing; a 429 is a full minute, a full day or empty credits.
So, first match wins:

1. the reason in the details (`ErrorInfo`), and what a wrong key is said with where there is none;
2. of exhausted resources, what tells a day or an empty account from a minute;
3. words of the message that name an input too long;
4. the status by name, then by number; then words of the message.

Sources: ai.google.dev/gemini-api/docs/troubleshooting, cloud.google.com/apis/design/errors, provider_contracts.md
section 7.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.providers.error_bodies import (
    first,
    is_code,
    kind_of_status,
    kind_of_text,
    names_context,
    redirected,
)
from connectors.providers.retry_after import wait_in_text
from connectors.providers.scrub import scrubbed
from connectors.providers.wire_json import loads
from schemas.errors import ErrorKind, ProviderError

__all__ = ["error_in", "to_error"]

_BY_REASON: dict[str, ErrorKind] = {
    "API_KEY_INVALID": ErrorKind.AUTH,
    "API_KEY_EXPIRED": ErrorKind.AUTH,
    "API_KEY_SERVICE_BLOCKED": ErrorKind.AUTH,
    "BILLING_DISABLED": ErrorKind.QUOTA_EXHAUSTED,
}
_BY_NAME: dict[str, ErrorKind] = {
    "INVALID_ARGUMENT": ErrorKind.INVALID_REQUEST,
    "OUT_OF_RANGE": ErrorKind.INVALID_REQUEST,
    "FAILED_PRECONDITION": ErrorKind.QUOTA_EXHAUSTED,  # free tier not offered here: wants billing
    "UNAUTHENTICATED": ErrorKind.AUTH,
    "PERMISSION_DENIED": ErrorKind.AUTH,
    "NOT_FOUND": ErrorKind.NOT_FOUND,
    "RESOURCE_EXHAUSTED": ErrorKind.RATE_LIMITED,
    "ABORTED": ErrorKind.PROVIDER_FAULT,
    "CANCELLED": ErrorKind.PROVIDER_FAULT,  # by them: when we cancel, nobody reads the answer
    "INTERNAL": ErrorKind.PROVIDER_FAULT,
    "UNKNOWN": ErrorKind.PROVIDER_FAULT,
    "UNAVAILABLE": ErrorKind.OVERLOADED,
    "DEADLINE_EXCEEDED": ErrorKind.TIMEOUT,
}
_BAD_KEY = re.compile(r"api key (?:not valid|not found|expired)", re.IGNORECASE)
# Both an empty free tier and an empty account are said as 429 (continuedev/continue#12749, dyad-sh/dyad#3626).
_USED_UP = re.compile(r"\blimit: 0(?![\d.])|credits are depleted|\bper day\b", re.IGNORECASE)
_TOO_LONG = re.compile(r"input token count.{0,40}exceeds|exceeds the maximum number of tokens", re.IGNORECASE)
_DURATION = re.compile(r"\d{1,9}(?:\.\d{1,9})?s")
_PROJECT = re.compile(r"\bprojects?/[\w:.-]+|\b\d{9,}\b")


@dataclass(frozen=True, slots=True)
class _Facts:
    number: int | None = None
    name: str = ""
    message: str = ""
    details: list[Mapping[str, Any]] = field(default_factory=list)

    def told(self, key: str) -> str:
        """The first detail of that name, "" for none."""
        said = (detail.get(key) for detail in self.details)
        return next((value for value in said if isinstance(value, str)), "")

    def quotas(self) -> Iterator[str]:
        for detail in self.details:
            violations = detail.get("violations")
            for violation in violations if isinstance(violations, list) else ():
                if isinstance(violation, dict) and isinstance(violation.get("quotaId"), str):
                    yield violation["quotaId"]


def to_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Any answer outside 2xx: JSON of some shape, HTML, text or nothing."""
    if (refused := redirected(status)) is not None:
        return refused
    try:
        facts = _facts(loads(body))
    except ValueError:
        facts = _Facts()  # a page of some proxy: nothing in it is for callers
    return _error(facts, status)


def error_in(answer: Any) -> ProviderError | None:
    """The error in the JSON of an answer or event that came with status 200, if it is one."""
    answer = first(answer)
    if not isinstance(answer, dict) or not answer.get("error"):
        return None
    return _error(_facts(answer), None)


def _error(facts: _Facts, status: int | None) -> ProviderError:
    known = status if status is not None else facts.number
    message = scrubbed(_PROJECT.sub("[project]", facts.message[:3000]))
    return ProviderError(
        _kind(facts, known),
        status=known,
        code=next((word for word in (facts.told("reason"), facts.name) if is_code(word)), None),
        message=message or ("the provider reported an error" if known is None else f"HTTP {known}"),
        retry_after_s=_wait(facts),
    )


def _kind(facts: _Facts, status: int | None) -> ErrorKind:
    reason = facts.told("reason")
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if _BAD_KEY.search(facts.message):
        return ErrorKind.AUTH
    if facts.name == "RESOURCE_EXHAUSTED" or status == 429:
        return ErrorKind.QUOTA_EXHAUSTED if _is_used_up(facts) else ErrorKind.RATE_LIMITED
    if _TOO_LONG.search(facts.message) or names_context(facts.message):
        return ErrorKind.CONTEXT_TOO_LONG
    if facts.name in _BY_NAME:
        return _BY_NAME[facts.name]
    return kind_of_text(facts.message) if status is None else kind_of_status(status)


def _is_used_up(facts: _Facts) -> bool:
    return bool(_USED_UP.search(facts.message)) or any("PerDay" in quota for quota in facts.quotas())


def _wait(facts: _Facts) -> float | None:
    """`RetryInfo.retryDelay`, a protobuf Duration ("2.4s"); else what the message says."""
    delay = facts.told("retryDelay")
    return float(delay[:-1]) if _DURATION.fullmatch(delay) else wait_in_text(facts.message)


def _facts(body: Any) -> _Facts:
    """The shapes seen: `{error: {...}}`, `{error: text}`, the bare object, and each as a list of one."""
    body = first(body)
    if isinstance(body, dict) and body.get("error"):
        body = first(body["error"])
    if isinstance(body, str):
        return _Facts(message=body)
    if not isinstance(body, dict):
        return _Facts()
    number, name, message, details = (body.get(key) for key in ("code", "status", "message", "details"))
    return _Facts(
        number if isinstance(number, int) and 400 <= number < 600 else None,
        name if isinstance(name, str) else "",
        message if isinstance(message, str) else "",
        [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else [],
    )
