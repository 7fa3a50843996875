"""Deciding again what was decided: pure parts. `operations/redeciding` reads the logs and writes the report.

again     one decision once more, from what it saw
joined    the decisions of a range with their requests and outcomes
tally     what came of many, in sums that add up over ranges and processes
verdict   the report: costs, quality with an interval, segments, examples
"""
