"""Experiments out of the tables: comparisons of a shadow, and the arms of a live split. Rows as ClickHouse gives them.

The statements are files beside this module, `comparisons*.sql` and `split*.sql`; what they are asked comes in as parameters.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from connectors.clickhouse.reader import Reader

__all__ = ["Experiments", "Range"]

Row = dict[str, Any]

_SQL: Final = Path(__file__).parent / "sql"
_FOREVER_MS: Final = 7_258_118_400_000


@dataclass(slots=True, frozen=True)
class Range:
    """Of `accepted_at`, epoch milliseconds: `from_ms` inclusive, `to_ms` exclusive."""

    from_ms: int = 0
    to_ms: int = _FOREVER_MS


class Experiments:
    """Each method raises StoreError. Of a name that nothing was written under, figures are zero and lists empty."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def comparisons(self, name: str, of: Range) -> Row:
        (row,) = await self._ask("comparisons", name, of)
        return row

    async def spent(self, name: str, since_ms: int) -> int:
        """Nano-dollars, of calls and of their judge."""
        (row,) = await self._reader.rows(_statement("comparisons_spent"), experiment=name, since_ms=since_ms)
        return int(row["spent_nano_usd"])

    async def segments(self, name: str, of: Range) -> list[Row]:
        """By tenant, route, domain and band, the largest first."""
        return await self._ask("comparisons_segments", name, of)

    async def progress(self, name: str, of: Range, steps: int) -> list[Row]:
        """Judged pairs by heap, the earliest first."""
        return await self._ask("comparisons_progress", name, of, steps=steps)

    async def spread(self, name: str, of: Range) -> Row:
        """Percentiles of both sides."""
        (row,) = await self._ask("comparisons_spread", name, of)
        return row

    async def arms(self, name: str, of: Range) -> list[Row]:
        return await self._ask("split_arms", name, of)

    async def ratings(self, name: str, of: Range, steps: int) -> list[Row]:
        """How often each score was given to each arm, by heap, the earliest first; scores to a hundredth."""
        return await self._ask("split_ratings", name, of, steps=steps)

    async def arms_spread(self, name: str, of: Range) -> list[Row]:
        return await self._ask("split_spread", name, of)

    async def _ask(self, statement: str, name: str, of: Range, **more: int) -> list[Row]:
        return await self._reader.rows(
            _statement(statement), experiment=name, from_ms=of.from_ms, to_ms=of.to_ms, **more
        )


@cache
def _statement(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")
