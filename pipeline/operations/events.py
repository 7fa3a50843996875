"""Records as JSON: what `watch`, `explain` and the admin surface show. Prompts and answers are left out unless asked for."""

import base64
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from schemas import headers as h

HIDDEN = "(hidden; --bodies shows it)"
_TIMES = frozenset({"at", "since", "limited_until", "open_until", "probe_until"})
_BODIES = frozenset({"body", "data", "comment", "edit"})


def value_of(event: str | None, raw: bytes | None) -> Any:
    """The value as plain data; bytes that are no event come as {"undecodable": base64}."""
    if raw is None:
        return None
    if raw[:1] == b"{":
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            return _undecodable(raw)
    from schemas.codec import Undecodable, decode
    from schemas.events import EVENTS

    if event not in EVENTS:
        return _undecodable(raw)
    decoded = decode(EVENTS[event], raw)
    return _undecodable(raw) if isinstance(decoded, Undecodable) else plain(decoded)


def plain(value: Any, name: str = "") -> Any:
    """An event as JSON has it: bodies as they were sent, times as RFC 3339."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), field.name) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return _json_or_base64(value)
    if isinstance(value, int) and not isinstance(value, bool) and (name.endswith("_at") or name in _TIMES):
        return rfc3339(value)
    return value


def _json_or_base64(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _undecodable(raw)


def _undecodable(raw: bytes) -> dict[str, str]:
    return {"undecodable": base64.b64encode(raw).decode()}


def event_of(record: Any, of_topic: str | None) -> str | None:
    """The event's name: that of the topic; on dead letters that of the header `schema`."""
    return of_topic or (h.text(record.headers, h.SCHEMA) or "").split(".")[0] or None


def without_bodies(value: Any) -> Any:
    """Everything but prompts, answers and free text, however deep they stand."""
    if isinstance(value, list):
        return [without_bodies(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "undecodable" in value:
        return {"undecodable": HIDDEN}
    return {k: HIDDEN if k in _BODIES and v is not None else without_bodies(v) for k, v in value.items()}


def readable_headers(headers: Any) -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in headers}


def as_document(record: Any, event: str | None, *, bodies: bool) -> dict[str, Any]:
    """A record as `watch` prints it."""
    value = value_of(event, record.value)
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": rfc3339(record.timestamp),
        "key": record.key.decode(errors="replace") if record.key is not None else None,
        "headers": readable_headers(record.headers),
        "value": value if bodies else without_bodies(value),
    }


def rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tenant_of(record: Any, value: Mapping[str, Any] | Any) -> str | None:
    """By header, else by value: a foreign producer may send none."""
    return h.text(record.headers, h.TENANT) or (value.get("tenant") if isinstance(value, dict) else None)
