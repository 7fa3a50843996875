"""The retry budget: how many calls beyond the first ones a provider gets, so that retries never feed an outage.

At any moment, over the last 10 s: retries <= 0.2 x first attempts + 1 per second. So a first attempt earns 0.2 tokens,
and a quiet system may still retry. Tokens expire after 9 s, retries count for 10: so in every 10 s that end with a retry,
or within a second after one, calls are at most 1.2 x first attempts + 10 (the idea: Finagle's RetryBudget).

Each `route` process has its own, and of the one per second the share of the partitions that it owns: so the sum holds
over all of them. Reroutes around an open breaker and `returned` calls are free.
"""

from collections import deque
from dataclasses import dataclass, field

__all__ = ["FLOOR_PER_S", "RetryBudget"]

WINDOW_MS = 10_000
EARNED_MS = 9_000
FLOOR_PER_S = 1.0
_STEP_MS = 100


@dataclass(slots=True)
class _Tally:
    """A sum over time, in steps of 100 ms: (step, number)."""

    total: int = 0
    steps: deque[tuple[int, int]] = field(default_factory=deque)

    def add(self, step: int) -> None:
        self.total += 1
        if self.steps and self.steps[-1][0] >= step:
            last, number = self.steps.pop()
            self.steps.append((last, number + 1))
        else:
            self.steps.append((step, 1))

    def forget(self, before_step: int) -> None:
        while self.steps and self.steps[0][0] < before_step:
            self.total -= self.steps.popleft()[1]


@dataclass(slots=True)
class _Account:
    firsts: _Tally = field(default_factory=_Tally)
    retries: _Tally = field(default_factory=_Tally)


class RetryBudget:
    """All providers of one process; `floor_per_s` may change while it is used."""

    def __init__(self, *, ratio: float = 0.2, floor_per_s: float = FLOOR_PER_S) -> None:
        self.floor_per_s = floor_per_s
        self._ratio = ratio
        self._accounts: dict[str, _Account] = {}

    def first_attempt(self, provider: str, now_ms: int) -> None:
        self._account(provider, now_ms).firsts.add(now_ms // _STEP_MS)

    def take(self, provider: str, now_ms: int) -> bool:
        """Whether one more call may be made; it is then counted."""
        if self.tokens(provider, now_ms) < 1:
            return False
        self._accounts[provider].retries.add(now_ms // _STEP_MS)
        return True

    def tokens(self, provider: str, now_ms: int) -> float:
        """Calls that may be made at once."""
        account = self._account(provider, now_ms)
        floor = self.floor_per_s * WINDOW_MS / 1000
        return max(0.0, floor + self._ratio * account.firsts.total - account.retries.total)

    def _account(self, provider: str, now_ms: int) -> _Account:
        """A step that is partly out of the window earns nothing any more, and what was taken in it still counts."""
        account = self._accounts.setdefault(provider, _Account())
        account.firsts.forget((now_ms - EARNED_MS) // _STEP_MS + 1)
        account.retries.forget((now_ms - WINDOW_MS) // _STEP_MS)
        return account
