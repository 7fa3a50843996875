"""A row of ClickHouse as the event that it was: the inverse of `connectors/clickhouse/columns`. Pure.

Columns of a nested record are joined by `_` there (`usage_input_tokens`); an optional record is absent if all are NULL.
"""

from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

__all__ = ["event_of_row"]


def event_of_row(event: type, row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """As JSON has it. What the table does not keep is None."""
    found = {}
    for name, (record, is_optional) in _records(event).items():
        if record is None:
            found[name] = row.get(prefix + name)
            continue
        inner = event_of_row(record, row, f"{prefix}{name}_")
        is_absent = is_optional and all(value is None or value == {} for value in inner.values())
        found[name] = None if is_absent else inner
    return found


@cache
def _records(event: type) -> dict[str, tuple[type | None, bool]]:
    """Field -> the event class of a nested record, and whether it may be absent."""
    hints = get_type_hints(event)
    return {field.name: _record(hints[field.name]) for field in fields(event)}


def _record(hint: Any) -> tuple[type | None, bool]:
    if isinstance(hint, type) and is_dataclass(hint):
        return hint, False
    nested = [part for part in get_args(hint) if isinstance(part, type) and is_dataclass(part)]
    is_optional = type(None) in get_args(hint)
    return (nested[0], True) if nested and is_optional else (None, is_optional)
