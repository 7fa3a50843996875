"""Calls whose worker died: which are lost, and what is booked of them."""

from dataclasses import replace

import pytest

from pipeline.core.lost import answered, lost_call, orphaned
from schemas.completion import Usage
from schemas.events import Attempt, Outcome, Ref, Response, RouteInfo, Timings

NOW = 1_000_000
REF = Ref("llm.responses.v1", 0, 7)
STARTED = Attempt("r1", "acme", 2, "a2", "started", "failover", "near", "m2", "us", "w1", NOW)
RETURNED = replace(STARTED, phase="returned", worker="w2", started_at=NOW - 100)
RESPONSE = Response(
    "r1", "acme", "chat", "ok", NOW - 500, NOW + 90, RouteInfo("auto", "because"), Timings(500, None, 80, 590),
    usage=Usage(30, 4), finish_reason="stop", attempts=2, model="m2",
)  # fmt: skip


@pytest.mark.parametrize(
    ("events", "is_lost"),
    [
        ([], False),
        ([replace(STARTED, attempt_id="a1")], False),
        ([STARTED], True),
        ([STARTED, replace(STARTED, attempt_id="a1", phase="finished", result="error")], True),
        ([STARTED, replace(STARTED, phase="finished", result="error")], False),
        ([STARTED, replace(STARTED, phase="kept")], False),
        ([replace(STARTED, worker="w2")], False),
    ],
)
def test_a_call_is_lost_if_it_was_sent_by_somebody_who_is_gone_and_nobody_ended_it(
    events: list[Attempt], is_lost: bool
) -> None:
    assert lost_call(RETURNED, [*events, RETURNED]) == (STARTED if is_lost else None)


def test_a_call_that_had_written_its_answer_is_booked_as_the_answer_says() -> None:
    finished = answered(STARTED, REF, RESPONSE)
    assert finished is not None
    assert (finished.phase, finished.result, finished.response, finished.orphaned) == ("finished", "ok", REF, False)
    assert (finished.usage, finished.duration_ms, finished.finished_at) == (Usage(30, 4), 80, NOW + 90)


@pytest.mark.parametrize(
    "other",
    [
        replace(RESPONSE, attempts=1),
        replace(RESPONSE, model="m1"),
        replace(RESPONSE, outcome="error", error=Outcome("deadline_exceeded", "too late")),
    ],
)
def test_the_outcome_of_somebody_else_is_no_answer_of_it(other: Response) -> None:
    assert answered(STARTED, REF, other) is None


def test_a_continuation_is_booked_with_what_it_took_itself() -> None:
    finished = answered(replace(STARTED, role="continuation"), REF, replace(RESPONSE, attempt_usage=Usage(34, 2)))
    assert finished is not None
    assert finished.usage == Usage(34, 2)


def test_what_is_not_known_is_booked_with_what_went_out() -> None:
    finished = orphaned(STARTED, Usage(10, 5), 9, streamed=True)
    assert (finished.result, finished.orphaned, finished.streamed) == ("unknown", True, True)
    assert finished.usage == Usage(input_tokens=10, output_tokens=5, estimated=True)
