"""How the runs are told: rows for people, Markdown and JSON for files."""

import math
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import psutil

Run = dict[str, Any]
Row = tuple[str, str, str]
_HEAD: Row = ("run", "figure", "value")
_META = frozenset({"name", "ratios"})


def machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_before": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "shared_cores": "platform, broker, simulated provider and load generator",
    }


def rows(run: Run) -> Iterator[Row]:
    """One row per figure; a group of figures stands in one row."""
    name = str(run["name"])
    for figure, value in run.items():
        if figure not in _META:
            yield name, figure, _said(value)
    if run["ratios"]:
        yield name, "gateway / direct", _said(run["ratios"])


def document(runs: Sequence[Run]) -> dict[str, Any]:
    return {"machine": machine(), "runs": [_clean(run) for run in runs]}


def write(out: Path, found: Mapping[str, Any]) -> None:
    """`bench.json` and `bench.md`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    (out / "bench.md").write_text(markdown(found), encoding="utf-8")


def markdown(found: Mapping[str, Any]) -> str:
    facts = [f"- {name}: {value}" for name, value in found["machine"].items()]
    table = [_HEAD, ("---", "---", "---"), *(row for run in found["runs"] for row in rows(run))]
    return "\n".join(["# Benchmark", "", *facts, "", *(f"| {' | '.join(row)} |" for row in table), ""])


def draw(run: Run) -> None:
    """On stderr, as soon as it is there: stdout is for `--json`."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=str(run["name"]), title_justify="left", box=None, show_header=False)
    for _, figure, value in rows(run):
        table.add_row(figure, value)
    Console(stderr=True).print(table)


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(part)}" for name, part in value.items())
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    return "-" if value is None else str(value)


def _clean(value: Any) -> Any:
    """NaN is no JSON; microseconds are enough."""
    if isinstance(value, Mapping):
        return {name: _clean(part) for name, part in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 3)
    return value
