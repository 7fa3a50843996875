"""One request's life as steps in time, from the document of `explain`. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

__all__ = ["Step", "steps"]

_ORDER: Final = ("accepted", "decision", "call", "cost", "outcome")
"""Of steps with the same time."""


@dataclass(slots=True, frozen=True)
class Step:
    """`after_ms`: since the first step, None where there is no time; `event` as JSON has it."""

    kind: str
    at: str | None
    after_ms: int | None
    event: dict[str, Any]


def steps(document: dict[str, Any]) -> list[Step]:
    """In the order in which it happened; what has no time stands at its end."""
    found = sorted(_found(document), key=_place)
    start = next((_ms(at) for _, at, _ in found if at is not None), 0)
    return [Step(kind, at, _ms(at) - start if at is not None else None, event) for kind, at, event in found]


def _found(document: dict[str, Any]) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    if (accepted := document["enriched"] or document["request"]) is not None:
        yield "accepted", accepted.get("accepted_at"), accepted
    for decision in document["decisions"]:
        yield "decision", decision.get("decided_at"), decision
    for attempt in document["attempts"]:
        yield "call", attempt.get("finished_at") or attempt.get("started_at"), attempt
    for cost in document["costs"]:
        yield "cost", cost.get("at"), cost
    if (response := document["response"]) is not None:
        yield "outcome", response.get("finished_at"), response


def _place(step: tuple[str, str | None, dict[str, Any]]) -> tuple[bool, int, int]:
    kind, at, _ = step
    return at is None and kind != "accepted", _ms(at) if at is not None else 0, _ORDER.index(kind)


def _ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)
