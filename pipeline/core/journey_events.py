"""What a journey is told: the events of `attempts`, the answers to its own steps (`outcomes`), and that its time is over."""

from dataclasses import dataclass

from schemas.events import Attempt, Decision, Prefix, Ref

__all__ = [
    "BudgetSpent",
    "CancelAsked",
    "Collected",
    "DeadlinePassed",
    "Decided",
    "DecisionFailed",
    "Event",
    "Recovered",
]


@dataclass(slots=True, frozen=True)
class Decided:
    """`prefills`: the chosen model goes on with a begun answer by itself; `context_tokens` is what it can read."""

    decision: Decision
    prefills: bool = False
    context_tokens: int = 0


@dataclass(slots=True, frozen=True)
class Recovered:
    """What was found of an attempt whose worker died: its answer, or whether pieces of it went out, and how much."""

    attempt_id: str
    response: Ref | None
    streamed: bool
    output_tokens: int = 0


@dataclass(slots=True, frozen=True)
class Collected:
    """What went out of the answer; None if nobody can go on from there."""

    prefix: Prefix | None


@dataclass(slots=True, frozen=True)
class DeadlinePassed:
    pass


@dataclass(slots=True, frozen=True)
class CancelAsked:
    pass


@dataclass(slots=True, frozen=True)
class BudgetSpent:
    """No retry is left for the provider that failed: trying again would feed its outage."""


@dataclass(slots=True, frozen=True)
class DecisionFailed:
    """Deciding raised: our mistake, not the caller's."""


Event = Decided | Attempt | Recovered | Collected | DeadlinePassed | CancelAsked | BudgetSpent | DecisionFailed
