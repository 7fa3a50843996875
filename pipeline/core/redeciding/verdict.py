"""The report of a decide-replay, out of its sums: the document of CONTRACT 8. Pure.

Qualities are estimates (`estimate`); intervals are normal ones, over decisions as if they were independent.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pipeline.core.redeciding.estimate import LEVEL, qualities, values_of
from pipeline.core.redeciding.tally import Cell, Example, Key, Tally

__all__ = ["report"]

_WORST: Final = 10
_DIMENSIONS: Final[Mapping[str, Callable[[Key], str]]] = {
    "tenant": lambda key: key[0],
    "route": lambda key: key[1],
    "domain": lambda key: key[2],
    "band": lambda key: key[3],
}


def report(tally: Tally) -> dict[str, Any]:
    """Without run id and range. Money in nano-dollars, as the decisions expected it; a refusal is null in examples."""
    total = _sum(tally.cells.values())
    return {
        "decisions": total.decisions,
        "identical": total.decisions - total.changed,
        "changed": total.changed,
        "left_out": dict(tally.left_out),
        "policy_logged": _policies(tally.policies_logged),
        "policy_replayed": _policies(tally.policies_replayed),
        "cost_nano_usd": {"logged": total.cost_logged, "replayed": total.cost_replayed},
        "latency_s": _latency(tally),
        "expected_quality": _quality(tally, total),
        "by_model": _by_model(tally),
        "refused": _refused(tally),
        "held_back": {"logged": tally.held_back_logged, "replayed": tally.held_back_replayed},
        "unseen": tally.unseen,
        "spend_by_tenant": _spend(tally),
        "worst": _worst_segments(tally),
        "examples": [_example(each) for each in tally.examples],
    }


def _sum(cells: Iterable[Cell]) -> Cell:
    total = Cell()
    for cell in cells:
        total.add(cell)
    return total


def _policies(versions: Counter[str]) -> str | list[str] | None:
    """One hash, or all of them where the range knew several."""
    names = sorted(versions)
    return names if len(names) > 1 else next(iter(names), None)


def _latency(tally: Tally) -> dict[str, float | None]:
    """Seconds to the first token, expected, a mean over those who are answered."""
    found: dict[str, float | None] = {}
    for side, place in (("logged", 4), ("replayed", 5)):
        answered = [(key, cell) for key, cell in tally.cells.items() if not key[place].startswith("!")]
        count = sum(cell.decisions for _, cell in answered)
        seconds = sum(getattr(cell, f"latency_{side}") for _, cell in answered)
        found[side] = seconds / count if count else None
    return found


def _quality(tally: Tally, total: Cell) -> dict[str, Any]:
    """`low` and `high` of the replayed policy; `covered`: the share of decisions whose outcomes tell something of it."""
    count = total.decisions
    if not count:
        return {**dict.fromkeys(("logged", "replayed", "low", "high", "difference", "covered")), "level": LEVEL}
    values = values_of(tally.cells.items(), qualities(tally))
    low, high = values.interval_now()
    low_difference, high_difference = values.interval_of_difference()
    return {
        "logged": values.then / count,
        "replayed": values.now / count,
        "low": low,
        "high": high,
        "level": LEVEL,
        "difference": {"estimate": values.difference, "low": low_difference, "high": high_difference},
        "covered": min(1.0, total.weight / count),
        "outcomes": total.known,
    }


def _by_model(tally: Tally) -> list[dict[str, Any]]:
    logged, replayed = _choices(tally, 4), _choices(tally, 5)
    names = sorted(name for name in {*logged, *replayed} if not name.startswith("!"))
    return [{"model": name, "logged": logged[name], "replayed": replayed[name]} for name in names]


def _refused(tally: Tally) -> dict[str, dict[str, int]]:
    """By error code."""
    sides = {"logged": _choices(tally, 4), "replayed": _choices(tally, 5)}
    return {
        side: {name[1:]: count for name, count in sorted(found.items()) if name.startswith("!")}
        for side, found in sides.items()
    }


def _choices(tally: Tally, place: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for key, cell in tally.cells.items():
        found[key[place]] += cell.decisions
    return found


Cells = list[tuple[Key, Cell]]


def _spend(tally: Tally) -> list[dict[str, Any]]:
    """What budgets would see, as the decisions expected it."""
    return [
        {"tenant": name, "logged": _cost(cells, "logged"), "replayed": _cost(cells, "replayed")}
        for name, cells in sorted(_by(tally, _DIMENSIONS["tenant"]).items())
    ]


def _cost(cells: Cells, side: str) -> int:
    return sum(getattr(cell, f"cost_{side}") for _, cell in cells)


def _by(tally: Tally, value_of: Callable[[Key], str]) -> dict[str, Cells]:
    found: dict[str, Cells] = {}
    for key, cell in tally.cells.items():
        found.setdefault(value_of(key), []).append((key, cell))
    return found


def _worst_segments(tally: Tally) -> dict[str, list[dict[str, Any]]]:
    """Segments in which something changed: those that lose most quality per decision, those that cost most more."""
    quality = qualities(tally)
    rows = [
        _segment(name, value, cells, quality)
        for name, value_of in _DIMENSIONS.items()
        for value, cells in sorted(_by(tally, value_of).items())
    ]
    rows = [row for row in rows if row["changed"]]
    loses = sorted((row for row in rows if row["quality_difference"] < 0), key=lambda row: row["quality_difference"])
    dearer = sorted((row for row in rows if row["cost_difference_nano_usd"] > 0), key=_rise)
    return {"quality": loses[:_WORST], "cost": dearer[:_WORST]}


def _rise(row: Mapping[str, Any]) -> int:
    return -int(row["cost_difference_nano_usd"])


def _segment(by: str, value: str, cells: Cells, quality: Mapping[str, float]) -> dict[str, Any]:
    """Quality per decision, cost of all of them."""
    return {
        "by": by,
        "value": value,
        "decisions": sum(cell.decisions for _, cell in cells),
        "changed": sum(cell.changed for _, cell in cells),
        "quality_difference": values_of(cells, quality).difference,
        "cost_difference_nano_usd": _cost(cells, "replayed") - _cost(cells, "logged"),
    }


def _example(example: Example) -> dict[str, Any]:
    return {
        "request_id": example.request_id,
        "tenant": example.tenant,
        "attempt": example.attempt,
        "logged": example.logged,
        "replayed": example.replayed,
        "why": example.why,
        "quality_difference": example.quality_difference,
        "cost_difference_nano_usd": example.cost_difference_nano_usd,
    }
