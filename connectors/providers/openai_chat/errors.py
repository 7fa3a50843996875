"""Errors of OpenAI and of servers that speak like it, as kinds.

Status alone decides little: 429 is a full minute or an empty account, 400 a bad request or a long one, and some servers
say 200 and put the error into the body (maximhq/bifrost#5963). So, first match wins:

1. the vendor's code, then its type, where either is specific;
2. words of the message that name a context too long;
3. the status, or the number that the body gives as code;
4. words of the message; and what is still unknown is the provider's fault.

Source: platform.openai.com/docs/guides/error-codes, provider_contracts.md section 7.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.providers.retry_after import wait_in_text
from connectors.providers.scrub import scrubbed
from connectors.providers.wire_json import loads
from schemas.errors import ErrorKind, ProviderError

__all__ = ["error_in", "malformed", "to_error"]

_BY_WORD: dict[str, ErrorKind] = {
    "context_length_exceeded": ErrorKind.CONTEXT_TOO_LONG,
    "exceed_context_size_error": ErrorKind.CONTEXT_TOO_LONG,  # llama.cpp
    "content_filter": ErrorKind.CONTENT_FILTERED,
    "content_policy_violation": ErrorKind.CONTENT_FILTERED,
    "invalid_prompt": ErrorKind.CONTENT_FILTERED,  # OpenAI: the prompt was flagged
    "insufficient_quota": ErrorKind.QUOTA_EXHAUSTED,
    "credit_balance_exhausted": ErrorKind.QUOTA_EXHAUSTED,
    "billing_hard_limit_reached": ErrorKind.QUOTA_EXHAUSTED,
    "billing_not_active": ErrorKind.QUOTA_EXHAUSTED,
    "rate_limit_exceeded": ErrorKind.RATE_LIMITED,
    "rate_limit_error": ErrorKind.RATE_LIMITED,
    "rate_limit": ErrorKind.RATE_LIMITED,
    "slow_down": ErrorKind.RATE_LIMITED,
    "model_not_found": ErrorKind.NOT_FOUND,
    "not_found_error": ErrorKind.NOT_FOUND,
    "invalid_api_key": ErrorKind.AUTH,
    "authentication_error": ErrorKind.AUTH,
    "permission_error": ErrorKind.AUTH,
    "server_is_overloaded": ErrorKind.OVERLOADED,
    "overloaded_error": ErrorKind.OVERLOADED,
    "overloaded": ErrorKind.OVERLOADED,
    "timeout": ErrorKind.TIMEOUT,
    "timeout_error": ErrorKind.TIMEOUT,
}

_BY_STATUS: dict[int, ErrorKind] = {
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA_EXHAUSTED,
    403: ErrorKind.AUTH,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    409: ErrorKind.PROVIDER_FAULT,  # may be tried again, says OpenAI
    429: ErrorKind.RATE_LIMITED,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    524: ErrorKind.TIMEOUT,  # Cloudflare waited too long for the origin
    529: ErrorKind.OVERLOADED,
}

_CONTEXT = re.compile(
    r"context (?:length|window|size|limit)|(?:prompt|input) is too long|too many (?:input )?tokens",
    re.IGNORECASE,
)
_BY_TEXT: tuple[tuple[re.Pattern[str], ErrorKind], ...] = (
    (re.compile(r"rate.?limit|too many requests", re.IGNORECASE), ErrorKind.RATE_LIMITED),
    (
        re.compile(r"overloaded|at capacity|temporarily unavailable|try again later", re.IGNORECASE),
        ErrorKind.OVERLOADED,
    ),
    (re.compile(r"timed? ?out", re.IGNORECASE), ErrorKind.TIMEOUT),
    (re.compile(r"api key|unauthori[sz]ed|authentication", re.IGNORECASE), ErrorKind.AUTH),
    (re.compile(r"quota|billing|insufficient balance", re.IGNORECASE), ErrorKind.QUOTA_EXHAUSTED),
    (re.compile(r"model .*(?:not found|does not exist)", re.IGNORECASE), ErrorKind.NOT_FOUND),
)
# Said with many statuses (DeepSeek's empty balance is 402 with this code), so it decides only where there is no status.
_ONLY_WITHOUT_STATUS = {"invalid_request_error", "badrequesterror", "bad_request"}
_CODE = re.compile(r"[\w.:-]{1,64}")


@dataclass(frozen=True, slots=True)
class _Facts:
    code: str = ""
    type: str = ""
    message: str = ""


def to_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Any answer outside 2xx: JSON of some shape, HTML, text or nothing."""
    if 300 <= status < 400:
        return ProviderError(
            ErrorKind.PROVIDER_FAULT, status=status, code="redirect_refused", message="redirects are not followed"
        )
    try:
        facts = _facts(loads(body))
    except ValueError:
        facts = _Facts()  # a page of some proxy: nothing in it is for callers
    return _error(facts, status)


def error_in(answer: Any, *, named: bool = False) -> ProviderError | None:
    """The error in the JSON of an answer or event that came with status 200, if it is one.

    Args:
        answer: the parsed JSON.
        named: the event itself is called an error.
    """
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return None
    says_so = bool(answer.get("error")) or "error" in (answer.get("object"), answer.get("type"))
    bare = not answer.get("choices") and ("detail" in answer or "message" in answer or "errors" in answer)
    return _error(_facts(answer), None) if says_so or bare or named else None


def malformed(message: str) -> ProviderError:
    return ProviderError(ErrorKind.MALFORMED_REPLY, code="malformed_reply", message=message)


def _error(facts: _Facts, status: int | None) -> ProviderError:
    known = status if status is not None else _number(facts.code)
    return ProviderError(
        _kind(facts, known),
        status=known,
        code=next((word for word in (facts.code, facts.type) if _is_code(word)), None),
        message=scrubbed(facts.message) or ("the provider reported an error" if known is None else f"HTTP {known}"),
        retry_after_s=wait_in_text(facts.message),
    )


def _kind(facts: _Facts, status: int | None) -> ErrorKind:
    words = (facts.code.lower(), facts.type.lower())
    for word in words:
        if word in _BY_WORD:
            return _BY_WORD[word]
    if status != 429 and _CONTEXT.search(facts.message):
        return ErrorKind.CONTEXT_TOO_LONG
    if status is not None:
        return _BY_STATUS.get(status, ErrorKind.INVALID_REQUEST if status < 500 else ErrorKind.PROVIDER_FAULT)
    if any(word in _ONLY_WITHOUT_STATUS for word in words):
        return ErrorKind.INVALID_REQUEST
    text = f"{facts.type} {facts.message}"
    return next((kind for pattern, kind in _BY_TEXT if pattern.search(text)), ErrorKind.PROVIDER_FAULT)


def _facts(body: Any) -> _Facts:
    """The shapes seen: `{error: {...}}`, `{error: text}`, the bare object, `{detail}`, `{errors: [...]}`, a list."""
    if isinstance(body, list):
        body = body[0] if body else None
    if isinstance(body, str):
        return _Facts(message=body)
    if not isinstance(body, dict):
        return _Facts()
    for inner in ("error", "errors", "detail"):
        if body.get(inner) and not isinstance(body[inner], int | float):
            found = _facts(body[inner])
            return _Facts(found.code or _word(body.get("code")), found.type or _word(body.get("type")), found.message)
    message = body.get("message") or body.get("msg")
    return _Facts(_word(body.get("code")), _word(body.get("type")), message if isinstance(message, str) else "")


def _word(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _number(code: str) -> int | None:
    """An HTTP status given as the code of the body."""
    return int(code) if len(code) == 3 and code.isdecimal() and 400 <= int(code) < 600 else None


def _is_code(word: str) -> bool:
    return bool(_CODE.fullmatch(word)) and not word.isdecimal()
