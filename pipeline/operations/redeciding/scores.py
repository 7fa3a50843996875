"""What people said of answers: mean scores by request, of `feedback.v1`; each person's last word counts."""

from collections import defaultdict
from typing import Any, Final

import orjson

from pipeline.core.redeciding.joined import Id
from pipeline.operations import records
from pipeline.operations.running import Connection
from schemas import topics as t
from schemas.codec import decode
from schemas.events import Feedback

__all__ = ["scores_of"]

_LABELS: Final = {"up": 1.0, "down": 0.0}


async def scores_of(where: Connection, since_ms: int) -> dict[Id, float]:
    """Of whole conversations nothing is taken: they do not say which answer was meant."""
    said: defaultdict[Id, dict[str, float]] = defaultdict(dict)
    async for record in records.scan(where, [where.topic(t.FEEDBACK.name)], since_ms):
        word = _word(record.value)
        score = word.get("score") if word.get("score") is not None else _LABELS.get(str(word.get("label")))
        if word.get("request_id") and word.get("tenant") and isinstance(score, int | float) and 0 <= score <= 1:
            said[word["tenant"], word["request_id"]][str(word.get("user") or "")] = float(score)
    return {key: sum(scores.values()) / len(scores) for key, scores in said.items()}


def _word(raw: bytes | None) -> dict[str, Any]:
    """Avro, or plain JSON as anybody may write it; empty for what is neither."""
    if raw and raw[:1] == b"{":
        try:
            return dict(orjson.loads(raw))
        except orjson.JSONDecodeError:
            return {}
    event = decode(Feedback, raw)
    if not isinstance(event, Feedback):
        return {}
    return {
        "tenant": event.tenant,
        "request_id": event.request_id,
        "user": event.user,
        "score": event.score,
        "label": event.label,
    }
