"""Experiments: which requests are mirrored, what it may cost, and the way from a request to its comparison. Pure.

sampling    which requests: filter, and a stable share
admission   may it be mirrored now: consent, eligibility, breakers, budget; else a reason
budget      what an experiment has spent, reserved and found, as a fold of its comparisons
ending      has it all the pairs that it wanted, or its verdict
calls       the orders: to the shadow, and to its judge
leg         one call on its way, through kills of everybody
pair        both answers of one request <- start here
"""

from pipeline.core.shadowing.admission import Plan, Skip, SkipReason, Wait, admit
from pipeline.core.shadowing.budget import Budget, worst_case
from pipeline.core.shadowing.ending import End, ended_by
from pipeline.core.shadowing.leg import Leg
from pipeline.core.shadowing.pair import Forward, Pair, Recover, Step, Write
from pipeline.core.shadowing.sampling import is_sampled, matches

__all__ = [
    "Budget",
    "End",
    "Forward",
    "Leg",
    "Pair",
    "Plan",
    "Recover",
    "Skip",
    "SkipReason",
    "Step",
    "Wait",
    "Write",
    "admit",
    "ended_by",
    "is_sampled",
    "matches",
    "worst_case",
]
