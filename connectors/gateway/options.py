"""How a caller wants to be served: the request headers of CONTRACT.md section 5, checked."""

import re
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers

from connectors.gateway.problems import Problem
from schemas.errors import ErrorCode
from schemas.events.request import ID_PATTERN, MAX_TAGS

__all__ = ["Options", "read_options"]

_MAX_DEADLINE_MS = 86_400_000
_ID = re.compile(ID_PATTERN)
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
_CHOICES = {
    "x-priority": ("interactive", "batch"),
    "x-sensitivity": ("public", "internal", "confidential", "restricted"),
    "x-cache": ("on", "off"),
}
_NAMES = frozenset(
    {"idempotency-key", "x-conversation-id", "x-user-id", "x-deadline-ms", "x-tags", "traceparent", *_CHOICES}
)


@dataclass(slots=True)
class Options:
    """`traceparent`: None where the caller sent none that is valid (W3C Trace Context: start a new one)."""

    idempotency_key: str | None = None
    conversation_id: str | None = None
    user: str | None = None
    deadline_s: float | None = None
    tags: dict[str, str] = field(default_factory=dict)
    priority: str = "interactive"
    sensitivity: str | None = None
    cache: str | None = None
    traceparent: str | None = None


def read_options(headers: Headers) -> Options | Problem:
    """Reads the headers that are ours; a malformed one is a 400 that names it."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers.raw:
        name = raw_name.decode("latin-1")
        if name in _NAMES:
            try:
                value = raw_value.decode().strip()
            except UnicodeDecodeError:
                return _bad(name, "must be UTF-8")
            if found.setdefault(name, value) != value:
                return _bad(name, "is given twice")
    return _checked(found) if found else Options()


def _malformed(found: dict[str, str]) -> Problem | None:
    for name, words in _CHOICES.items():
        if found.get(name, words[0]) not in words:
            return _bad(name, f"must be one of {', '.join(words)}")
    if not _ID.match(found.get("x-conversation-id", "-")):
        return _bad("x-conversation-id", f"must match {ID_PATTERN}")
    if len(found.get("x-user-id", "")) > 256:
        return _bad("x-user-id", "must have at most 256 characters")
    if not 1 <= len(found.get("idempotency-key", "-")) <= 256:
        return _bad("idempotency-key", "must have 1 to 256 characters")
    return None


def _checked(found: dict[str, str]) -> Options | Problem:
    malformed = _malformed(found)
    if malformed is not None:
        return malformed
    deadline, tags = _deadline(found.get("x-deadline-ms")), _tags(found.get("x-tags"))
    if isinstance(deadline, Problem):
        return deadline
    if isinstance(tags, Problem):
        return tags
    trace = found.get("traceparent", "")
    known: dict[str, Any] = {"sensitivity": found.get("x-sensitivity"), "cache": found.get("x-cache")}
    return Options(
        idempotency_key=found.get("idempotency-key"),
        conversation_id=found.get("x-conversation-id"),
        user=found.get("x-user-id") or None,
        deadline_s=deadline,
        tags=tags,
        priority=found.get("x-priority", "interactive"),
        traceparent=trace if _TRACEPARENT.match(trace) else None,
        **known,
    )


def _deadline(value: str | None) -> float | Problem | None:
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9 or not 1 <= int(value) <= _MAX_DEADLINE_MS:
        return _bad("x-deadline-ms", f"must be whole milliseconds from now, 1 to {_MAX_DEADLINE_MS}")
    return int(value) / 1000


def _tags(value: str | None) -> dict[str, str] | Problem:
    tags: dict[str, str] = {}
    for pair in (value or "").split(","):
        if not pair.strip():
            continue
        name, equals, content = (part.strip() for part in pair.partition("="))
        if not equals or not 1 <= len(name) <= 64 or len(content) > 256 or name in tags:
            return _bad("x-tags", "must be `k=v,k=v`, names of 1 to 64 and values of at most 256 characters")
        tags[name] = content
    if len(tags) > MAX_TAGS:
        return _bad("x-tags", f"must hold at most {MAX_TAGS} tags")
    return tags


def _bad(name: str, why: str) -> Problem:
    return Problem(ErrorCode.INVALID_REQUEST, f"header `{name}` {why}", param=name)
