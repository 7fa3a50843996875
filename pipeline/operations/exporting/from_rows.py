"""Records of one tenant out of ClickHouse, page by page: the same facts as from Kafka, in the same order of places."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from connectors.clickhouse.reader import Reader
from pipeline.core.exporting import Answered, Asked, Place, Rating, Versus, Wanted
from pipeline.operations.exporting.gathering import Gathered, judged
from schemas.events import Feedback, ShadowComparison

__all__ = ["gather_rows"]

_PAGE: Final = 200
"""Bodies of a page are in memory together."""

_IDS: Final = 40
"""Ids travel in the address of a GET."""

_AFTER: Final = """ AND (kafka_partition, kafka_offset) > ({partition:Int32}, {offset:Int64})
ORDER BY kafka_partition, kafka_offset LIMIT {page:UInt32}"""
_RANGE: Final = """tenant = {tenant:String} AND accepted_at >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND accepted_at < fromUnixTimestamp64Milli({to_ms:Int64})"""

_REQUESTS: Final = f"""
SELECT request_id, kafka_partition, kafka_offset, toUnixTimestamp64Milli(accepted_at) AS accepted_ms, model AS target,
    operation, role, coalesce(user, '') AS user, coalesce(conversation_id, '') AS conversation_id,
    features_language AS language, features_task AS task, features_complexity AS complexity, features_band AS band,
    features_sensitivity AS sensitivity, tags, body
FROM requests WHERE {_RANGE}"""

_ANSWERS: Final = """
SELECT request_id, kafka_partition, kafka_offset, outcome, toUnixTimestamp64Milli(finished_at) AS finished_ms,
    coalesce(provider, '') AS provider, coalesce(model, '') AS model, coalesce(region, '') AS region,
    coalesce(finish_reason, '') AS finish_reason, cost_nano_usd, attempts, cached, usage_input_tokens AS input_tokens,
    usage_output_tokens AS output_tokens, usage_cache_read_tokens AS cache_read_tokens, timings_ms_queue AS queue_ms,
    timings_ms_first_token AS first_token_ms, timings_ms_total AS total_ms, body
FROM responses WHERE """

_FEEDBACK: Final = """
SELECT request_id, conversation_id, tenant, user, toUnixTimestamp64Milli(at) AS at_ms, score, label, comment, edit,
    kafka_partition, kafka_offset
FROM feedback FINAL
WHERE tenant = {tenant:String} AND at >= fromUnixTimestamp64Milli({from_ms:Int64})"""

_VERSUS: Final = """
SELECT experiment, request_id, tenant, status, toUnixTimestamp64Milli(at) AS at_ms,
    toUnixTimestamp64Milli(accepted_at) AS accepted_ms, shadow_request_id, judge, winner, kafka_partition, kafka_offset
FROM shadow_comparisons
WHERE tenant = {tenant:String} AND at >= fromUnixTimestamp64Milli({from_ms:Int64})
    AND status = 'compared' AND winner IN ('primary', 'shadow')"""


async def gather_rows(reader: Reader, wanted: Wanted, gathered: Gathered) -> None:
    """Raises StoreError."""
    since = {"tenant": wanted.tenant, "from_ms": wanted.from_ms}
    async for row in _pages(reader, _FEEDBACK, since):
        facts = {name: row[name] for name in ("score", "label", "comment", "edit")}
        said = Feedback(row["request_id"], row["conversation_id"], row["tenant"], row["user"], row["at_ms"], **facts)
        gathered.ratings.append(Rating(_place(row), said))
    if wanted.format == "preference":
        async for row in _pages(reader, _VERSUS, since):
            _compare(row, gathered)
    ranged = {**since, "to_ms": wanted.to_ms}
    async for row in _pages(reader, _REQUESTS, ranged):
        gathered.ask(_asked(row), _body(row, wanted))
    async for row in _pages(reader, _ANSWERS + _RANGE, ranged):
        if row["request_id"] in gathered.asked:
            gathered.answer(_answered(row), _body(row, wanted))
    for ids in _batches(sorted(gathered.shadow_ids)):
        named = "tenant = {tenant:String} AND request_id IN splitByChar('\n', {ids:String})"
        async for row in _pages(reader, _ANSWERS + named, {"tenant": wanted.tenant, "ids": "\n".join(ids)}):
            gathered.answer(_answered(row), _body(row, wanted), is_shadow=True)


async def _pages(reader: Reader, sql: str, parameters: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    partition, offset = -1, -1
    while True:
        rows = await reader.rows(sql + _AFTER, **parameters, partition=partition, offset=offset, page=_PAGE)
        for row in rows:
            yield row
        if len(rows) < _PAGE:
            return
        partition, offset = rows[-1]["kafka_partition"], rows[-1]["kafka_offset"]


def _batches(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _IDS):
        yield ids[start : start + _IDS]


def _place(row: dict[str, Any]) -> Place:
    return Place(row["kafka_partition"], row["kafka_offset"])


def _body(row: dict[str, Any], wanted: Wanted) -> bytes | None:
    return row["body"].encode() if row["body"] is not None and wanted.has_consent else None


def _asked(row: dict[str, Any]) -> Asked:
    plain = (
        "request_id", "target", "operation", "role", "user", "conversation_id", "language", "task", "complexity", "band",
        "sensitivity", "tags",
    )  # fmt: skip
    return Asked(place=_place(row), accepted_at=row["accepted_ms"], **{name: row[name] for name in plain})


def _answered(row: dict[str, Any]) -> Answered:
    plain = (
        "request_id", "outcome", "provider", "model", "region", "finish_reason", "cost_nano_usd", "attempts", "cached",
        "input_tokens", "output_tokens", "cache_read_tokens", "queue_ms", "first_token_ms", "total_ms",
    )  # fmt: skip
    return Answered(place=_place(row), finished_at=row["finished_ms"], **{name: row[name] for name in plain})


def _compare(row: dict[str, Any], gathered: Gathered) -> None:
    said = ShadowComparison(
        row["experiment"], row["request_id"], row["tenant"], row["status"], row["at_ms"], row["accepted_ms"],
        shadow_request_id=row["shadow_request_id"], judge=row["judge"], winner=row["winner"],
    )  # fmt: skip
    if judged(said.status, said.winner):
        gathered.versus.append(Versus(_place(row), said))
