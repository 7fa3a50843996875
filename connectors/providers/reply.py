"""What a vendor's answer is held against while it is read; a breach is a malformed reply, never a guess."""

from typing import Any

__all__ = ["MalformedReplyError", "count", "expect"]


class MalformedReplyError(ValueError):
    """The reply breaks the schema; never leaves the adapter."""


def expect(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise MalformedReplyError(f"{what} has the wrong type")
    return value


def count(value: Any) -> int | None:
    """A number of tokens; what no integer of JSON can hold exactly is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and 0 <= value < 2**53 else None
