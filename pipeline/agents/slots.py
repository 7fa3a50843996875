"""Places for calls at one provider: how many may be under way from this process at a time."""

import asyncio
from collections.abc import Callable

__all__ = ["Slots"]


class Slots:
    """`whole` says how many places all processes have together; fewer than are taken: then nobody gets one for a while."""

    def __init__(self, whole: Callable[[], int]) -> None:
        self.taken = 0
        self._whole = whole
        self._partitions, self._of = 1, 1
        self._changed = asyncio.Event()

    @property
    def places(self) -> int:
        """One at least."""
        return max(1, self._whole() * self._partitions // self._of)

    def share(self, partitions: int, of: int) -> None:
        """Of a process that owns so many of the provider's partitions."""
        self._partitions, self._of = partitions, of
        self._changed.set()

    async def take(self) -> None:
        """Returns once a place is ours."""
        while self.taken >= self.places:
            self._changed.clear()
            await self._changed.wait()
        self.taken += 1

    def release(self) -> None:
        self.taken -= 1
        self._changed.set()
