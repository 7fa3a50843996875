"""Delivery: how a batch of records becomes rows exactly once, whatever dies when. Pure: a journey asks, the sink answers.

A batch is the records of one partition from offset `first` to `last`. Beside the group's committed offset stands `until`:
rows up to there may exist already. The journey of a batch:

    1. Intend      commit (first, until = last): from now on a successor knows what may be there
    2. Insert      one statement with a token that its offsets decide; acked -> 4
    3. in doubt (no answer, refused, or inherited from a predecessor that died):
       Settle      wait until no insert of this partition runs any more
       Missing     which offsets have no row
       Insert      those, until none is missing; refused -> Sieve, then halves, down to the record, which is buried
       Rebuild     the hours of rollups that this range touches
    4. Commit      last + 1

A token alone is not enough: ClickHouse logs it before the rows are there, so a kill in between loses rows that count as
written; hence the question what is missing, and a fresh token for that (docs/decisions/0008-exactly-once-into-clickhouse.md).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

__all__ = [
    "Bury",
    "Commit",
    "Effect",
    "Insert",
    "Inserted",
    "Intend",
    "Missing",
    "Rebuild",
    "Settle",
    "Sieve",
    "deliver",
    "metadata_of",
    "until_of",
]


class Inserted(Enum):
    """What is known of an insert: acked, refused for what is in it, or nothing."""

    ACKED = auto()
    REFUSED = auto()
    UNKNOWN = auto()


@dataclass(slots=True, frozen=True)
class Intend:
    """Answered when the broker has it."""

    first: int
    until: int


@dataclass(slots=True, frozen=True)
class Insert:
    """`is_repair`: under a token that nobody has used; answered with `Inserted`."""

    offsets: tuple[int, ...]
    is_repair: bool = False


@dataclass(slots=True, frozen=True)
class Settle:
    """Answered when no insert of this partition runs."""


@dataclass(slots=True, frozen=True)
class Missing:
    """Answered with those of the offsets that have no row."""

    offsets: tuple[int, ...]


@dataclass(slots=True, frozen=True)
class Sieve:
    """Answered with those of the offsets whose record cannot be decoded, and why."""

    offsets: tuple[int, ...]


@dataclass(slots=True, frozen=True)
class Bury:
    """To dead letters. `reason` None: it can be decoded, but the engine refuses it."""

    offset: int
    reason: str | None = None


@dataclass(slots=True, frozen=True)
class Rebuild:
    first: int
    last: int


@dataclass(slots=True, frozen=True)
class Commit:
    """`until` is None where nothing beyond is in doubt."""

    offset: int
    until: int | None


Effect = Intend | Insert | Settle | Missing | Sieve | Bury | Rebuild | Commit
Journey = Generator[Effect, Any, None]


def deliver(offsets: Sequence[int], first: int, last: int, *, until: int | None) -> Journey:
    """The journey of one batch.

    Args:
        offsets: records of it that can be rows; empty where nothing in the range can.
        first: where the range begins.
        last: where it ends.
        until: offset up to which rows may exist from before, None if none can.
    """
    rows, in_doubt = tuple(offsets), until is not None and until >= first
    yield Intend(first, max(last, until if until is not None else last))
    if rows:
        answer = Inserted.UNKNOWN if in_doubt else (yield Insert(rows))
        if answer is not Inserted.ACKED:
            yield from _settled(rows, first, last)
    yield Commit(last + 1, until if until is not None and until > last else None)


def _settled(rows: tuple[int, ...], first: int, last: int) -> Journey:
    yield Settle()
    missing = yield Missing(rows)
    if missing == rows:  # the first token again: an insert that is still on its way finds it taken
        missing = yield from _inserted(rows, is_repair=False)
    while missing:
        missing = yield from _inserted(missing, is_repair=True)
    yield Rebuild(first, last)


def _inserted(rows: tuple[int, ...], *, is_repair: bool) -> Generator[Effect, Any, tuple[int, ...]]:
    """Insert; what has to be inserted again."""
    match (yield Insert(rows, is_repair)):
        case Inserted.ACKED if is_repair:
            return ()  # what is still not there went by the table's retention
        case Inserted.REFUSED:
            return (yield from _sifted(rows))
    yield Settle()
    return (yield Missing(rows))  # type: ignore[no-any-return]


def _sifted(rows: tuple[int, ...]) -> Generator[Effect, Any, tuple[int, ...]]:
    """Bury what cannot be decoded; if everything can, find what the engine refuses by halves."""
    broken: dict[int, str] = yield Sieve(rows)
    for offset, reason in broken.items():
        yield Bury(offset, reason)
    if broken:
        return tuple(offset for offset in rows if offset not in broken)
    return (yield from _bisected(rows))


def _bisected(rows: tuple[int, ...]) -> Generator[Effect, Any, tuple[int, ...]]:
    if len(rows) == 1:
        yield Bury(rows[0])
        return ()
    left: tuple[int, ...] = ()
    for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        match (yield Insert(half, is_repair=True)):
            case Inserted.REFUSED:
                left += yield from _bisected(half)
            case Inserted.UNKNOWN:
                yield Settle()
                left += yield Missing(half)
    return left


def metadata_of(until: int | None) -> str:
    """What stands beside a committed offset."""
    return "" if until is None else f"until={until}"


def until_of(metadata: str) -> int | None:
    """Of the metadata of a commit; foreign text counts as none."""
    name, _, number = metadata.partition("=")
    return int(number) if name == "until" and number.isdigit() else None
