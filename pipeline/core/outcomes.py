"""Outcomes: what a step of a journey can say. Only the shell acts on them (`agents/route.py`, `emit.py`)."""

from dataclasses import dataclass

from schemas.events import Attempt, Decision, Outcome, Prefix, Ref


@dataclass(slots=True, frozen=True)
class Decide:
    """Choose a model for this attempt; the shell gathers the situation and feeds back `Decided`.

    `pays` names the model whose failed call made it necessary: that costs a token of the retry budget, or `BudgetSpent`
    comes back. Empty: it is free, since no call was made.
    """

    attempt: int
    cause: str
    larger_than_tokens: int | None = None
    pays: str = ""


@dataclass(slots=True, frozen=True)
class Forward:
    """Send the call; the same outcome again means: nothing was sent to the provider, forward it again."""

    decision: Decision
    attempt_id: str
    role: str
    keep_state: bool = True
    prefix: Prefix | None = None


@dataclass(slots=True, frozen=True)
class Collect:
    """Pieces of the answer may have gone out: read which; the shell feeds back `Collected`."""


@dataclass(slots=True, frozen=True)
class Recover:
    """The worker died with this attempt in flight: look whether its answer, or pieces of it, were written before."""

    attempt: Attempt


@dataclass(slots=True, frozen=True)
class Orphan:
    """Book the attempt that nobody will finish, with what was found of its output."""

    attempt: Attempt
    streamed: bool = False
    output_tokens: int = 0


@dataclass(slots=True, frozen=True)
class Reply:
    """Write the error outcome."""

    error: Outcome


@dataclass(slots=True, frozen=True)
class Park:
    """Wait until `due_at` (epoch ms) on the retry topics."""

    due_at: int


@dataclass(slots=True, frozen=True)
class End:
    """The outcome stands on `responses`: acknowledge the request."""

    response: Ref | None


Step = Decide | Forward | Collect | Recover | Orphan | Reply | Park | End
