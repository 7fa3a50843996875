"""What error bodies of all vendors have in common: kinds by status and by words, codes, the errors we say ourselves.

What is a vendor's own (its codes, the shape of its body) stands with its adapter. Source: provider_contracts.md
section 7.
"""

import re
from typing import Any

from schemas.errors import ErrorKind, ProviderError

__all__ = [
    "early_end",
    "first",
    "is_code",
    "kind_of_status",
    "kind_of_text",
    "malformed",
    "names_context",
    "names_state",
    "redirected",
]

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
_STATE = re.compile(
    r"thought.?signature|`signature`|thinking`? block|Expected `?thinking|encrypted.?content", re.IGNORECASE
)
_CODE = re.compile(r"[\w.:-]{1,64}")


def kind_of_status(status: int) -> ErrorKind:
    """What a status alone says; one that no row names is the caller's below 500, else the provider's."""
    return _BY_STATUS.get(status, ErrorKind.INVALID_REQUEST if status < 500 else ErrorKind.PROVIDER_FAULT)


def kind_of_text(text: str) -> ErrorKind:
    """For want of a status; what no row names is the provider's fault."""
    return next((kind for pattern, kind in _BY_TEXT if pattern.search(text)), ErrorKind.PROVIDER_FAULT)


def names_context(message: str) -> bool:
    """Words of a message that name a context too long."""
    return bool(_CONTEXT.search(message))


def names_state(message: str) -> bool:
    """Words of a message that name a signature, or thinking of an earlier turn, that is missing or not taken."""
    return bool(_STATE.search(message))


def is_code(word: str) -> bool:
    """Fit to be shown as a vendor's code: a word, no number."""
    return bool(_CODE.fullmatch(word)) and not word.isdecimal()


def first(body: Any) -> Any:
    """Some say an error as a list of one."""
    return (body[0] if body else None) if isinstance(body, list) else body


def redirected(status: int) -> ProviderError | None:
    if not 300 <= status < 400:
        return None
    return ProviderError(
        ErrorKind.PROVIDER_FAULT, status=status, code="redirect_refused", message="redirects are not followed"
    )


def malformed(message: str) -> ProviderError:
    return ProviderError(ErrorKind.MALFORMED_REPLY, code="malformed_reply", message=message)


def early_end() -> ProviderError:
    """The stream is over, and the vendor did not say that the answer is."""
    return ProviderError(
        ErrorKind.TRANSPORT, code="early_end", message="the stream ended before the answer was finished"
    )
