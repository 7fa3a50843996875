"""The command line of `millrace replay`: what it refuses before anything is asked."""

import pytest

from pipeline.cli.errors import UsageError
from pipeline.cli.replay import _nano_usd, replay

RANGE = ("2026-11-27", "2026-11-28")


@pytest.mark.parametrize(("text", "nano"), [(None, None), ("2.5", 2_500_000_000), ("0", 0), ("0.000000001", 1)])
def test_a_budget_is_exact(text: str | None, nano: int | None) -> None:
    assert _nano_usd(text) == nano


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "two", "0.0000000001", "1e12"])
def test_a_budget_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--budget"):
        _nano_usd(text)


@pytest.mark.parametrize(
    ("mode", "more", "says"),
    [
        ("reprice", {}, "--policy"),
        ("reprice", {"policy": "p.yaml", "rate": 1.0}, "--rate belongs to --mode send"),
        ("send", {"policy": "p.yaml"}, "--policy belongs to --mode decide and reprice"),
        ("decide", {"budget": "1"}, "--budget belongs to --mode send"),
        ("send", {"html": "x.html"}, "--html belongs to --mode decide"),
    ],
)
def test_what_belongs_to_another_mode_is_refused(mode: str, more: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        replay(mode, *RANGE, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [("yesterday", "2026-11-28"), ("2026-11-28", "2026-11-27")])
def test_a_range_that_is_none_is_refused(times: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="--from"):
        replay("send", *times)
