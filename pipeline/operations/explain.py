"""Explaining: everything that happened to one request, as one document. From ClickHouse, else from the topics of 72 hours.

A document holds each event as it is, without bodies unless they are asked for (and those only the topics have).
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError

from connectors.clickhouse.reader import Reader
from connectors.clickhouse.store import StoreError
from pipeline.operations import records
from pipeline.operations.breakers_then import breakers_then, ended_at, endpoints_of
from pipeline.operations.events import tenant_of, value_of, without_bodies
from pipeline.operations.feedback import feedback_of_rows, feedback_of_topic
from pipeline.operations.rows import event_of_row
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas.events import Attempt, Breaker, Cost, Decision, Enriched, Response, ShadowComparison
from schemas.topics import BREAKERS, TOPICS

__all__ = ["HOURS", "collect", "explain", "is_found"]

HOURS: Final = 72

_PLACES: Final = {
    "requests.v1": "request",
    "enriched.v1": "enriched",
    "decisions.v1": "decisions",
    "attempts.v1": "attempts",
    "costs.v1": "costs",
    "responses.v1": "response",
    "shadow-comparisons.v1": "shadow",
}
_MANY: Final = ("decisions", "attempts", "costs", "shadow")
_TABLES: Final[Mapping[str, tuple[str, type]]] = {
    "enriched": ("requests", Enriched),
    "decisions": ("decisions", Decision),
    "attempts": ("attempts", Attempt),
    "costs": ("costs", Cost),
    "response": ("responses", Response),
    "shadow": ("shadow_comparisons", ShadowComparison),
}
_OF_REQUEST: Final = "request_id = {request_id:String} AND ({tenant:String} = '' OR tenant = {tenant:String})"
_ASKED: Final = (
    "request_id", "tenant", "user", "conversation_id", "operation", "model", "stream", "priority", "tags",
)  # fmt: skip
_BREAKERS: Final = """
SELECT * FROM breaker_transitions
WHERE endpoint IN splitByChar('\n', {endpoints:String}) AND at <= parseDateTime64BestEffort({until:String}, 3, 'UTC')
ORDER BY at DESC, epoch DESC LIMIT 50 BY endpoint
"""


async def explain(
    where: Connection | None, reader: Reader | None, request_id: str, *, tenant: str | None = None
) -> dict[str, Any]:
    """The document, without bodies: of ClickHouse if it has it whole, else of whoever knows more.

    Without `where` there are no topics to ask.

    Raises:
        KafkaError: The topics were needed, and ClickHouse knows nothing.
        StoreError: ClickHouse is away, and there are no topics.
    """
    rows = _empty()
    if reader is not None:
        try:
            rows = await from_rows(reader, request_id, tenant=tenant)
        except StoreError:  # away: that is what the topics are for
            if where is None:
                raise
    if where is None or _is_whole(rows):
        return rows
    try:
        said = await collect(where, request_id, tenant=tenant, bodies=False)
    except KafkaError:
        if is_found(rows):
            return rows
        raise
    return max(said, rows, key=_knows)


async def from_rows(reader: Reader, request_id: str, *, tenant: str | None = None) -> dict[str, Any]:
    """Raises StoreError."""
    found = await asyncio.gather(*(_events(reader, place, request_id, tenant or "") for place in _TABLES))
    events = dict(zip(_TABLES, found, strict=True))
    document = _empty() | {place: events[place] for place in _MANY}
    document |= {place: next(iter(events[place]), None) for place in ("enriched", "response")}
    if (enriched := document["enriched"]) is not None:
        document["request"] = {name: enriched[name] for name in _ASKED}
    document["breakers"] = breakers_then(document, await _transitions(reader, document))
    document["feedback"] = [without_bodies(said) for said in await feedback_of_rows(reader, document)]
    return document


async def collect(where: Connection, request_id: str, *, tenant: str | None, bodies: bool) -> dict[str, Any]:
    """From the topics. The first outcome counts, as for every reader."""
    events = {topic.name: topic.event for topic in TOPICS}
    document = _empty()
    since_ms = int(time.time() * 1000) - HOURS * 3_600_000
    async for record in records.scan(where, [where.topic(name) for name in _PLACES], since_ms):
        name = record.topic.removeprefix(where.topic_prefix)
        if not _may_be_of(record, request_id):
            continue
        value = value_of(events[name], record.value)
        if not _is_of(record, value, request_id=request_id, tenant=tenant):
            continue
        _put(document, _PLACES[name], value if bodies else without_bodies(value))
    if endpoints_of(document):
        topic = where.topic(BREAKERS.name)
        said = [value_of(BREAKERS.event, record.value) async for record in records.scan(where, [topic])]
        document["breakers"] = breakers_then(document, [each for each in said if each and "endpoint" in each])
    said = await feedback_of_topic(where, document, since_ms)
    document["feedback"] = said if bodies else [without_bodies(each) for each in said]
    return document


def is_found(document: Mapping[str, Any]) -> bool:
    return any(document[name] for name in _PLACES.values())


def _knows(document: Mapping[str, Any]) -> int:
    """Events in it."""
    return sum(len(document[name]) if name in _MANY else document[name] is not None for name in _PLACES.values())


def _empty() -> dict[str, Any]:
    return {
        "request": None, "enriched": None, "decisions": [], "attempts": [], "costs": [], "response": None,
        "breakers": [], "shadow": [], "feedback": [],
    }  # fmt: skip


async def _events(reader: Reader, place: str, request_id: str, tenant: str) -> list[dict[str, Any]]:
    """Each once: a cost that was booked twice has the same id."""
    table, event = _TABLES[place]
    once = " LIMIT 1 BY cost_id" if table == "costs" else ""
    sql = f"SELECT * FROM {table} WHERE {_OF_REQUEST} ORDER BY kafka_partition, kafka_offset{once}"
    rows = await reader.rows(sql, request_id=request_id, tenant=tenant)
    return [without_bodies(event_of_row(event, row)) for row in rows]


async def _transitions(reader: Reader, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    endpoints = endpoints_of(document)
    if not endpoints:
        return []
    rows = await reader.rows(_BREAKERS, endpoints="\n".join(sorted(endpoints)), until=ended_at(document))
    return [event_of_row(Breaker, row) for row in rows]


def _is_whole(document: Mapping[str, Any]) -> bool:
    """Rows come about a second after their events, and not all at once: an outcome, and every call ended and booked."""
    phases = [attempt["phase"] for attempt in document["attempts"]]
    booked = phases.count("started") <= phases.count("finished") <= len(document["costs"])
    return document["response"] is not None and document["enriched"] is not None and booked


def _may_be_of(record: Any, request_id: str) -> bool:
    """Cheap: by header; records of foreign producers may carry none, then by the bytes."""
    said = h.text(record.headers, h.REQUEST_ID)
    return said == request_id if said is not None else request_id.encode() in (record.value or b"")


def _is_of(record: Any, value: Any, *, request_id: str, tenant: str | None) -> bool:
    said = h.text(record.headers, h.REQUEST_ID) or (value.get("request_id") if isinstance(value, dict) else None)
    return said == request_id and (tenant is None or tenant_of(record, value) == tenant)


def _put(document: dict[str, Any], place: str, value: Any) -> None:
    if place in _MANY:
        document[place].append(value)
    elif document[place] is None:
        document[place] = value
