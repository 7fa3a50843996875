"""What the page of an experiment draws: how the verdict came about, and how cost and latency are spread. Columns for uPlot."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from connectors.clickhouse.experiments import Experiments, Range
from pipeline.core.verdict import Interval, rate, rate_of_arms
from pipeline.operations.experiments import Facts
from pipeline.operations.report import rounded, scores_by_arm

__all__ = ["experiment_plots"]

_STEPS: Final = 40
"""Points of the verdict's plot: each is computed anew, a few milliseconds at most."""

Columns = dict[str, list[Any]]
Plots = dict[str, Any]
Row = Mapping[str, Any]


async def experiment_plots(found: Experiments, facts: Facts, of: Range) -> Plots:
    """`names` of both sides; win_rate over judged pairs (or ratings); their total_ms and cost_nano_usd by percentile.

    Raises StoreError.
    """
    if facts.kind == "split":
        ratings, spread = await asyncio.gather(found.ratings(facts.name, of, _STEPS), found.arms_spread(facts.name, of))
        sides = {row["arm"]: row for row in spread}
        first, second = sides.get(facts.primary), sides.get(facts.shadow)
        return {
            "names": [facts.primary, facts.shadow],
            "win_rate": _columns(_rated(ratings, facts)),
            **{name: _spread((first or {}).get(name), (second or {}).get(name)) for name in ("total_ms", "cost_nano_usd")},
        }  # fmt: skip
    steps, row = await asyncio.gather(found.progress(facts.name, of, _STEPS), found.spread(facts.name, of))
    measured = bool(row["pairs"])
    return {
        "names": [facts.primary, facts.shadow],
        "win_rate": _columns(_judged(steps)),
        **{
            name: _spread(row[f"primary_{name}"] if measured else None, row[f"shadow_{name}"] if measured else None)
            for name in ("total_ms", "cost_nano_usd")
        },
    }


def _judged(steps: Iterable[Row]) -> Iterator[tuple[int, Interval]]:
    words = ("wins", "ties", "losses")
    sums = accumulate(
        ([step[word] for word in words] for step in steps), lambda a, b: [*map(sum, zip(a, b, strict=True))]
    )
    for wins, ties, losses in sums:
        yield wins + ties + losses, rate(wins=wins, ties=ties, losses=losses)


def _rated(ratings: Sequence[Row], facts: Facts) -> Iterator[tuple[int, Interval]]:
    for step in sorted({row["step"] for row in ratings}):
        given = scores_by_arm(row for row in ratings if row["step"] <= step)
        first, second = given.get(facts.primary, {}), given.get(facts.shadow, {})
        yield int(sum(first.values()) + sum(second.values())), rate_of_arms(first, second, rivals=len(facts.rivals))


def _columns(points: Iterable[tuple[int, Interval]]) -> Columns:
    found = [(number, at) for number, at in points if at.estimate is not None]
    return {
        "at": [number for number, _ in found],
        **{name: [rounded(getattr(at, name)) for _, at in found] for name in ("estimate", "low", "high")},
    }


def _spread(primary: Sequence[Any] | None, shadow: Sequence[Any] | None) -> Columns:
    """At the percentiles 5, 10 ... 95; a side without answers has gaps."""
    places = [*range(5, 100, 5)]
    gaps = [None] * len(places)
    return {"at": places, "primary": list(primary or gaps), "shadow": list(shadow or gaps)}
