"""Usage: what callers asked for, used and paid, by groups. The question as people ask it, and the rows of its answer.

`requests` of a row are those whose outcome fell to the group; tokens and cost are those of the calls that were made for
callers (roles primary, retry, failover, continuation). By `role` everything that was booked is shown. A range is one of
`accepted_at`. Source: CONTRACT.md section 8.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.events import InvalidRequest
from schemas.events.ref import TimestampMs

__all__ = ["FOREVER_MS", "GROUPS", "UsageQuestion", "UsageRow", "usage_question"]

GROUPS: Final = ("model", "user", "day", "role")
"""Besides these `tag:NAME`."""

FOREVER_MS: Final = 7_258_118_400_000
"""2200-01-01: the end of a range without one."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d))?", re.ASCII)
_MAX_TAG: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True, frozen=True)
class UsageQuestion:
    """`by`: one of GROUPS, `tenant`, or `tag:NAME`; `tenant` empty: all. `from_ms` inclusive, `to_ms` exclusive."""

    by: str = "model"
    tenant: str = ""
    from_ms: TimestampMs = 0
    to_ms: TimestampMs = FOREVER_MS

    @property
    def tag(self) -> str:
        return self.by.partition(":")[2]


@dataclass(slots=True, frozen=True)
class UsageRow:
    """`by`: the group's value; None for requests and calls without one."""

    by: str | None
    requests: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int


def usage_question(
    by: str | None, start: str | None, end: str | None, *, tenant: str = ""
) -> UsageQuestion | InvalidRequest:
    """Times are RFC 3339; a date alone is its midnight UTC. What is not said: by model, since ever, without an end."""
    by = by or GROUPS[0]
    if by not in GROUPS and not (by.startswith("tag:") and 4 < len(by) <= 4 + _MAX_TAG):
        return InvalidRequest(f"`by` must be one of {', '.join(GROUPS)} or tag:NAME", param="by")
    from_ms, to_ms = _read(start, 0), _read(end, FOREVER_MS)
    if from_ms is None or to_ms is None:
        name = "from" if from_ms is None else "to"
        return InvalidRequest(f"`{name}` must be a time such as 2026-11-25T15:00:00Z, or a date", param=name)
    if from_ms > to_ms:
        return InvalidRequest("`from` is after `to`", param="from")
    return UsageQuestion(by, tenant, from_ms, to_ms)


def _read(text: str | None, otherwise: int) -> int | None:
    """Epoch milliseconds, rounded up, which changes nothing: records have whole ones. None if it is no time."""
    if text is None:
        return otherwise
    if not _TIME.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.upper() if len(text) > 10 else f"{text}T00:00:00Z")
    except ValueError:
        return None
    return min(max(0, -((_EPOCH - moment) // timedelta(milliseconds=1))), FOREVER_MS)
