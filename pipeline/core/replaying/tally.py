"""What became of the requests of a run: a fold of `responses` and `costs`, in any order, with repetitions.

A request is open until its outcome and the lines of all its calls are there. The first outcome counts, and a line by its id.
"""

from dataclasses import dataclass, field

from pipeline.core.replaying.asking import Skip
from schemas.events import Cost, Response

__all__ = ["Tally"]


@dataclass(slots=True)
class _Sent:
    """`worst_nano_usd` while it is open; `lines` are those of its charges."""

    worst_nano_usd: int
    outcome: str = ""
    calls: int = 0
    lines: set[str] = field(default_factory=set)

    @property
    def is_closed(self) -> bool:
        return bool(self.outcome) and len(self.lines) >= self.calls


@dataclass(slots=True)
class Tally:
    """All money is of the whole run; `owed_nano_usd` is what those that are open may still cost."""

    cost_nano_usd: int = 0
    owed_nano_usd: int = 0
    open: set[str] = field(default_factory=set)
    unanswered: int = 0
    _requests: dict[str, _Sent] = field(default_factory=dict)
    _outcomes: dict[str, int] = field(default_factory=dict)
    _booked: set[str] = field(default_factory=set)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._requests

    def sent(self, request_id: str, worst_nano_usd: int = 0) -> None:
        """Before it is written, or found written; the second time changes nothing."""
        if request_id in self._requests:
            return
        self._requests[request_id] = _Sent(worst_nano_usd)
        self.open.add(request_id)
        self.unanswered += 1
        self.owed_nano_usd += worst_nano_usd

    def answered(self, response: Response) -> bool:
        """Whether it was one of ours, and news."""
        request = self._requests.get(response.request_id)
        if request is None or request.outcome:
            return False
        is_refused = response.error is not None and response.error.code == Skip.NO_ELIGIBLE_MODEL
        request.outcome = Skip.NO_ELIGIBLE_MODEL.value if is_refused else response.outcome
        request.calls = response.attempts
        self._outcomes[request.outcome] = self._outcomes.get(request.outcome, 0) + 1
        self.unanswered -= 1
        self._close(response.request_id, request)
        return True

    def booked(self, cost: Cost) -> bool:
        """Whether it was one of ours, and news."""
        request = self._requests.get(cost.request_id)
        if request is None or cost.cost_id in self._booked:
            return False
        self._booked.add(cost.cost_id)
        self.cost_nano_usd += cost.cost_nano_usd
        if cost.kind == "charge":
            request.lines.add(cost.cost_id)
        self._close(cost.request_id, request)
        return True

    def _close(self, request_id: str, request: _Sent) -> None:
        if request.is_closed and request_id in self.open:
            self.open.discard(request_id)
            self.owed_nano_usd -= request.worst_nano_usd

    @property
    def refused(self) -> int:
        """By policy: they were put through and nobody may answer them."""
        return self._outcomes.get(Skip.NO_ELIGIBLE_MODEL, 0)

    def figures(self, skipped: dict[Skip, int]) -> dict[str, object]:
        """Those of the contract; `skipped` are the ones that were not put through."""
        reasons = {**skipped, Skip.NO_ELIGIBLE_MODEL: self.refused}
        return {
            "sent": len(self._requests) - self.refused,
            "ok": self._outcomes.get("ok", 0),
            "error": self._outcomes.get("error", 0),
            "skipped": {reason.value: number for reason, number in sorted(reasons.items()) if number},
            "cost_nano_usd": self.cost_nano_usd,
        }
