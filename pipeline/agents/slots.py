"""Places for calls at one provider: how many may be under way from this process at a time."""

import asyncio

__all__ = ["Slots"]


class Slots:
    """`places` may change while some are taken: then nobody gets one until fewer are taken than there are."""

    def __init__(self, places: int) -> None:
        self.taken = 0
        self._places = places
        self._changed = asyncio.Event()

    def resize(self, places: int) -> None:
        self._places = places
        self._changed.set()

    async def take(self) -> None:
        """Returns once a place is ours."""
        while self.taken >= self._places:
            self._changed.clear()
            await self._changed.wait()
        self.taken += 1

    def release(self) -> None:
        self.taken -= 1
        self._changed.set()
