"""The admin surface: what an operator sees of a running platform, and the orders that he gives.

desk        what the surface can ask and order; the stage hands it in
access      who is let in
children    the metrics of all processes, as one page
api         JSON for programs: /admin/*, /metrics
questions   the SQL files of the dashboard, and time ranges
pages       HTML for people; templates/ and static/ are theirs
experiments the pages of experiments
timeline    one request's life, step by step
server      all of it on a port
"""

from connectors.dashboard.access import Access, KeyRequired
from connectors.dashboard.children import ChildProcess
from connectors.dashboard.desk import Desk, NoAnswer, UnknownEndpoint, UnknownExperiment, UnknownOrder
from connectors.dashboard.server import serve

__all__ = [
    "Access",
    "ChildProcess",
    "Desk",
    "KeyRequired",
    "NoAnswer",
    "UnknownEndpoint",
    "UnknownExperiment",
    "UnknownOrder",
    "serve",
]
