"""Outcomes that wait for their requests."""

from types import SimpleNamespace
from typing import Any

from pipeline.agents.mirror_outcomes import Outcomes
from schemas.events import Ref


def _record(offset: int, size: int = 10) -> Any:
    return SimpleNamespace(topic="llm.responses.v1", partition=0, offset=offset, value=b"x" * size)


def test_the_first_outcome_counts_and_is_taken_once() -> None:
    outcomes = Outcomes()
    first = _record(1)
    outcomes.keep(("t", "r"), first)
    outcomes.keep(("t", "r"), _record(2))
    assert outcomes.take(("t", "r")) is first
    assert outcomes.take(("t", "r")) is None


def test_beyond_its_memory_the_oldest_are_known_by_their_place() -> None:
    outcomes = Outcomes(most_bytes=25)
    for number in range(4):
        outcomes.keep(("t", f"r{number}"), _record(number))
    assert outcomes.take(("t", "r0")) == Ref("llm.responses.v1", 0, 0)
    assert outcomes.take(("t", "r1")) == Ref("llm.responses.v1", 0, 1)
    assert outcomes.take(("t", "r3")).offset == 3
