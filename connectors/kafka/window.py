"""The un-acked window of one partition: what has been delivered, what is still open, and what may be committed.

| step            | books                                              | commit position                       |
|-----------------|----------------------------------------------------|---------------------------------------|
| new assignment  | emptied, starts at the committed offset            | none                                  |
| delivered       | offset appended                                    | unchanged                             |
| acked           | offset closed; unknown or closed twice: no effect  | lowest open offset, else last + 1     |

Exact for holes in the log (compaction), because only offsets that were really delivered count.
"""

from collections import deque
from collections.abc import Iterable

__all__ = ["Window"]


class Window:
    __slots__ = ("_open", "_order", "next_offset", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.next_offset = start
        self._order: deque[int] = deque()
        self._open: dict[int, float] = {}

    def deliver(self, offsets: Iterable[int], now: float) -> None:
        """`offsets` ascend and follow the last one. `now`: monotonic seconds."""
        for offset in offsets:
            self._order.append(offset)
            self._open[offset] = now
            self.next_offset = offset + 1

    def ack(self, offset: int) -> bool:
        """False: not in this window, nothing happened."""
        return self._open.pop(offset, None) is not None

    def position(self) -> int | None:
        """Where a restart would begin; None while nothing has been finished since the start."""
        order = self._order
        while order and order[0] not in self._open:
            order.popleft()
        position = order[0] if order else self.next_offset
        return position if position > self.start else None

    def oldest(self) -> float | None:
        """When the oldest open record was delivered."""
        self.position()
        return self._open[self._order[0]] if self._order else None

    def __len__(self) -> int:
        return len(self._open)
