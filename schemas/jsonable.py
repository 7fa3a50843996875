"""Events as people read them, and back: for `watch`, `explain --json`, rows and examples; no wire format."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import orjson

from schemas.events.ref import TimestampMs

__all__ = ["of_json", "to_json"]

E = TypeVar("E")

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


def of_json(event: type[E], document: Mapping[str, Any]) -> E:
    """The event that `to_json` made this of, without what it left out. Raises ValueError, TypeError for another's."""
    cls: Any = event
    found: E = cls(**{name: convert(document[name]) for name, convert in _converts(cls) if name in document})
    return found


Convert = Callable[[Any], Any]


@cache
def _converts(event: type) -> tuple[tuple[str, Convert], ...]:
    hints = get_type_hints(event, include_extras=True)
    return tuple((column.name, _convert(hints[column.name])) for column in fields(event))


def _convert(hint: Any) -> Convert:
    """What makes a field's value out of JSON; None stays None."""
    if isinstance(hint, type) and is_dataclass(hint):
        return lambda value: None if value is None else of_json(hint, value)
    if hint == TimestampMs or TimestampMs in get_args(hint):
        return _milliseconds
    if hint is bytes or bytes in get_args(hint):
        return lambda value: None if value is None else _bytes_of(value)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is dict:
        inner = _convert(arguments[1])
        return lambda value: {key: inner(item) for key, item in value.items()}
    if origin is list:
        inner = _convert(arguments[0])
        return lambda value: [inner(item) for item in value]
    nested = [part for part in arguments if isinstance(part, type) and is_dataclass(part)]
    return _convert(nested[0]) if nested else lambda value: value


def _bytes_of(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else orjson.dumps(value)


def _milliseconds(value: str | int | None) -> int | None:
    if not isinstance(value, str):
        return value
    return (datetime.fromisoformat(value) - _EPOCH) // timedelta(milliseconds=1)


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
