"""The report on an experiment: one document for commands, programs and pages (CONTRACT.md section 8, `shadow report`).

Rows come from ClickHouse, the verdict from `core/verdict`. The sides are primary and shadow; of a live split they are its
first two arms, and what people said of the answers (`feedback`) stands where the judge's word stands for a shadow. `arms` has
every arm of a split against the first; their verdicts share the 5 %: 2.5 % each where there are two besides the first.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from connectors.clickhouse.experiments import Experiments, Range
from pipeline.core.shadowing.budget import window_start
from pipeline.core.verdict import Interval, Moments, WinRate, arms, bounded_mean, difference, judged, mean, rate
from pipeline.operations.experiments import Facts
from pipeline.operations.sentence import sentence

__all__ = ["experiment_report", "scores_by_arm"]

_DELTAS: Final = ("cost_nano_usd", "first_token_ms", "total_ms")
_AGREEMENT: Final = ("exact", "token_f1", "json_equal", "tool_calls_equal", "normalised", "length_ratio")

Document = dict[str, Any]
Row = Mapping[str, Any]


async def experiment_report(found: Experiments, facts: Facts, of: Range, now_ms: int) -> Document:
    """`now_ms` says which window of the budget is meant. Raises StoreError."""
    document = await (_split if facts.kind == "split" else _shadow)(found, facts, of, now_ms)
    return {**document, "sentence": sentence(document)}


async def _shadow(found: Experiments, facts: Facts, of: Range, now_ms: int) -> Document:
    row, segments, spent = await asyncio.gather(
        found.comparisons(facts.name, of),
        found.segments(facts.name, of),
        found.spent(facts.name, window_start(facts.per or "total", now_ms)),
    )
    verdict = judged(wins=row["wins"], ties=row["ties"], losses=row["losses"])
    return {
        **_head(facts, row["judge"] or facts.judge),
        "pairs": row["pairs"],
        "answered": row["answered"],
        "skipped": row["skipped"],
        "agreement": {name: rounded(row[name]) for name in _AGREEMENT},
        "primary": _side(row, "primary_", row["pairs"]),
        "shadow": _side(row, "shadow_", row["pairs"]),
        "judge": {**_words(row), "by": row["judge"] or facts.judge, "cost_nano_usd": row["judge_cost_nano_usd"]},
        **_verdict(verdict),
        "deltas": {name: _delta(mean(_moments(row, name)), row[f"{name}_count"]) for name in _DELTAS},
        "cost_ratio": _ratio(row["cost_nano_usd_mean"], row["answered_cost_nano_usd"]),
        "segments": [_segment(each) for each in segments],
        "budget": {"spent_nano_usd": spent, "limit_nano_usd": facts.limit_nano_usd, "per": facts.per},
    }


async def _split(found: Experiments, facts: Facts, of: Range, _now_ms: int) -> Document:
    rows, ratings = await asyncio.gather(found.arms(facts.name, of), found.ratings(facts.name, of, 1))
    by_arm, given = {row["arm"]: row for row in rows}, scores_by_arm(ratings)
    against = [_two_arms(replace(facts, shadow=arm), by_arm, given) for arm in facts.rivals]
    return {**against[0], "arms": [_of_one_arm(each) for each in against]}


def _of_one_arm(document: Document) -> Document:
    """What is its own in its document against the first arm."""
    same = ("win_rate", "verdict", "more_needed", "deltas", "cost_ratio")
    figures = document["shadow"]
    return {
        "arm": figures["arm"], "sentence": sentence(document), "figures": figures,
        "quality": document["quality"]["shadow"], **{key: document[key] for key in same},
    }  # fmt: skip


def _two_arms(facts: Facts, by_arm: Mapping[str, Row], given: Mapping[str, dict[float, float]]) -> Document:
    first, second = by_arm.get(facts.primary), by_arm.get(facts.shadow)
    a, b = given.get(facts.primary, {}), given.get(facts.shadow, {})
    verdict = arms(a, b, rivals=len(facts.rivals))
    return {
        **_head(facts, "feedback"),
        "pairs": 0,
        "answered": 0,
        "skipped": {},
        "agreement": dict.fromkeys(_AGREEMENT),
        "primary": {"arm": facts.primary, **_arm(first)},
        "shadow": {"arm": facts.shadow, **_arm(second)},
        "judge": {"wins": 0, "losses": 0, "ties": 0, "by": "feedback", "cost_nano_usd": 0},
        "quality": {"primary": _quality(a), "shadow": _quality(b)},
        **_verdict(verdict),
        "deltas": {
            name: _delta(difference(_of_arm(first, name), _of_arm(second, name)), _both(first, second, name))
            for name in _DELTAS
        },
        "cost_ratio": _arms_ratio(first, second),
        "segments": [],
        "budget": {"spent_nano_usd": 0, "limit_nano_usd": None, "per": None},
    }


def scores_by_arm(rows: Iterable[Row]) -> dict[str, dict[float, float]]:
    """Arm -> score -> how often."""
    found: dict[str, dict[float, float]] = {}
    for row in rows:
        counts = found.setdefault(row["arm"], {})
        score = min(1.0, max(0.0, row["score"]))
        counts[score] = counts.get(score, 0) + row["seen"]
    return found


def rounded(value: float | None) -> float | None:
    """Six places: below that stand the errors of binary fractions."""
    return None if value is None else round(value, 6)


def _head(facts: Facts, by: str) -> Document:
    return {
        "experiment": facts.name, "kind": facts.kind, "status": facts.status, "names": [facts.primary, facts.shadow],
        "judged_by": by,
    }  # fmt: skip


def _side(row: Row, prefix: str, requests: int) -> Document:
    """Figures over the pairs. `model`: the one that answered most."""
    models = {name: number for name, number in row[f"{prefix}models"].items() if name}
    return {
        "model": max(models, key=lambda name: models[name], default=None),
        "models": models,
        "requests": requests,
        "errors": row[f"{prefix}errors"],
        "refusals": row.get(f"{prefix}refusals"),
        "cost_nano_usd": row[f"{prefix}cost_nano_usd"] or 0,
        **{name: _quantiles(row, f"{prefix}{name}") for name in ("first_token_ms", "total_ms")},
    }


def _arm(row: Row | None) -> Document:
    """An arm that nobody was drawn for has figures too."""
    nothing = {"models": {}, "errors": 0, "cost_nano_usd": 0, "first_token_ms_count": 0, "total_ms_count": 0}
    return _side(row or nothing, "", row["requests"] if row else 0)


def _quantiles(row: Row, name: str) -> Document:
    p50, p95 = row[name] if row[f"{name}_count"] else (None, None)
    return {"p50": p50, "p95": p95}


def _words(row: Row) -> Document:
    return {"wins": row["wins"], "losses": row["losses"], "ties": row["ties"]}


def _verdict(of: WinRate) -> Document:
    return {"win_rate": _interval(of), "verdict": of.verdict, "more_needed": of.more_needed}


def _interval(of: Interval) -> Document:
    return {
        "estimate": rounded(of.estimate), "low": rounded(of.low), "high": rounded(of.high), "level": rounded(of.level)
    }  # fmt: skip


def _quality(counts: dict[float, float]) -> Document:
    """Of an arm by itself."""
    return {"rated": int(sum(counts.values())), **_interval(bounded_mean(counts))}


def _delta(of: Interval | None, pairs: int) -> Document | None:
    """Shadow less primary, of each request; None where there are too few to say."""
    return None if of is None else {"pairs": pairs, **_interval(of)}


def _moments(row: Row, name: str) -> Moments:
    return Moments(row[f"{name}_count"], row[f"{name}_mean"], row[f"{name}_variance"])


def _of_arm(row: Row | None, name: str) -> Moments:
    return Moments(0) if row is None else _moments(row, f"ok_{name}")


def _both(first: Row | None, second: Row | None, name: str) -> int:
    """Answers of both arms that it was measured at."""
    return sum(row[f"ok_{name}_count"] for row in (first, second) if row is not None)


def _ratio(delta: float | None, of: float | None) -> float | None:
    """What an answer of the shadow costs, by what one of the primary does."""
    return rounded((of + delta) / of) if delta is not None and of else None


def _arms_ratio(first: Row | None, second: Row | None) -> float | None:
    a, b = _of_arm(first, "cost_nano_usd").mean, _of_arm(second, "cost_nano_usd").mean
    return _ratio(b - a, a) if a is not None and b is not None else None


def _segment(row: Row) -> Document:
    """For looking, not for deciding: of twenty segments one is odd by chance."""
    win_rate = rate(wins=row["wins"], ties=row["ties"], losses=row["losses"])
    return {
        "by": row["by"], "value": row["value"], "pairs": row["pairs"], "judge": _words(row), "win_rate": _interval(win_rate),
        "cost_delta_nano_usd": rounded(row["cost_nano_usd"]),
    }  # fmt: skip
