"""A row of ClickHouse is the event again: for every example of every event that has a table."""

import dataclasses
from typing import Any

import pytest

from pipeline.operations.rows import event_of_row
from schemas.completion import Usage
from schemas.events import Attempt, Decision, Enriched, Response
from schemas.events.attempt import AttemptError


def row_of(event: Any, prefix: str = "") -> dict[str, Any]:
    """As the sink's columns have it: nested records joined by `_`, absent ones all NULL."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(event):
        value = getattr(event, field.name)
        if dataclasses.is_dataclass(value):
            found |= row_of(value, f"{prefix}{field.name}_")
        else:
            found[prefix + field.name] = value
    return found


def attempt(**more: Any) -> Attempt:
    return Attempt("r", "t", 1, "id", "finished", "primary", "sim", "m", "us", "w", 5, **more)


@pytest.mark.parametrize(
    "event",
    [
        attempt(),
        attempt(result="ok", usage=Usage(3, 4, cache_read_tokens=1)),
        attempt(result="error", error=AttemptError("overloaded", 529)),
    ],
    ids=["bare", "usage", "error"],
)
def test_an_attempt_is_found_again(event: Attempt) -> None:
    assert event_of_row(Attempt, row_of(event)) == dataclasses.asdict(event)


def test_columns_that_the_table_does_not_have_are_none() -> None:
    found = event_of_row(Response, {"request_id": "r", "usage_input_tokens": None})
    assert (found["request_id"], found["usage"], found["body"]) == ("r", None, None)


@pytest.mark.parametrize(("event", "record"), [(Enriched, "features"), (Decision, "proof"), (Response, "timings_ms")])
def test_a_record_that_every_event_has_is_never_absent(event: type, record: str) -> None:
    assert isinstance(event_of_row(event, {})[record], dict)
