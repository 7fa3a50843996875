"""The dashboard's questions: fixed SQL files with parameters, and the time ranges that can be asked for. Pure.

A request's outcome is its first record. Looking for it costs a sort, so that beyond EXACT_RECORDS the records themselves are
counted: then a request that was answered twice, after a kill, counts twice. Lines that end in `-- exact` make the difference.
Where the steps of a range are as coarse as those of a rollup, its rows are added instead (`<name>_by_hour.sql`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = ["EXACT_RECORDS", "FIGURES", "RANGES", "TABLES", "Window", "rates", "statement", "window"]

EXACT_RECORDS: Final = 100_000
FIGURES: Final = ("totals", "spend")
TABLES: Final = ("errors", "failures", "routing", "spend_by_tenant", "spend_by_model", "recent")
RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "15m": (15 * 60, 10), "1h": (3600, 30), "24h": (24 * 3600, 600), "7d": (7 * 24 * 3600, 3600),
}  # fmt: skip
"""Name -> length and step of the plots, in seconds."""

_ROLLUPS: Final = ((3600, "by_hour"), (600, "by_10_minutes"))
"""Step in seconds, what the name of such a question's file ends with; the coarsest first."""

_SQL: Final = Path(__file__).parent / "sql"
_EXACT: Final = "-- exact"


@dataclass(slots=True, frozen=True)
class Window:
    """A range up to now, from the beginning of a step. Times in epoch milliseconds; `tenant` empty: all."""

    name: str
    from_ms: int
    to_ms: int
    step_s: int
    tenant: str = ""

    @property
    def parameters(self) -> dict[str, str | int]:
        return {"from": _time(self.from_ms), "to": _time(self.to_ms), "step_s": self.step_s, "tenant": self.tenant}


def window(name: str, now_ms: int, tenant: str = "") -> Window:
    """Raises KeyError."""
    length_s, step_s = RANGES[name]
    step_ms = step_s * 1000
    return Window(name, (now_ms - length_s * 1000) // step_ms * step_ms, now_ms, step_s, tenant)


@cache
def statement(name: str, *, is_exact: bool = True, step_s: int = 1) -> str:
    """The SQL of a question; `step_s` is the step of the range that it is about."""
    ways = [_SQL / f"{name}_{rollup}.sql" for rollup_s, rollup in _ROLLUPS if not is_exact and step_s % rollup_s == 0]
    path = next((way for way in ways if way.exists()), _SQL / f"{name}.sql")
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.removesuffix(_EXACT) for line in lines if is_exact or not line.endswith(_EXACT))


def rates(rows: Iterable[Mapping[str, Any]], of: Window) -> dict[str, list[Any]]:
    """Rows of `series` as columns for the plots: every step has its place, quiet ones have 0 requests and no latency."""
    found = {int(row["bucket"]): row for row in rows}
    buckets = range(of.from_ms // 1000, -(-of.to_ms // 1000), of.step_s)
    columns: dict[str, list[Any]] = {"at": list(buckets)}
    for name in ("requests", "errors"):
        columns[f"{name}_per_s"] = [found[at][name] / _lasted_s(at, of) if at in found else 0 for at in buckets]
    for name in ("first_token_ms", "total_ms", "added_ms"):
        for place, quantile in enumerate(("p50", "p95")):
            columns[f"{name}_{quantile}"] = [_quantile(found.get(at), name, place) for at in buckets]
    return columns


def _lasted_s(at: int, of: Window) -> float:
    """The last step is not over yet."""
    return max(1.0, min(of.step_s, of.to_ms / 1000 - at))


def _quantile(row: Mapping[str, Any] | None, name: str, place: int) -> float | None:
    """Where nothing was measured the states are empty, which ClickHouse gives as zeros, NaN or NULL."""
    values: Sequence[float | None] | None = row[name] if row is not None else None
    return values[place] or None if values else None


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{ms % 1000:03d}"
