"""Replays, decided: what is put through again and what came of it, and what corrected prices change. Pure.

runs      the identity of a replay            asking    a request of the past -> the one that is sent
tally     what became of those                repricing a line of the ledger -> its adjustment
"""

from pipeline.core.replaying.asking import DEADLINE_S, Skip, again, consents, worst_case_nano_usd
from pipeline.core.replaying.repricing import Left, Slice, adjustment, needs_usage, slices
from pipeline.core.replaying.runs import run_id
from pipeline.core.replaying.tally import Tally

__all__ = [
    "DEADLINE_S",
    "Left",
    "Skip",
    "Slice",
    "Tally",
    "adjustment",
    "again",
    "consents",
    "needs_usage",
    "run_id",
    "slices",
    "worst_case_nano_usd",
]
