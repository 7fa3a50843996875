"""The verdict on an experiment: is the shadow better, worse, or is it too early to say? Sums of figures in, decisions out.

Whoever looks at an ordinary 95 % interval after every pair and stops when it excludes 1/2 is wrong far more often than one
time in twenty. The sequences here are *always valid*: the chance that the truth is ever outside, at any of the looks, is at
most 5 %. So one may look all the time, stop when it pleases, and go on afterwards.

    intervals   an estimate with its ends
    betting     means of values in 0..1 (win rates, scores): exact at every size
    normal      means of anything else (cost, latency): valid once there are some dozens of values
    judging     wins, ties and losses -> promote, keep, more; the same for the two arms of a live split
"""

from pipeline.core.verdict.betting import Counts, bounded_mean, wealth
from pipeline.core.verdict.intervals import LEVEL, Interval
from pipeline.core.verdict.judging import Verdict, WinRate, arms, judged, rate, rate_of_arms, verdict_on
from pipeline.core.verdict.normal import Moments, difference, mean

__all__ = [
    "LEVEL",
    "Counts",
    "Interval",
    "Moments",
    "Verdict",
    "WinRate",
    "arms",
    "bounded_mean",
    "difference",
    "judged",
    "mean",
    "rate",
    "rate_of_arms",
    "verdict_on",
    "wealth",
]
