"""The sums of a replay: one cell per segment and pair of choices, which add up over ranges and processes. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field
from typing import Any

from pipeline.core.redeciding.again import is_same_choice
from pipeline.core.rules import likely_domain
from schemas.catalog import Catalog
from schemas.events import Decision, Enriched

__all__ = ["EXAMPLES", "NANO_USD_PER_CENT", "Cell", "Example", "Key", "Outcome", "Tally"]

EXAMPLES = 20
"""So many of the changed decisions are shown, those that lose most."""

NANO_USD_PER_CENT = 10_000_000

Key = tuple[str, str, str, str, str, str]
"""Tenant, what was asked for, domain, band; the logged choice and the replayed one: a model, or `!` and an error code."""


@dataclass(slots=True, frozen=True)
class Outcome:
    """What became of a request: which attempt answered (0: none did), and the mean score of feedback, if anybody gave any."""

    answered_by: int
    score: float | None = None


@dataclass(slots=True)
class Cell:
    """Sums over the decisions of one key. Costs in nano-dollars, latencies in seconds, to the first token.

    Of those whose outcome is known: `r` is its quality, `w` the propensity of what was logged under the replayed policy by
    that under the logged one; `w2r` is the sum of w x w x r. `weight` is the sum of w over all.
    """

    decisions: int = 0
    changed: int = 0
    cost_logged: int = 0
    cost_replayed: int = 0
    latency_logged: float = 0.0
    latency_replayed: float = 0.0
    weight: float = 0.0
    known: int = 0
    r: float = 0.0
    r2: float = 0.0
    w: float = 0.0
    w2: float = 0.0
    wr: float = 0.0
    wr2: float = 0.0
    w2r: float = 0.0
    w2r2: float = 0.0

    def note(self, r: float, w: float) -> None:
        """An outcome."""
        self.known += 1
        self.r += r
        self.r2 += r * r
        self.w += w
        self.w2 += w * w
        self.wr += w * r
        self.wr2 += w * r * r
        self.w2r += w * w * r
        self.w2r2 += w * w * r * r

    def add(self, other: "Cell") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class Example:
    """A changed decision; a refusal is None. The difference is that of the models' priors."""

    request_id: str
    tenant: str
    attempt: int
    logged: str | None
    replayed: str | None
    why: str
    quality_difference: float
    cost_difference_nano_usd: int

    @property
    def rank(self) -> tuple[float, int, str, int]:
        """The worst first."""
        return (self.quality_difference, -self.cost_difference_nano_usd, self.request_id, self.attempt)


@dataclass(slots=True)
class Tally:
    """`held_back`: candidates passed over since they were not available. `unseen`: choices whose state nobody had logged.

    `left_out`: decisions that cannot be made again, by reason. `priors`: qualities of the models that were chosen.
    """

    cells: dict[Key, Cell] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    policies_logged: Counter[str] = field(default_factory=Counter)
    policies_replayed: Counter[str] = field(default_factory=Counter)
    held_back_logged: int = 0
    held_back_replayed: int = 0
    unseen: int = 0
    priors: dict[str, float] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    @property
    def decisions(self) -> int:
        return sum(self.policies_logged.values())

    def take(
        self, request: Enriched, logged: Decision, replayed: Decision, catalog: Catalog, outcome: Outcome | None
    ) -> None:
        """One decision, logged and made again under `catalog`: unchanged as a whole, or under another policy its choice."""
        is_same_policy = logged.policy_version == replayed.policy_version
        is_changed = replayed != logged if is_same_policy else not is_same_choice(replayed, logged)
        key = _key(request, logged, replayed)
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = Cell()
        prior = _prior(logged, catalog)
        cost = _book(cell, logged, replayed, prior, outcome)
        if logged.chosen:
            self.priors[logged.chosen] = prior
        quality = replayed.ranked[0].quality if replayed.chosen else 0.0
        if replayed.chosen:
            self.priors[replayed.chosen] = quality
        self.policies_logged[logged.policy_version] += 1
        self.policies_replayed[replayed.policy_version] += 1
        if logged.excluded:
            self.held_back_logged += _held_back(logged)
        if replayed.excluded:
            self.held_back_replayed += _held_back(replayed)
        if not is_changed:
            return
        cell.changed += 1
        if replayed.chosen and catalog.endpoint_of(replayed.chosen) not in logged.view:
            self.unseen += 1
        self._show(logged, replayed, quality - prior, cost)

    def add(self, other: "Tally") -> None:
        """What another range or process found."""
        for key, cell in other.cells.items():
            self.cells.setdefault(key, Cell()).add(cell)
        self.left_out += other.left_out
        self.policies_logged += other.policies_logged
        self.policies_replayed += other.policies_replayed
        self.held_back_logged += other.held_back_logged
        self.held_back_replayed += other.held_back_replayed
        self.unseen += other.unseen
        self.priors |= other.priors
        self.examples = _worst([*self.examples, *other.examples])

    def plain(self) -> dict[str, Any]:
        """As JSON carries it between processes."""
        return {
            "cells": [[key, astuple(cell)] for key, cell in self.cells.items()],
            "counters": [dict(self.left_out), dict(self.policies_logged), dict(self.policies_replayed)],
            "held_back": [self.held_back_logged, self.held_back_replayed],
            "unseen": self.unseen,
            "priors": self.priors,
            "examples": [astuple(each) for each in self.examples],
        }

    @classmethod
    def of_plain(cls, said: dict[str, Any]) -> "Tally":
        left_out, policies_logged, policies_replayed = (Counter[str](each) for each in said["counters"])
        return cls(
            cells={tuple(key): Cell(*cell) for key, cell in said["cells"]},
            left_out=left_out,
            policies_logged=policies_logged,
            policies_replayed=policies_replayed,
            held_back_logged=said["held_back"][0],
            held_back_replayed=said["held_back"][1],
            unseen=said["unseen"],
            priors=said["priors"],
            examples=[Example(*each) for each in said["examples"]],
        )

    def _show(self, logged: Decision, replayed: Decision, difference: float, cost: int) -> None:
        example = Example(
            logged.request_id,
            logged.tenant,
            logged.attempt,
            logged.chosen or None,
            replayed.chosen or None,
            "",
            difference,
            cost,
        )
        if len(self.examples) < EXAMPLES or example.rank < self.examples[-1].rank:
            example.why = why(logged, replayed)
            self.examples = _worst([*self.examples, example])


def why(logged: Decision, replayed: Decision) -> str:
    """What the two decisions say of the model that was chosen before, and of the one that is chosen now."""
    if is_same_choice(logged, replayed):
        return f"the same choice, but other {_first_other(logged, replayed)}"
    parts = [f"then: {logged.reason}", f"now: {replayed.reason}"]
    if excluded := _exclusion(replayed, logged.chosen):
        parts.append(f"{logged.chosen} is out now: {excluded}")
    elif excluded := _exclusion(logged, replayed.chosen):
        parts.append(f"{replayed.chosen} was out then: {excluded}")
    else:
        parts += [scores for name in (replayed.chosen, logged.chosen) if (scores := _scores(name, logged, replayed))]
    return "; ".join(parts)


def _first_other(logged: Decision, replayed: Decision) -> str:
    return next((name for name in logged.__slots__ if getattr(logged, name) != getattr(replayed, name)), "details")


def _exclusion(decision: Decision, model: str) -> str:
    return next((f"{each.reason} ({each.step})" for each in decision.excluded if each.model == model), "")


def _scores(model: str, logged: Decision, replayed: Decision) -> str:
    found = [next((row.score for row in each.ranked if row.model == model), None) for each in (logged, replayed)]
    then, now = ("none" if score is None else f"{score:.4f}" for score in found)
    return f"score of {model} {then} then, {now} now" if model else ""


def _worst(examples: Iterable[Example]) -> list[Example]:
    return sorted(examples, key=lambda each: each.rank)[:EXAMPLES]


def _key(request: Enriched, logged: Decision, replayed: Decision) -> Key:
    features = request.features
    then = logged.chosen or f"!{logged.error_code}"
    now = replayed.chosen or f"!{replayed.error_code}"
    return (request.tenant, request.model, likely_domain(features.domains), features.band, then, now)


def _held_back(decision: Decision) -> int:
    return sum([each.step == "available" for each in decision.excluded])


def _prior(logged: Decision, catalog: Catalog) -> float:
    """Of the model that was chosen then, in the catalogue of now: one yardstick for both."""
    if not logged.chosen:
        return 0.0
    known = catalog.models.get(logged.chosen)
    return logged.ranked[0].quality if known is None else known.quality_prior


def _book(cell: Cell, logged: Decision, replayed: Decision, prior: float, outcome: Outcome | None) -> int:
    """Add to the cell; what the decision costs more now."""
    cell.decisions += 1
    cost_logged = cost_replayed = 0
    if replayed.chosen:
        now = replayed.ranked[0]
        cost_replayed = round(now.cents * NANO_USD_PER_CENT)
        cell.latency_replayed += now.latency_s
    if logged.chosen:
        then = logged.ranked[0]
        cost_logged = round(then.cents * NANO_USD_PER_CENT)
        cell.latency_logged += then.latency_s
        weight = _propensity(replayed, logged.chosen) / then.propensity
        cell.weight += weight
        if outcome is not None:
            cell.note(_worth(logged, prior, outcome), weight)
    elif not replayed.chosen:
        cell.weight += 1
    cell.cost_logged += cost_logged
    cell.cost_replayed += cost_replayed
    return cost_replayed - cost_logged


def _propensity(decision: Decision, model: str) -> float:
    for row in decision.ranked:
        if row.model == model:
            return row.propensity
    return 0.0


def _worth(logged: Decision, prior: float, outcome: Outcome) -> float:
    """Of the attempt that the decision led to: an answer that another attempt gave was a failure of this one."""
    if outcome.answered_by != logged.attempt:
        return 0.0
    return prior if outcome.score is None else outcome.score
