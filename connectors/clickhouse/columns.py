"""Columns out of events: the Avro schema of an event says everything that its table's columns say. Pure.

Nested records become columns joined by `_` (`usage_input_tokens`). A required one is flattened in the schema that goes in
front of the rows, for a record's bytes are those of its fields. An optional one cannot be: ClickHouse calls its fields
`usage.Usage.input_tokens` (field, record, field), so its columns have an EPHEMERAL twin of that name, which takes the value
in and is not stored. Format: https://clickhouse.com/docs/interfaces/formats/Avro
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["AvroSchema", "Column", "columns", "flattened"]

AvroSchema = dict[str, Any]

_SCALARS = {
    "string": "String",
    "bytes": "String",
    "int": "Int32",
    "long": "Int64",
    "double": "Float64",
    "boolean": "Bool",
    "timestamp-millis": "DateTime64(3, 'UTC')",
}


@dataclass(slots=True, frozen=True)
class Column:
    """`type` without LowCardinality and codecs, which say how it is kept; `source`: what ClickHouse calls it in the input."""

    name: str
    type: str
    source: str

    @property
    def has_twin(self) -> bool:
        return self.source != self.name


def columns(schema: AvroSchema) -> list[Column]:
    """Of an event's record schema, in the order of its fields."""
    return _columns(_dissolved(schema["fields"], "", {}), "", "", is_optional=False)


def flattened(schema: AvroSchema) -> AvroSchema:
    """The same bytes as one level of fields: required records dissolved, every other one spelled out once, no defaults."""
    fields, spelled = _dissolved(schema["fields"], "", {}), set[str]()
    return {"type": "record", "name": schema["name"], "fields": [_named_once(field, spelled) for field in fields]}


def _dissolved(fields: list[AvroSchema], prefix: str, named: dict[str, AvroSchema]) -> list[AvroSchema]:
    found: list[AvroSchema] = []
    for field in fields:
        name, kind = prefix + field["name"], _spelled_out(field["type"], named)
        if isinstance(kind, dict) and kind["type"] == "record":
            found += _dissolved(kind["fields"], name + "_", named)
        else:
            found.append({"name": name, "type": kind})
    return found


def _spelled_out(kind: Any, named: dict[str, AvroSchema]) -> Any:
    if isinstance(kind, list):
        return [_spelled_out(part, named) for part in kind]
    if isinstance(kind, str):
        return named.get(kind.rpartition(".")[2], kind)
    if kind["type"] == "record":
        fields = [{"name": part["name"], "type": _spelled_out(part["type"], named)} for part in kind["fields"]]
        named[kind["name"]] = {"type": "record", "name": kind["name"], "fields": fields}
        return named[kind["name"]]
    inside = {key: _spelled_out(kind[key], named) for key in ("items", "values") if key in kind}
    return {**kind, **inside}


def _named_once(kind: Any, spelled: set[str]) -> Any:
    """Avro allows one definition of a name; from the second place on the name stands for it."""
    if isinstance(kind, list):
        return [_named_once(part, spelled) for part in kind]
    if not isinstance(kind, dict):
        return kind
    if kind.get("type") == "record":
        if kind["name"] in spelled:
            return kind["name"]
        spelled.add(kind["name"])
    return {key: _named_once(value, spelled) for key, value in kind.items()}


def _columns(fields: list[AvroSchema], prefix: str, path: str, *, is_optional: bool) -> list[Column]:
    found = []
    for field in fields:
        name, source, kind = prefix + field["name"], path + field["name"], field["type"]
        if isinstance(kind, list) and isinstance(kind[1], dict) and kind[1]["type"] == "record":
            record = kind[1]
            found += _columns(record["fields"], f"{name}_", f"{source}.{record['name']}.", is_optional=True)
        else:
            found.append(Column(name, _type(kind, is_optional=is_optional), source))
    return found


def _type(kind: Any, *, is_optional: bool = False) -> str:
    """Maps and arrays cannot be NULL in ClickHouse: an absent one is empty."""
    if isinstance(kind, list):
        return _type(kind[1], is_optional=True)
    if isinstance(kind, str):
        return f"Nullable({_SCALARS[kind]})" if is_optional else _SCALARS[kind]
    if "logicalType" in kind:
        return _type(kind["logicalType"], is_optional=is_optional)
    match kind["type"]:
        case "array":
            return f"Array({_type(kind['items'])})"
        case "map":
            return f"Map(String, {_type(kind['values'])})"
        case _:
            parts = ", ".join(f"{field['name']} {_type(field['type'])}" for field in kind["fields"])
            return f"Tuple({parts})"
