"""Errors of OpenAI and of servers that speak like it, as kinds.

Status alone decides little: 429 is a full minute or an empty account, 400 a bad request or a long one, and some servers
say 200 and put the error into the body (maximhq/bifrost#5963). So, first match wins:

1. the vendor's code, then its type, where either is specific;
2. words of the message that name a context too long;
3. the status, or the number that the body gives as code;
4. words of the message; and what is still unknown is the provider's fault.

Source: platform.openai.com/docs/guides/error-codes, provider_contracts.md section 7.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.providers.error_bodies import (
    first,
    is_code,
    kind_of_status,
    kind_of_text,
    malformed,
    names_context,
    redirected,
)
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
    "image_content_policy_violation": ErrorKind.CONTENT_FILTERED,
    "bio_policy": ErrorKind.CONTENT_FILTERED,
    "misalignment_policy_violation": ErrorKind.CONTENT_FILTERED,
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

# Said with many statuses (DeepSeek's empty balance is 402 with this code), so it decides only where there is no status.
_ONLY_WITHOUT_STATUS = {
    "invalid_request_error", "badrequesterror", "bad_request",
    # A failed response (Responses API) names what is wrong with an image.
    "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "image_too_large",
    "image_too_small", "image_parse_error", "invalid_image_mode", "image_file_too_large", "empty_image_file",
    "unsupported_image_media_type", "failed_to_download_image", "image_file_not_found", "data_residency_mismatch",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Facts:
    code: str = ""
    type: str = ""
    message: str = ""


def to_error(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Any answer outside 2xx: JSON of some shape, HTML, text or nothing."""
    if (refused := redirected(status)) is not None:
        return refused
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
    answer = first(answer)
    if not isinstance(answer, dict):
        return None
    says_so = bool(answer.get("error")) or "error" in (answer.get("object"), answer.get("type"))
    bare = not answer.get("choices") and ("detail" in answer or "message" in answer or "errors" in answer)
    return _error(_facts(answer), None) if says_so or bare or named else None


def _error(facts: _Facts, status: int | None) -> ProviderError:
    known = status if status is not None else _number(facts.code)
    return ProviderError(
        _kind(facts, known),
        status=known,
        code=next((word for word in (facts.code, facts.type) if is_code(word)), None),
        message=scrubbed(facts.message) or ("the provider reported an error" if known is None else f"HTTP {known}"),
        retry_after_s=wait_in_text(facts.message),
    )


def _kind(facts: _Facts, status: int | None) -> ErrorKind:
    words = (facts.code.lower(), facts.type.lower())
    for word in words:
        if word in _BY_WORD:
            return _BY_WORD[word]
    if status != 429 and names_context(facts.message):
        return ErrorKind.CONTEXT_TOO_LONG
    if status is not None:
        return kind_of_status(status)
    if any(word in _ONLY_WITHOUT_STATUS for word in words):
        return ErrorKind.INVALID_REQUEST
    return kind_of_text(f"{facts.type} {facts.message}")


def _facts(body: Any) -> _Facts:
    """The shapes seen: `{error: {...}}`, `{error: text}`, the bare object, `{detail}`, `{errors: [...]}`, a list."""
    body = first(body)
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
