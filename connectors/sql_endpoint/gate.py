"""How many statements run at once, and how many may wait for their turn."""

import asyncio
from types import TracebackType

from connectors.sql_endpoint.errors import SqlError

__all__ = ["Gate"]


class Gate:
    """`async with gate:` is a place; who finds the queue full is told to come back, at once."""

    def __init__(self, places: int, queue: int) -> None:
        self._free = asyncio.Semaphore(places)
        self._queue = queue
        self.running = 0
        self.waiting = 0

    async def __aenter__(self) -> None:
        if self.waiting >= self._queue:
            raise SqlError(202, f"Too many simultaneous queries: {self.running} run, {self.waiting} wait")
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.running += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running -= 1
        self._free.release()
