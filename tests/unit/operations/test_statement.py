"""The statement of usage: exact money, totals that add up, and lines that read as text and as Markdown."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline.operations.usage import statement, total, usd
from schemas.usage import UsageQuestion, UsageRow

ALL = UsageQuestion()


def rows_of(lines: list[str], title: str) -> list[list[str]]:
    """Cells of the table below a title, without its head."""
    tables = "\n".join(lines).partition(f"## {title}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in tables.splitlines() if line.startswith("|")
    ]
    return cells[2:]


@given(st.integers(-(10**18), 10**18))
def test_dollars_are_the_nano_dollars_to_the_last_place(nano_usd: int) -> None:
    said = usd(nano_usd)
    assert re.fullmatch(r"-?\d+\.\d{9}", said)
    assert int(said.replace(".", "")) == nano_usd


def test_a_correction_may_make_an_amount_negative() -> None:
    assert [usd(-1), usd(-1_500_000_000), usd(0)] == ["-0.000000001", "-1.500000000", "0.000000000"]


def test_totals_are_those_of_the_rows_beyond_what_a_float_holds() -> None:
    assert total([UsageRow("a", 1, 2, 3, 2**53), UsageRow(None, 1, 1, 1, 1)]) == UsageRow("total", 2, 3, 4, 2**53 + 1)


def test_a_statement_has_a_table_per_tenant_with_its_total_and_one_of_all() -> None:
    bill = {
        "acme": [UsageRow("m-1", 2, 10, 5, 1_000_000_007), UsageRow(None, 1, 0, 0, 0)],
        "rich": [UsageRow("m-1", 1, 1, 1, 3)],
    }
    lines = list(statement(bill, UsageQuestion(from_ms=1_764_072_000_000), "2025-11-26T00:00:00.000Z"))
    assert "accepted from 2025-11-25T12:00:00.000Z;" in lines[2]
    assert rows_of(lines, "acme") == [
        ["m-1", "2", "10", "5", "1.000000007"], ["(none)", "1", "0", "0", "0.000000000"], ["total", "3", "10", "5", "1.000000007"],
    ]  # fmt: skip
    assert rows_of(lines, "All tenants")[-1] == ["total", "4", "11", "6", "1.000000010"]
    acme = [line for line in lines[lines.index("## acme") : lines.index("## rich")] if line.startswith("|")]
    assert len({len(line) for line in acme}) == 1


def test_a_statement_of_one_tenant_says_its_total_once() -> None:
    lines = list(statement({"acme": [UsageRow("m-1", 1, 1, 1, 3)]}, ALL, "now"))
    assert sum("total" in line for line in lines) == 1
    assert "from the beginning; amounts" in lines[2]
