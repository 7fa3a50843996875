"""Dead letters, listed: where each came from, why, and whose it was."""

from typing import Any

from pipeline.operations import records
from pipeline.operations.events import rfc3339
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t

__all__ = ["dead_letters", "identity", "letters"]


async def letters(where: Connection) -> list[Any]:
    """The records, the oldest first."""
    return [record async for record in records.scan(where, [where.topic(t.DEAD_LETTERS.name)])]


async def dead_letters(where: Connection) -> list[dict[str, Any]]:
    """The rows of the contract."""
    return [_row(record) for record in await letters(where)]


def identity(record: Any) -> tuple[str | None, str | None]:
    """Tenant and request id: of the headers, else of the value, as a producer of plain JSON sends them."""
    from pipeline.agents.enrich import peek

    said = {} if h.text(record.headers, h.REQUEST_ID) else peek(record.value)
    return (
        h.text(record.headers, h.TENANT) or said.get("tenant"),
        h.text(record.headers, h.REQUEST_ID) or said.get("request_id"),
    )


def _row(record: Any) -> dict[str, Any]:
    tenant, request_id = identity(record)
    return {
        "topic": h.text(record.headers, h.DLQ_TOPIC),
        "partition": record.partition,
        "offset": record.offset,
        "at": rfc3339(record.timestamp),
        "stage": h.text(record.headers, h.DLQ_STAGE),
        "reason": h.text(record.headers, h.DLQ_REASON),
        "request_id": request_id,
        "tenant": tenant,
    }
