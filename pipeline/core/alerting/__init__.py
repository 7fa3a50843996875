"""Alerts: what is measured, which rules hold, who still has to be told. Pure.

readings    records and offsets -> the terms of the catalogue's rules, per subject     <- start here
rules       readings over time -> firing, resolved
outbox      alerts -> posts to webhooks, in order and again until they arrive
"""

from pipeline.core.alerting.outbox import Outbox, Post
from pipeline.core.alerting.readings import Backlog, Calls, Labels, Outages, Readings, Tally, consumer_lag, freshness_s
from pipeline.core.alerting.rules import Rules

__all__ = [
    "Backlog",
    "Calls",
    "Labels",
    "Outages",
    "Outbox",
    "Post",
    "Readings",
    "Rules",
    "Tally",
    "consumer_lag",
    "freshness_s",
]
