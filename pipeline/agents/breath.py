"""How late this process's loop is, and a pause for work that nobody waits for: places are not all that calls compete for."""

import asyncio

__all__ = ["Breath"]

_GAP_S = 0.01
"""Between two that come together: each costs the loop a few milliseconds, and others want it in between."""

_EVERY_S = 0.05
_LATE_S = 0.01
"""A loop that is less late has time to spare."""
_TIMES = 10
_LONGEST_S = 0.5
_FADES = 0.8


class Breath:
    def __init__(self) -> None:
        self.late_s = 0.0

    async def watch(self) -> None:
        """For ever: what was late a moment ago is remembered a little."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY_S
            await asyncio.sleep(_EVERY_S)
            self.noted(loop.time() - due)

    def noted(self, late_s: float) -> None:
        self.late_s = max(late_s, self.late_s * _FADES)

    @property
    def pause_s(self) -> float:
        return min(_LONGEST_S, _TIMES * self.late_s) if self.late_s > _LATE_S else _GAP_S

    async def pause(self) -> None:
        """The longer, the later it is; never so long that nothing goes on."""
        await asyncio.sleep(self.pause_s)
