"""When an experiment ends by itself. Pure: a matter of what its comparisons say so far, in whatever order they came.

A verdict ends it as the report gives it, from the same counts. It is not kept: should pairs that were under way take it back,
the experiment goes on, and at no time says anything else than the report. It may do so because sequences hold at every look.
"""

from typing import Literal

from pipeline.core.shadowing.budget import Budget
from pipeline.core.verdict import Verdict, verdict_on
from schemas.catalog.policies import Shadow

__all__ = ["End", "ended_by", "verdict_so_far"]

End = Literal["pairs", "verdict"]


def ended_by(row: Shadow, so_far: Budget) -> End | None:
    """None: it is not at its end."""
    if row.stop_after_pairs is not None and so_far.pairs >= row.stop_after_pairs:
        return "pairs"
    return "verdict" if row.stop_on_verdict and verdict_so_far(so_far) != "more" else None


def verdict_so_far(of: Budget) -> Verdict:
    wins, ties, losses = (of.judged.get(winner, 0) for winner in ("shadow", "tie", "primary"))
    return verdict_on(wins=wins, ties=ties, losses=losses)
