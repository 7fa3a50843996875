"""Usage as people ask for it: groups, times, and what is refused."""

import pytest

from schemas.events import InvalidRequest
from schemas.usage import FOREVER_MS, UsageQuestion, usage_question

NOON_MS = 1_764_072_000_000  # 2025-11-25T12:00:00Z


def test_what_is_not_said_is_by_model_and_since_ever() -> None:
    assert usage_question(None, None, None) == UsageQuestion("model", "", 0, FOREVER_MS)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2025-11-25T12:00:00Z", NOON_MS),
        ("2025-11-25t12:00:00z", NOON_MS),
        ("2025-11-25 12:00:00Z", NOON_MS),
        ("2025-11-25T13:30:00+01:30", NOON_MS),
        ("2025-11-25T12:00:00.250Z", NOON_MS + 250),
        ("2025-11-25T12:00:00.250001Z", NOON_MS + 251),
        ("2025-11-25", NOON_MS - 12 * 3_600_000),
        ("1969-12-31T00:00:00Z", 0),
        ("9999-12-31T00:00:00Z", FOREVER_MS),
    ],
)
def test_times_are_rfc_3339(text: str, ms: int) -> None:
    assert usage_question("day", text, None) == UsageQuestion("day", "", ms, FOREVER_MS)


@pytest.mark.parametrize(
    "text",
    ["", "now", "20251125", "2025-13-01", "2025-11-25T12:00:00", "2025-11-25T12:00:00 00:00", "2025-W48", "1764072000",
     "٢٠٢٥-11-25"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["from", "to"])
def test_what_is_no_time_is_refused_by_name(name: str, text: str) -> None:
    times = {"from": None, "to": None, name: text}
    found = usage_question("model", times["from"], times["to"])
    assert isinstance(found, InvalidRequest)
    assert (found.code, found.param) == ("invalid_request", name)


def test_an_empty_range_is_one_and_a_turned_one_is_none() -> None:
    assert isinstance(usage_question(None, "2025-11-25", "2025-11-25"), UsageQuestion)
    assert isinstance(usage_question(None, "2025-11-26", "2025-11-25"), InvalidRequest)


@pytest.mark.parametrize(("by", "tag"), [("model", ""), ("role", ""), ("tag:team", "team"), ("tag:a:b", "a:b")])
def test_groups(by: str, tag: str) -> None:
    found = usage_question(by, None, None, tenant="acme")
    assert isinstance(found, UsageQuestion)
    assert (found.by, found.tag, found.tenant) == (by, tag, "acme")


@pytest.mark.parametrize("by", ["tenant", "tag:", "tag", "Model", "model,user", f"tag:{'x' * 65}"])
def test_other_groups_are_refused(by: str) -> None:
    found = usage_question(by, None, None)
    assert isinstance(found, InvalidRequest)
    assert found.param == "by"
