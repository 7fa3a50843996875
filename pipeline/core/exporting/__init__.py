"""Exports: which requests of a tenant become lines of a file, and how such a line reads. Pure.

    records    what is known of a request, whichever source it came from
    choosing   which requests go in, and why the others do not
    messages   bodies -> messages that a training file may hold, redacted
    lines      requests -> lines: `openai-chat`, `preference`
    table      requests -> rows of CSV

Equal input gives equal bytes: nothing here looks at a clock, and everything is sorted.
"""

from pipeline.core.exporting.choosing import Choice, Wanted, choose
from pipeline.core.exporting.lines import FORMATS, Line, Skip, lines_of
from pipeline.core.exporting.records import Answered, Asked, Bodies, Exchange, Place, Rating, Versus
from pipeline.core.exporting.table import HEADER

__all__ = [
    "FORMATS", "FORMAT_VERSION", "HEADER", "Answered", "Asked", "Bodies", "Choice", "Exchange", "Line", "Place", "Rating",
    "Skip", "Versus", "Wanted", "choose", "lines_of",
]  # fmt: skip

FORMAT_VERSION = 1
"""Goes up with whatever changes the bytes of an export of the same data."""
