"""Avro schemas out of events: the type hints of a dataclass say everything that its record schema says.

`schemas/avro/<event>.v<N>.avsc` holds every released version; the latest one is what this module derives (tested).
`python -m schemas.avro_schema` names the events whose model has moved away from its latest file, with `--write` the next
version of each is written. Format: https://avro.apache.org/docs/1.12.0/specification/
"""

import dataclasses
import functools
import json
import re
import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from schemas.events import EVENTS

__all__ = ["avro_schema", "released", "schema_name"]

AVRO_DIR = Path(__file__).parent / "avro"
NAMESPACE = "millrace"

_PRIMITIVES: dict[Any, str] = {str: "string", int: "long", float: "double", bool: "boolean", bytes: "bytes"}
_FILE_NAME = re.compile(r"(?P<event>[a-z-]+)\.v(?P<version>[1-9][0-9]*)\.avsc")


def avro_schema(event_class: type) -> dict[str, Any]:
    """The record schema of a dataclass; a nested dataclass is spelled out once and named from then on."""
    return _record(event_class, set())


def released(event: str) -> dict[int, dict[str, Any]]:
    """Every released version of an event, oldest first."""
    matches = (_FILE_NAME.fullmatch(path.name) for path in AVRO_DIR.iterdir())
    versions = sorted(int(match["version"]) for match in matches if match and match["event"] == event)
    return {version: json.loads(_path(event, version).read_text(encoding="utf-8")) for version in versions}


@functools.cache
def schema_name(event: str) -> str:
    """The version that is written today, as the header `schema` says it: `response.v2`."""
    return f"{event}.v{max(released(event))}"


def _path(event: str, version: int) -> Path:
    return AVRO_DIR / f"{event}.v{version}.avsc"


def _record(cls: type, named: set[type]) -> dict[str, Any]:
    named.add(cls)
    hints = get_type_hints(cls, include_extras=True)
    columns = [_column(column, hints[column.name], named) for column in dataclasses.fields(cls)]
    return {"type": "record", "name": cls.__name__, "namespace": NAMESPACE, "fields": columns}


def _column(column: "dataclasses.Field[Any]", hint: Any, named: set[type]) -> dict[str, Any]:
    schema = {"name": column.name, "type": _type(hint, named)}
    if isinstance(schema["type"], list):
        return schema | {"default": None}
    if column.default_factory is not dataclasses.MISSING:
        return schema | {"default": column.default_factory()}
    if column.default is dataclasses.MISSING:
        return schema
    # Avro writes bytes as text, one character per byte.
    default = column.default.decode("latin-1") if isinstance(column.default, bytes) else column.default
    return schema | {"default": default}


def _type(hint: Any, named: set[type]) -> Any:
    if hint in _PRIMITIVES:
        return _PRIMITIVES[hint]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return f"{NAMESPACE}.{hint.__name__}" if hint in named else _record(hint, named)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return {"type": _type(arguments[0], named), "logicalType": arguments[1]}
    if origin in (Union, UnionType) and len(arguments) == 2 and arguments[1] is NoneType:
        return ["null", _type(arguments[0], named)]
    if origin is list:
        return {"type": "array", "items": _type(arguments[0], named)}
    if origin is dict and arguments[0] is str:
        return {"type": "map", "values": _type(arguments[1], named)}
    raise TypeError(f"no Avro type for {hint!r}")


def _main(write: bool) -> int:
    stale = 0
    for event, cls in EVENTS.items():
        versions, derived = released(event), avro_schema(cls)
        latest = max(versions, default=0)
        if versions.get(latest) == derived:
            continue
        path = _path(event, latest + 1)
        sys.stdout.write(f"{path.name}\n")
        if write:
            path.write_text(json.dumps(derived, indent=2) + "\n", encoding="utf-8")
        stale += not write
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(_main("--write" in sys.argv[1:]))
