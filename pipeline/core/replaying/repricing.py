"""What corrected prices change: a signed line per attempt, by which the ledger comes to what it should have said.

The line's id is that of the attempt, the new price version and how many lines there are already: a run that was killed
books the same line again under the same id, and going back to an earlier price is another line, not a repetition.

An estimate that the vendor's own figures corrected later (`agents/settle`) was booked as a difference in money: what was
really used stands in `attempts` only. Without it the attempt is left alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeline.core.pricing import cost_nano_usd, is_estimate
from schemas.completion import Usage
from schemas.events import Cost, Price
from schemas.events.ref import TimestampMs
from schemas.ids import cost_id
from schemas.ledger import Booked

__all__ = ["Left", "Slice", "adjustment", "needs_usage", "slices"]

_ADJUST = "adjust"


class Left(StrEnum):
    """Why an attempt keeps what is booked."""

    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_USAGE = "unknown_usage"


def needs_usage(line: Booked) -> bool:
    """Whether its charge does not say what was used, because the vendor said it later."""
    if not line.is_counted or not line.adjust_ids:
        return False
    return cost_id(line.attempt_id, _ADJUST, line.price_version) in line.adjust_ids


def adjustment(line: Booked, price: Price, usage: Usage | None = None) -> Cost | None:
    """The line to add; None if the ledger is right. `usage` where the charge does not say it."""
    used = usage or Usage(
        line.input_tokens,
        line.output_tokens,
        line.cache_read_tokens,
        line.cache_write_tokens,
        line.reasoning_tokens,
        line.is_counted,
        line.cache_write_1h_tokens,
        line.service_tier,
    )
    difference = cost_nano_usd(used, price) - line.cost_nano_usd
    if not difference:
        return None
    return Cost(
        cost_id=cost_id(line.attempt_id, _ADJUST, f"{price.version}/{len(line.adjust_ids) + 1}"),
        request_id=line.request_id,
        attempt=line.attempt,
        attempt_id=line.attempt_id,
        tenant=line.tenant,
        user=line.user,
        key_id=line.key_id,
        tags=line.tags,
        provider=line.provider,
        model=line.model,
        role=line.role,
        usage=Usage(),
        cost_nano_usd=difference,
        price_version=price.version,
        estimated=is_estimate(used, price),
        effective=False,
        kind=_ADJUST,
        at=line.at,
        accepted_at=line.accepted_at,
    )


@dataclass(slots=True, frozen=True)
class Slice:
    """A part of the ledger that fits into memory: a range of time (`to_ms` exclusive), and of it one of `parts`."""

    from_ms: TimestampMs
    to_ms: TimestampMs
    part: int = 0
    parts: int = 1
    lines: int = 0


def slices(counts: Iterable[tuple[TimestampMs, int]], step_ms: int, most: int) -> Iterator[Slice]:
    """Neighbouring steps together as long as they have at most `most` lines; a step that has more by itself in parts.

    Args:
        counts: begin of a step and its lines, in order of time; steps without lines are left out.
        step_ms: how long each is.
        most: lines.
    """
    begin, end, lines = 0, 0, 0
    for at, number in counts:
        if lines and lines + number > most:
            yield from _parts(Slice(begin, end, lines=lines), most)
            lines = 0
        if not lines:
            begin = at
        end, lines = at + step_ms, lines + number
    if lines:
        yield from _parts(Slice(begin, end, lines=lines), most)


def _parts(whole: Slice, most: int) -> Iterator[Slice]:
    parts = -(-whole.lines // most)
    for part in range(parts):
        yield Slice(whole.from_ms, whole.to_ms, part, parts, whole.lines // parts + (part < whole.lines % parts))
