"""Places for calls at one provider: how many may be under way from this process at a time, and how many of them in bulk."""

import asyncio

__all__ = ["Slots"]


class Slots:
    """Made with the places of all processes; a share may shrink while some are taken: then nobody gets one for a while.

    A bulk call gets a place that nobody else waits for, while bulk calls hold less than `bulk_share` of all (one at least).
    """

    def __init__(self, places: int, bulk_share: float = 0.0) -> None:
        self.taken = self.bulk_taken = 0
        self.places = self._whole = places
        self._bulk_share = bulk_share
        self._waiting = 0
        self._changed = asyncio.Event()

    @property
    def bulk_places(self) -> int:
        return max(1, int(self._bulk_share * self.places))

    def share(self, partitions: int, of: int) -> None:
        """Of a process that owns so many of the provider's partitions; one place at least."""
        self.places = max(1, self._whole * partitions // of)
        self._changed.set()

    async def take(self) -> None:
        """Returns once a place is ours."""
        self._waiting += 1
        try:
            while self.taken >= self.places:
                await self._change()
        finally:
            self._waiting -= 1
            self._changed.set()  # who waits for nobody to wait
        self.taken += 1

    async def take_bulk(self) -> None:
        """Returns once a place is ours that no other call wants."""
        while self._waiting or self.taken >= self.places or self.bulk_taken >= self.bulk_places:
            await self._change()
        self.taken += 1
        self.bulk_taken += 1

    def release(self, *, is_bulk: bool = False) -> None:
        self.taken -= 1
        self.bulk_taken -= is_bulk
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
