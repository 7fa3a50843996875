"""Feedback on one request: of the request itself, and of the conversation that it belongs to. The last word per user counts."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from connectors.clickhouse.reader import Reader
from pipeline.operations import records
from pipeline.operations.events import plain
from pipeline.operations.rows import event_of_row
from pipeline.operations.running import Connection
from schemas import topics as t
from schemas.events import Feedback
from schemas.incoming import decode_feedback

__all__ = ["feedback_of_rows", "feedback_of_topic", "last_words"]

_SQL: Final = """
SELECT * FROM feedback FINAL
WHERE tenant = {tenant:String} AND (
    request_id = {request_id:String}
    OR (conversation_id = {conversation_id:String} AND {conversation_id:String} != ''))
ORDER BY conversation_id, user
"""


async def feedback_of_rows(reader: Reader, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Raises StoreError."""
    tenant, request_id, conversation_id = _asked(document)
    if not tenant:
        return []
    rows = await reader.rows(_SQL, tenant=tenant, request_id=request_id, conversation_id=conversation_id)
    return [event_of_row(Feedback, row) for row in rows]


async def feedback_of_topic(where: Connection, document: Mapping[str, Any], since_ms: int) -> list[dict[str, Any]]:
    """As JSON has it. What is no feedback is passed over: the sink says what is wrong with it."""
    tenant, request_id, conversation_id = _asked(document)
    if not tenant:
        return []
    said = []
    async for record in records.scan(where, [where.topic(t.FEEDBACK.name)], since_ms):
        found = decode_feedback(record.value, record.timestamp)
        if isinstance(found, Feedback) and found.tenant == tenant and _is_of(found, request_id, conversation_id):
            said.append(found)
    words = sorted(last_words(said), key=lambda each: (each.conversation_id, each.user))
    return [plain(each) for each in words]


def _is_of(said: Feedback, request_id: str, conversation_id: str) -> bool:
    return said.request_id == request_id or (bool(conversation_id) and said.conversation_id == conversation_id)


def last_words(said: Iterable[Feedback]) -> list[Feedback]:
    """The last per (request or conversation, user), in the order of the topic."""
    return list({(each.tenant, each.request_id, each.conversation_id, each.user): each for each in said}.values())


def _asked(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """Tenant, request and conversation of a document; no tenant where nothing is known."""
    known = document["response"] or document["enriched"] or document["request"] or {}
    return tuple(known.get(name) or "" for name in ("tenant", "request_id", "conversation_id"))  # type: ignore[return-value]
