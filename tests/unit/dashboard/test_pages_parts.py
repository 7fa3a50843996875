"""Amounts, times, a request's steps, and the files that were brought in."""

import hashlib
from pathlib import Path

import pytest

from connectors.dashboard import rendering
from connectors.dashboard.rendering import about_usd, count, milliseconds, static_files, usd
from connectors.dashboard.timeline import steps

VENDOR = Path(rendering.__file__).parent / "static" / "vendor"


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "$0.00"), (None, "$0.00"), (1, "$0.000000001"), (1_500_000_000, "$1.50"), (-2_000_000, "$-0.002"),
     (12_345_678_900_000_001, "$12,345,678.900000001")],
)  # fmt: skip
def test_money_is_shown_to_its_last_digit(nano: int | None, text: str) -> None:
    assert usd(nano) == text


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "+$0"), (-593_421.7, "-$0.000593"), (1_012_761_241, "+$1.01"), (0.4, "+$0.0000000004")]
)
def test_estimates_have_three_digits_and_a_sign(nano: float, text: str) -> None:
    assert about_usd(nano) == text
    assert about_usd(abs(nano), signed=False) == text[1:]


def test_small_numbers_need_no_separators() -> None:
    assert [count(number) for number in (None, 0, 9999, 10_000)] == ["0", "0", "9999", "10,000"]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (float("nan"), "-"), (0, "0 ms"), (999.4, "999 ms"), (1000, "1.00 s")]
)
def test_what_was_not_measured_is_a_dash(value: float | None, text: str) -> None:
    assert milliseconds(value) == text


def test_steps_stand_in_the_order_in_which_they_happened() -> None:
    def at(ms: int) -> str:
        return f"2026-11-28T10:00:00.{ms:03d}Z"

    found = steps(
        {
            "request": {"request_id": "r"},
            "enriched": {"accepted_at": at(0)},
            "decisions": [{"decided_at": at(5)}, {"decided_at": at(400)}],
            "attempts": [
                {"phase": "started", "started_at": at(9), "finished_at": None},
                {"phase": "finished", "started_at": at(9), "finished_at": at(400)},
            ],
            "costs": [{"at": at(401)}],
            "response": {"finished_at": at(400)},
        }
    )
    assert [(step.kind, step.after_ms) for step in found] == [
        ("accepted", 0), ("decision", 5), ("call", 9), ("decision", 400), ("call", 400), ("outcome", 400), ("cost", 401),
    ]  # fmt: skip


def test_a_document_of_which_only_the_request_is_known_has_one_step() -> None:
    document = {"request": {"request_id": "r"}, "enriched": None, "decisions": [], "attempts": [], "costs": []}
    assert [(step.kind, step.at) for step in steps({**document, "response": None})] == [("accepted", None)]


def test_files_that_were_brought_in_are_those_of_the_manifest_with_their_licences() -> None:
    said = dict(reversed(line.split()) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir()}
    del there["SHA256SUMS"]
    assert said == there
    for name in ("htmx", "uplot"):
        assert (VENDOR / f"{name}-LICENSE.txt").is_file()


def test_our_scripts_fetch_nothing_from_elsewhere() -> None:
    ours = {name: file for name, file in static_files().items() if "/" not in name and not name.endswith(".svg")}
    assert [name for name, file in ours.items() if b"://" in file.body] == []
