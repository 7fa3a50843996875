"""What the demo shows."""

from typing import Any

import pytest

from pipeline.cli.demo_rows import percentile, prompt_start, row_of, summary


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"body": {"messages": [{"role": "user", "content": text}]}, **more}


def answer(**more: Any) -> dict[str, Any]:
    timings = {"total": 120}
    return {"model": "m", "attempts": 2, "timings_ms": timings, "cost_nano_usd": 1_500_000, **more}


def test_a_row_waits_until_its_outcome() -> None:
    row = row_of("r1", asked("Hello"), "Kafka, JSON")
    assert row.cells() == ("r1", "Hello", "Kafka, JSON", "", "sent", "", "", "")


def test_an_answered_row_tells_everything() -> None:
    row = row_of("r1", asked("Hello"), "Kafka, JSON")
    row.answer(answer())
    assert row.cells() == ("r1", "Hello", "Kafka, JSON", "m", "ok", "2", "120", "$0.001500")


def test_the_first_outcome_counts() -> None:
    row = row_of("r1", asked("Hello"), "")
    row.answer(answer())
    row.answer(answer(error={"code": "internal"}))
    assert row.outcome == "ok"


def test_an_expected_refusal_is_as_wished_and_another_is_not() -> None:
    row = row_of("r1", asked("?", tags={"expect": "model_not_found"}), "")
    row.answer(answer(error={"code": "model_not_found"}))
    other = row_of("r2", asked("?"), "")
    other.answer(answer(error={"code": "internal"}))
    assert (row.as_wished, row.cells()[4], other.as_wished) == (True, "model_not_found (expected)", False)


@pytest.mark.parametrize("messages", ["text", None, [], [3], [{"role": "user"}], [{"content": [{"type": "text"}]}]])
def test_malformed_prompts_still_have_a_line(messages: Any) -> None:
    assert isinstance(prompt_start({"body": {"messages": messages}}), str)


def test_prompts_are_cut_and_stay_on_one_line() -> None:
    assert prompt_start(asked("one\n\ntwo " + "x" * 99), width=10) == "one two x…"


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.95, 4), (0.01, 1)])
def test_percentiles_are_of_the_nearest_rank(share: float, value: int) -> None:
    assert percentile([4, 1, 3, 2], share) == value


def test_no_values_have_no_percentile() -> None:
    assert percentile([], 0.5) is None


def test_the_summary_counts_each_row_once() -> None:
    good, bad, refused = (row_of(str(n), asked("?"), "") for n in range(3))
    refused.expected = "invalid_request"
    good.answer(answer())
    bad.answer(answer(error={"code": "internal"}, cost_nano_usd=0))
    refused.answer(answer(error={"code": "invalid_request"}, cost_nano_usd=0))
    said = summary([good, bad, refused, row_of("4", asked("?"), "")])
    assert said.startswith("1 of 4 answered, 1 refused as expected, 1 failed, 1 without an outcome yet, p50 120 ms")
    assert said.endswith("total cost $0.001500")
