"""Ranges, SQL files and what becomes of their rows."""

from pathlib import Path

import pytest

from connectors.dashboard import questions
from connectors.dashboard.questions import FIGURES, RANGES, TABLES, rates, statement, window

NOW_MS = 1_795_860_007_123
ROLLED = ("_by_hour", "_by_10_minutes")
FILES = sorted(
    path.stem for path in (Path(questions.__file__).parent / "sql").glob("*.sql") if not path.stem.endswith(ROLLED)
)


@pytest.mark.parametrize("name", RANGES)
def test_a_range_ends_now_and_begins_with_a_step(name: str) -> None:
    found = window(name, NOW_MS)
    length_s, step_s = RANGES[name]
    assert found.to_ms == NOW_MS
    assert found.from_ms % (step_s * 1000) == 0
    assert 0 <= (NOW_MS - length_s * 1000) - found.from_ms < step_s * 1000


def test_times_are_parameters_in_utc_to_the_millisecond() -> None:
    assert window("15m", NOW_MS, "acme").parameters == {
        "from": "2026-11-28 09:45:00.000", "to": "2026-11-28 10:00:07.123", "step_s": 10, "tenant": "acme",
    }  # fmt: skip


def test_every_file_is_a_question_or_its_way_by_a_rollup() -> None:
    assert sorted({*FIGURES, *TABLES, "series", "size"}) == FILES


def test_rollups_answer_where_records_are_counted_and_steps_are_as_coarse_as_they() -> None:
    ways = {
        step_s: {name for name in FILES if "rollup" in statement(name, is_exact=False, step_s=step_s)}
        for step_s in (10, 600, 3600)
    }
    assert ways == {
        10: set(),
        600: {"size", "series", "totals"},
        3600: {"size", "series", "totals", "routing", "spend", "spend_by_tenant", "spend_by_model"},
    }
    assert all("rollup" not in statement(name, is_exact=True, step_s=3600) for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_without_the_rule_of_the_first_record_nothing_is_sorted_by_offset(name: str) -> None:
    exact, quick = statement(name), statement(name, is_exact=False)
    assert "-- exact" not in exact + quick
    assert ("LIMIT 1 BY" in exact) == (name != "size")
    assert ("LIMIT 1 BY" in quick) == (name == "recent")


@pytest.mark.parametrize("name", FILES)
def test_no_question_reads_a_body(name: str) -> None:
    assert [word for word in ("body", "comment", "value") if word in statement(name)] == []


def test_quiet_steps_have_no_requests_and_no_latency_and_the_last_step_is_not_over() -> None:
    of = window("15m", NOW_MS)
    row = {
        "requests": 30,
        "errors": 3,
        "first_token_ms": [100.0, 200.0],
        "total_ms": [1.0, 2.0],
        "added_ms": [0.0, None],
    }
    first, last = of.from_ms // 1000, NOW_MS // 10_000 * 10
    found = rates([{"bucket": first, **row}, {"bucket": last, **row}], of)
    assert found["at"][:2] == [first, first + 10]
    assert {len(column) for column in found.values()} == {len(found["at"])}
    assert found["requests_per_s"][:2] == [3.0, 0]
    assert found["requests_per_s"][-1] == pytest.approx(30 / 7.123)
    assert found["errors_per_s"][0] == 0.3
    assert (found["first_token_ms_p95"][0], found["first_token_ms_p95"][1]) == (200.0, None)
    assert found["added_ms_p50"][0] is None
