"""Intake: which records of a partition become the next batch. Pure.

Quiet times make small batches soon, catching up makes large ones. What is in doubt from before (see `delivery`) comes in the
range that it had, for its token to mean the same again.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

__all__ = ["MAX_BYTES", "MAX_RECORDS", "Intake"]

MAX_RECORDS = 10_000
MAX_BYTES = 8 * 1024 * 1024
LINGER_S = 1.5


class Record(Protocol):
    """What is needed of a record here."""

    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class Intake(Generic[R]):
    """The records of one partition that were read and not taken yet.

    Attributes:
        position: the next offset that will be read; offsets below it that did not come do not exist.
        until: rows up to this offset may exist already; None: none can.
    """

    position: int = 0
    until: int | None = None
    _records: deque[R] = field(default_factory=deque)
    _bytes: int = 0
    _since: float = 0.0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def bytes(self) -> int:
        return self._bytes

    @property
    def is_full(self) -> bool:
        return len(self._records) >= MAX_RECORDS or self._bytes >= MAX_BYTES

    @property
    def is_in_doubt(self) -> bool:
        return self.until is not None and self.position <= self.until

    def add(self, records: Sequence[R], position: int, now_s: float) -> None:
        """In order; `now_s` of a monotonic clock. Raises ValueError for what has been read already."""
        if records and records[0].offset < self.position:
            raise ValueError(f"offset {records[0].offset} comes again, {self.position} is next")
        if not self._records:
            self._since = now_s
        for record in records:
            self._records.append(record)
            self._bytes += len(record.value or b"")
        self.position = position

    def due_in(self, now_s: float) -> float | None:
        """Seconds until there is a batch to take; None: not before more records came."""
        if not self._records:
            return None
        if self.is_full:
            return 0.0
        if self.until is not None and self.until >= self._records[0].offset:
            return None if self.is_in_doubt else 0.0
        return max(0.0, self._since + LINGER_S - now_s)

    def take(self, now_s: float) -> list[R]:
        """The next batch; call it when one is due."""
        taken: list[R] = []
        size = 0
        limit = self.until if self.until is not None and self.until >= self._records[0].offset else None
        while self._records and len(taken) < MAX_RECORDS and (size < MAX_BYTES or not taken):
            if limit is not None and self._records[0].offset > limit:
                break
            taken.append(self._records.popleft())
            size += len(taken[-1].value or b"")
        self._bytes -= size
        self._since = now_s
        return taken
