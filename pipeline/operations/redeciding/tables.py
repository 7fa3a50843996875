"""A range out of ClickHouse, slice by slice: what Kafka has no more. Rows are the events that they were."""

from collections.abc import Callable, Mapping
from typing import Final

from connectors.clickhouse.reader import Reader
from pipeline.core.redeciding.joined import Joined, Range, outcome_of
from pipeline.core.redeciding.tally import Tally
from pipeline.operations.redeciding.segments import SKEW_MS
from pipeline.operations.rows import event_of_row
from schemas.catalog import Catalog
from schemas.events import Decision, Enriched
from schemas.jsonable import of_json

__all__ = ["replay_rows"]

_SLICE: Final = 20_000
"""Requests that are read at a time."""

_ACCEPTED: Final = """
accepted_at >= fromUnixTimestamp64Milli({from_ms:Int64}) AND accepted_at < fromUnixTimestamp64Milli({to_ms:Int64})
AND ({tenant:String} = '' OR tenant = {tenant:String}) AND tenant != '_platform'
"""
_COUNT: Final = f"SELECT count() AS requests FROM requests WHERE {_ACCEPTED}"
_BOUND: Final = f"""
SELECT toUnixTimestamp64Milli(accepted_at) AS at FROM requests WHERE {_ACCEPTED}
ORDER BY accepted_at LIMIT 1 OFFSET {{size:UInt64}}
"""
_REQUESTS: Final = f"SELECT * EXCEPT (body) FROM requests WHERE {_ACCEPTED}"
_THEIRS: Final = f"(tenant, request_id) IN (SELECT tenant, request_id FROM requests WHERE {_ACCEPTED})"
_OUTCOMES: Final = f"""
SELECT tenant, request_id, outcome, attempts, error_code FROM responses WHERE {_ACCEPTED}
ORDER BY kafka_partition, kafka_offset LIMIT 1 BY tenant, request_id
"""
_SCORES: Final = f"""
SELECT tenant, request_id, avg(ifNull(score, toFloat64(label = 'up'))) AS mean FROM feedback FINAL
WHERE (isNotNull(score) OR label IN ('up', 'down')) AND {_THEIRS} GROUP BY tenant, request_id
"""
_DECISIONS: Final = f"""
SELECT * FROM decisions
WHERE decided_at >= fromUnixTimestamp64Milli({{since_ms:Int64}})
AND decided_at <= fromUnixTimestamp64Milli({{until_ms:Int64}}) AND {_THEIRS}
ORDER BY kafka_partition, kafka_offset
"""


async def replay_rows(
    reader: Reader,
    catalogs: Mapping[str, Catalog],
    policy: Catalog | None,
    accepted: Range,
    tally: Tally,
    *,
    tenant: str,
    tell: Callable[[int, int], None],
) -> None:
    """Add a range to the tally. Raises StoreError."""
    start, end = accepted
    total = int((await reader.rows(_COUNT, from_ms=start, to_ms=end, tenant=tenant))[0]["requests"])
    done = 0
    while start < end:
        found = await reader.rows(_BOUND, from_ms=start, to_ms=end, tenant=tenant, size=_SLICE)
        stop = max(int(found[0]["at"]), start + 1) if found else end
        joined = Joined(catalogs, policy, (start, stop), tenant=tenant)
        done += await _replay_slice(reader, joined, {"from_ms": start, "to_ms": stop, "tenant": tenant})
        tally.add(joined.tally)
        tell(done, total)
        start = stop


async def _replay_slice(reader: Reader, joined: Joined, asked: dict[str, str | int]) -> int:
    """The number of its requests."""
    requests = await reader.rows(_REQUESTS, **asked)
    for row in requests:
        joined.ask(of_json(Enriched, event_of_row(Enriched, row)))
    for row in await reader.rows(_OUTCOMES, **asked):
        if joined.lacks_outcome(key := (row["tenant"], row["request_id"])):
            joined.end(key, outcome_of(row["outcome"], row["error_code"], int(row["attempts"])))
    scores = await reader.rows(_SCORES, **asked)
    joined.rate({(row["tenant"], row["request_id"]): row["mean"] for row in scores})
    times = {"since_ms": int(asked["from_ms"]) - SKEW_MS, "until_ms": joined.latest_deadline + SKEW_MS}
    for row in await reader.rows(_DECISIONS, **asked, **times):
        joined.take(of_json(Decision, event_of_row(Decision, row)))
    return len(requests)
