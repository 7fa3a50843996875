"""Usage for people: the document of the contract, and the statement that a tenant gets. Rows come from `Archive`."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Final

from connectors.clickhouse.archive import Archive
from pipeline.operations.events import rfc3339
from schemas.usage import FOREVER_MS, UsageQuestion, UsageRow

__all__ = ["bill_of", "name_of", "now", "statement", "total", "usage_document", "usd"]

_NANO: Final = 1_000_000_000
_FIGURES: Final = tuple(field.name for field in fields(UsageRow))[1:]


async def usage_document(archive: Archive, question: UsageQuestion) -> dict[str, Any]:
    """As of now; rows come about a second after their events. Raises StoreError."""
    as_of = now()
    rows = await archive.usage(question)
    return {"rows": [asdict(row) for row in rows], "budgets": [], "as_of": as_of}


async def bill_of(archive: Archive, question: UsageQuestion) -> dict[str, list[UsageRow]]:
    """Tenant -> rows by model. Raises StoreError."""
    tenants = await archive.usage(replace(question, by="tenant"))
    names = [row.by or "" for row in tenants]
    return {name: await archive.usage(replace(question, by="model", tenant=name)) for name in names}


def now() -> str:
    return rfc3339(time.time_ns() // 1_000_000)


def name_of(row: UsageRow) -> str:
    """Of its group, for people."""
    return "(none)" if row.by is None else row.by


def total(rows: Sequence[UsageRow]) -> UsageRow:
    """Added up as integers, so exactly."""
    return UsageRow("total", *(sum(getattr(row, name) for row in rows) for name in _FIGURES))


def statement(bill: Mapping[str, Sequence[UsageRow]], question: UsageQuestion, as_of: str) -> Iterator[str]:
    """Lines of Markdown that read as plain text too: a table per tenant, its total, and one of all."""
    yield "# Statement of usage"
    yield ""
    yield f"Requests accepted {_range(question)}; amounts in US dollars, exact; as of {as_of}."
    for tenant, rows in bill.items():
        yield from ("", f"## {tenant}", "", *_table("model", [*rows, total(rows)]))
    if len(bill) != 1:
        each = [replace(total(rows), by=tenant) for tenant, rows in bill.items()]
        yield from ("", "## All tenants", "", *_table("tenant", [*each, total(each)]))


def _table(head: str, rows: Sequence[UsageRow]) -> Iterator[str]:
    cells = [[head, "requests", "input tokens", "output tokens", "usd"], *(_cells(row) for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
    for line in (cells[0], ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])], *cells[1:]):
        figures = (cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        yield f"| {' | '.join([line[0].ljust(widths[0]), *figures])} |"


def _cells(row: UsageRow) -> list[str]:
    figures = (row.requests, row.input_tokens, row.output_tokens)
    return [name_of(row), *map(str, figures), usd(row.cost_nano_usd)]


def _range(question: UsageQuestion) -> str:
    start = f"from {rfc3339(question.from_ms)}" if question.from_ms else "from the beginning"
    return start if question.to_ms == FOREVER_MS else f"{start} to before {rfc3339(question.to_ms)}"


def usd(nano_usd: int) -> str:
    """Exact: nine places, signed."""
    whole, rest = divmod(abs(nano_usd), _NANO)
    return f"{'-' if nano_usd < 0 else ''}{whole}.{rest:09d}"
