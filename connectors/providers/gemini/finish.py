"""Why a candidate ended, as one of the four finish reasons or as a fault.

A call anywhere in the answer makes `STOP` mean `tool_calls`. A reason that no row names counts as `stop` if there is
content, else as the provider's fault. Source: ai.google.dev/api/generate-content#FinishReason, provider_contracts.md
section 5.
"""

from connectors.providers.answer import ChoiceFold
from connectors.providers.error_bodies import is_code, malformed
from schemas.completion import Choice, FinishReason
from schemas.errors import ErrorKind, ProviderError

__all__ = ["finished"]

_LENGTH = ("MAX_TOKENS", "CONTINUATION")
_FILTERED = (
    *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION", "MODEL_ARMOR"),
    *("OTHER", "NO_IMAGE", "PUP_LIMITED_DISABLED"),
)
_FAULTS = frozenset(
    {
        "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
    }
)  # fmt: skip
_FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    **dict.fromkeys(_LENGTH, "length"),
    **dict.fromkeys(_FILTERED, "content_filter"),
}


def finished(fold: ChoiceFold, reason: str) -> Choice | ProviderError:
    """The choice with its finish reason; `reason` is the vendor's, "" if it said none."""
    if not reason:
        return malformed("the answer has no finish reason")
    meant = "content_filter" if reason.startswith("IMAGE_") else _FINISH.get(reason)
    if reason in _FAULTS or (meant is None and not fold.has_content):
        code = reason if is_code(reason) else None
        return ProviderError(ErrorKind.PROVIDER_FAULT, code=code, message="the provider gave up on the answer")
    if meant is None or meant == "stop":
        return fold.done("tool_calls" if fold.calls else "stop")
    return fold.done(meant)
