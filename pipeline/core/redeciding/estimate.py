"""Expected quality of both policies out of one log, doubly robust. Pure.

    value of a decision then  =  its outcome
    value of a decision now   =  q(new) + w x (outcome - q(logged))

Dudik, Langford, Li 2011, https://arxiv.org/abs/1103.4601. w is how likely the replayed policy makes the logged choice, by how
likely the logged one made it: 1 for who chose the same without chance, 0 where it never chooses that; there q alone speaks.
The outcome is the score of people's feedback; without it the model's prior for an answer, and 0 for none. q of a model starts
from its prior and is drawn to the outcomes that it had in this log, so that its failures count where it is the new choice, too.
Where the outcome is not known it is q. Who is refused gets 0.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.core.redeciding.tally import Cell, Key, Tally

__all__ = ["LEVEL", "Values", "qualities", "values_of"]

LEVEL: Final = 0.95
_DEVIATIONS: Final = 1.959964
"""Of a normal distribution, that hold `LEVEL` of it."""

_PRIOR_WEIGHT: Final = 20
"""So many outcomes weigh as much as a prior."""


@dataclass(slots=True)
class Values:
    """Sums of values, of their squares, and of the squares of differences."""

    count: int = 0
    then: float = 0.0
    now: float = 0.0
    now_2: float = 0.0
    difference_2: float = 0.0

    @property
    def difference(self) -> float:
        """Per decision."""
        return (self.now - self.then) / self.count

    def interval_now(self) -> tuple[float, float]:
        return _interval(self.now / self.count, self.now_2 / self.count, self.count)

    def interval_of_difference(self) -> tuple[float, float]:
        return _interval(self.difference, self.difference_2 / self.count, self.count)


def qualities(tally: Tally) -> dict[str, float]:
    """The q of each model."""
    known: defaultdict[str, float] = defaultdict(float)
    worth: defaultdict[str, float] = defaultdict(float)
    for key, cell in tally.cells.items():
        known[key[4]] += cell.known
        worth[key[4]] += cell.r
    return {
        model: (_PRIOR_WEIGHT * prior + worth[model]) / (_PRIOR_WEIGHT + known[model])
        for model, prior in tally.priors.items()
    }


def values_of(cells: Iterable[tuple[Key, Cell]], quality: Mapping[str, float]) -> Values:
    """`quality` by model; a refusal has none."""
    total = Values()
    for key, cell in cells:
        _add(total, cell, quality.get(key[4], 0.0), quality.get(key[5], 0.0))
    return total


def _add(total: Values, cell: Cell, old: float, new: float) -> None:
    """Values are linear in q, so the sums of a cell give the sums of its values, and of their squares."""
    count, unknown = cell.decisions, cell.decisions - cell.known
    then_2 = cell.r2 + unknown * old * old
    now_2 = (
        count * new * new
        + cell.w2r2
        + old * old * cell.w2
        + 2 * new * cell.wr
        - 2 * new * old * cell.w
        - 2 * old * cell.w2r
    )
    both = new * cell.r + cell.wr2 - old * cell.wr + unknown * old * new
    total.count += count
    total.then += cell.r + unknown * old
    total.now += count * new + cell.wr - old * cell.w
    total.now_2 += now_2
    total.difference_2 += now_2 - 2 * both + then_2


def _interval(mean: float, mean_of_squares: float, count: int) -> tuple[float, float]:
    half = _DEVIATIONS * math.sqrt(max(0.0, mean_of_squares - mean * mean) / count)
    return mean - half, mean + half
