"""Events as people read them: for `watch`, `explain --json` and examples; no wire format."""

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, get_args, get_type_hints

import orjson

from schemas.events.ref import TimestampMs

__all__ = ["to_json"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_json(event: Any) -> dict[str, Any]:
    """Times as RFC 3339 in UTC with milliseconds, bytes as the JSON or else the text that they hold."""
    cls: Any = type(event)
    times = _times(cls)
    return {
        column.name: _time(value) if column.name in times and value is not None else _plain(value)
        for column in fields(event)
        for value in (getattr(event, column.name),)
    }


@cache
def _times(cls: type) -> frozenset[str]:
    hints = get_type_hints(cls, include_extras=True)
    return frozenset(name for name, hint in hints.items() if hint == TimestampMs or TimestampMs in get_args(hint))


def _time(value: int) -> str | int:
    try:
        return (_EPOCH + timedelta(milliseconds=value)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:  # beyond year 9999: shown as it stands
        return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return to_json(value) if is_dataclass(value) else value


def _bytes(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value.decode(errors="replace")
