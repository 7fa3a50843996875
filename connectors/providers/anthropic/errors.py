"""Anthropic's errors as kinds: `{"type": "error", "error": {"type", "message", "details"}, "request_id"}`.

First match wins:

1. `error.details.error_code`: a spend limit without a time to wait is an empty account, not a full minute;
2. words of the message where the type says no more than "invalid request": prompt too long, account empty, filtered;
3. the type of the error;
4. the status, for pages of proxies;
5. for want of a status, the type or the words.

Source: platform.claude.com/docs/en/api/errors, provider_contracts.md section 7.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
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

_BY_TYPE: dict[str, ErrorKind] = {
    "authentication_error": ErrorKind.AUTH,
    "permission_error": ErrorKind.AUTH,
    "billing_error": ErrorKind.QUOTA_EXHAUSTED,
    "not_found_error": ErrorKind.NOT_FOUND,
    "rate_limit_error": ErrorKind.RATE_LIMITED,
    "ramp_limit_exceeded": ErrorKind.RATE_LIMITED,
    "timeout_error": ErrorKind.TIMEOUT,
    "overloaded_error": ErrorKind.OVERLOADED,
    "request_too_large": ErrorKind.INVALID_REQUEST,
}
# Said with other statuses too, which then say more.
_WITHOUT_STATUS: dict[str, ErrorKind] = {
    "invalid_request_error": ErrorKind.INVALID_REQUEST,
    "api_error": ErrorKind.PROVIDER_FAULT,
}
# Types behind which anything may hide: only here the words of the message count.
_VAGUE = frozenset({"invalid_request_error", "request_too_large", ""})
_WORDS: tuple[tuple[re.Pattern[str], ErrorKind], ...] = (
    (
        re.compile(r"credit balance is too low|usage limits?\b|spend(?:ing)? limit", re.IGNORECASE),
        ErrorKind.QUOTA_EXHAUSTED,
    ),
    (re.compile(r"content filtering policy", re.IGNORECASE), ErrorKind.CONTENT_FILTERED),
)
_SPEND_LIMIT = "_spend_limit_reached"
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class _Facts:
    type: str = ""
    code: str = ""
    message: str = ""


def to_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Any answer outside 2xx: JSON, a page of some proxy, or nothing."""
    if (refused := redirected(status)) is not None:
        return refused
    try:
        facts = _facts(loads(body))
    except ValueError:
        facts = _Facts()  # a page of some proxy: nothing in it is for callers
    if status == _TOO_LARGE and not facts.type:
        facts = _Facts("request_too_large", facts.code, facts.message)
    return _error(facts, status, may_wait="retry-after" in headers)


def error_in(answer: Any, *, named: bool = False) -> ProviderError | None:
    """The error in the JSON of an answer or event that came with status 200, if it is one.

    Args:
        answer: the parsed JSON.
        named: the event itself is called an error.
    """
    answer = first(answer)
    if not isinstance(answer, dict):
        return None
    is_error = named or bool(answer.get("error")) or answer.get("type") == "error"
    is_bare = "type" not in answer and ("message" in answer or "detail" in answer)
    return _error(_facts(answer), None, may_wait=False) if is_error or is_bare else None


def _error(facts: _Facts, status: int | None, *, may_wait: bool) -> ProviderError:
    return ProviderError(
        _kind(facts, status, may_wait=may_wait),
        status=status,
        code=next((word for word in (facts.code, facts.type) if is_code(word)), None),
        message=scrubbed(facts.message) or ("the provider reported an error" if status is None else f"HTTP {status}"),
        retry_after_s=wait_in_text(facts.message),
    )


def _kind(facts: _Facts, status: int | None, *, may_wait: bool) -> ErrorKind:
    if facts.code.endswith(_SPEND_LIMIT):
        return ErrorKind.RATE_LIMITED if may_wait else ErrorKind.QUOTA_EXHAUSTED
    if facts.type in _VAGUE and (meant := _kind_of_words(facts.message)) is not None:
        return meant
    for word in (facts.code, facts.type):
        if word in _BY_TYPE:
            return _BY_TYPE[word]
    if status is not None:
        return kind_of_status(status)
    return _WITHOUT_STATUS.get(facts.type) or kind_of_text(f"{facts.type} {facts.message}")


def _kind_of_words(message: str) -> ErrorKind | None:
    if names_context(message):
        return ErrorKind.CONTEXT_TOO_LONG
    return next((kind for pattern, kind in _WORDS if pattern.search(message)), None)


def _facts(body: Any) -> _Facts:
    """Anthropic's shape, and what proxies before it say: `{error: text}`, `{detail}`, `{message}`."""
    body = first(body)
    if not isinstance(body, dict):
        return _Facts()
    error = body.get("error") or body.get("detail") or body
    if not isinstance(error, dict):
        return _Facts(message=_text(error))
    details = error.get("details")
    code = _text(details.get("error_code")) if isinstance(details, dict) else ""
    type_ = _text(error.get("type"))
    return _Facts("" if type_ == "error" else type_, code, _text(error.get("message")))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
