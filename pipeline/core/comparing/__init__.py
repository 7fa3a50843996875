"""Comparing two answers to one request: what was said, how alike it is, and which is better. Pure.

answers    a body of `responses` as what it says
measures   equal, nearly equal, equal as JSON, the same calls of tools, the length
schema     whether JSON is what a `response_format` asked for
judging    better by rules, or by a model that is asked twice with the answers in both orders
"""

from pipeline.core.comparing.answers import NOTHING_SAID, Said, said_in
from pipeline.core.comparing.judging import JUDGE_OUTPUT_TOKENS, Winner, judge_body, judged, ruled, verdict_in
from pipeline.core.comparing.measures import Measures, measured

__all__ = [
    "JUDGE_OUTPUT_TOKENS",
    "NOTHING_SAID",
    "Measures",
    "Said",
    "Winner",
    "judge_body",
    "judged",
    "measured",
    "ruled",
    "said_in",
    "verdict_in",
]
