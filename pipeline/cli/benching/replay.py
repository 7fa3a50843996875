"""How fast decisions are made again: from Kafka to the report, over a past of its own on the broker of the platform."""

import os
import time
from typing import Any

from connectors.kafka.admin import ensure_topics
from pipeline.cli.benching.past import catalog_of, write_past
from pipeline.cli.benching.place import Place
from pipeline.operations.redeciding.deciding import History, replay_decide
from pipeline.operations.running import Connection
from schemas.topics import named_topics

__all__ = ["replay"]

Run = dict[str, Any]

_PREFIX, _PARTITIONS = "bench-past.", 4


async def replay(place: Place, decisions: int) -> Run:
    """Under the same catalogues, then under another one."""
    where = Connection(place.kafka, _PREFIX, _PARTITIONS, "", None, {})
    await ensure_topics(place.kafka, named_topics(_PREFIX, _PARTITIONS, [], []))
    past = await write_past(place.kafka, _PREFIX, decisions, partitions=_PARTITIONS, now_ms=time.time_ns() // 1_000_000)
    asked: dict[str, Any] = {"from_ms": past.from_ms, "to_ms": past.to_ms, "tell": lambda *_: None}
    spent_s = _spent_by_children_s()
    same = await replay_decide(History(where), policy=None, **asked)
    spent_s = _spent_by_children_s() - spent_s
    other = await replay_decide(History(where), policy=catalog_of(lambda_cost=0.5), **asked)
    return {
        "name": "decisions made again", "decisions": same["decisions"], "identical": same["identical"],
        "changed_by_another_policy": other["changed"], "seconds": same["seconds"],
        "decisions_per_s": same["decisions_per_s"], "decisions_per_s_other_policy": other["decisions_per_s"],
        "cpu_us_per_decision": spent_s / decisions * 1e6, "ratios": {},
    }  # fmt: skip


def _spent_by_children_s() -> float:
    """CPU of the processes that were started and have ended; their start is a part of it."""
    times = os.times()
    return times.children_user + times.children_system
