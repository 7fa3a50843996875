"""Places for calls at one provider: how many may be under way from this process at a time."""

import asyncio

__all__ = ["Slots"]


class Slots:
    """Made with the places of all processes; a share may shrink while some are taken: then nobody gets one for a while."""

    def __init__(self, places: int) -> None:
        self.taken = 0
        self.places = self._whole = places
        self._changed = asyncio.Event()

    def share(self, partitions: int, of: int) -> None:
        """Of a process that owns so many of the provider's partitions; one place at least."""
        self.places = max(1, self._whole * partitions // of)
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
