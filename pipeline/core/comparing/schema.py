"""Whether JSON is what was asked for: the part of JSON Schema that structured outputs allow; what else stands there passes.

type, enum, const, properties, required, additionalProperties, items, anyOf, $ref within the schema.
Source: platform.openai.com/docs/guides/structured-outputs#supported-schemas
"""

from typing import Any

from pipeline.core.comparing.measures import same_json

__all__ = ["fits"]

_DEPTH = 64
_TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "number": int | float, "boolean": bool, "null": type(None),
}  # fmt: skip


def fits(value: Any, schema: Any, root: Any = None, depth: int = 0) -> bool:
    """`root`: where references begin; the schema itself if left out."""
    if not isinstance(schema, dict) or depth > _DEPTH:
        return True
    root = schema if root is None else root
    if "$ref" in schema:
        return fits(value, _referred(schema["$ref"], root), root, depth + 1)
    if "anyOf" in schema and not any(fits(value, option, root, depth + 1) for option in schema["anyOf"]):
        return False
    if "const" in schema and not same_json(value, schema["const"]):
        return False
    if "enum" in schema and not any(same_json(value, allowed) for allowed in schema["enum"]):
        return False
    return _is_of(value, schema.get("type")) and _parts_fit(value, schema, root, depth)


def _referred(reference: Any, root: Any) -> Any:
    found = root
    for part in str(reference).removeprefix("#").strip("/").split("/"):
        if part:
            found = found.get(part) if isinstance(found, dict) else None
    return found


def _is_of(value: Any, named: Any) -> bool:
    names = named if isinstance(named, list) else [named]
    return named is None or any(_is_one(value, name) for name in names)


def _is_one(value: Any, name: Any) -> bool:
    if isinstance(value, bool):
        return bool(name == "boolean")
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return name not in _TYPES or isinstance(value, _TYPES[name])


def _parts_fit(value: Any, schema: dict[str, Any], root: Any, depth: int) -> bool:
    if isinstance(value, list):
        return all(fits(item, schema.get("items"), root, depth + 1) for item in value)
    if not isinstance(value, dict):
        return True
    known = schema.get("properties") or {}
    if not set(schema.get("required") or ()) <= value.keys():
        return False
    if schema.get("additionalProperties") is False and not value.keys() <= known.keys():
        return False
    return all(fits(item, known.get(name), root, depth + 1) for name, item in value.items())
