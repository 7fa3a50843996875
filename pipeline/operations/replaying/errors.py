"""Why a replay ends without its result.

ReplayError
├── UnderWay     another process carries this run out
├── Unusable     its document cannot be kept
├── Behind       ClickHouse has not what Kafka has, and does not get it
└── Unfinished   outcomes are missing that should be there
"""

__all__ = ["Behind", "ReplayError", "UnderWay", "Unfinished", "Unusable"]


class ReplayError(Exception):
    """The text is for people. The same command goes on where this one ended."""


class UnderWay(ReplayError):
    pass


class Unusable(ReplayError):
    pass


class Behind(ReplayError):
    pass


class Unfinished(ReplayError):
    pass
