"""Structured output: `response_format` as `output_config.format`, or as a note where there is nothing else.

Anthropic compiles a part of JSON Schema only: bounds are refused, and every object must be closed.
Source: platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

from collections.abc import Mapping
from typing import Any

from connectors.providers import notes
from connectors.providers.adapter import ProviderCall
from connectors.providers.conversation import UnmappableError

__all__ = ["closed", "output_format"]

_REFUSED = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
        "maxItems", "uniqueItems",
    }
)  # fmt: skip
_NAMED = frozenset({"properties", "$defs", "definitions"})
_NESTED = frozenset({"items", "prefixItems", "anyOf", "allOf", "oneOf", "not"})


def output_format(call: ProviderCall) -> tuple[dict[str, Any] | None, str | None]:
    """The value of `output_config.format`, or a note for the system prompt, or neither.

    Raises:
        UnmappableError: a format that nobody here knows.
    """
    wanted = call.body.get("response_format") or {"type": "text"}
    match wanted["type"]:
        case "text":
            return None, None
        case "json_object":
            return None, notes.JSON_ONLY
        case "json_schema":
            schema = wanted["json_schema"].get("schema")
            if not isinstance(schema, Mapping):
                return None, notes.JSON_ONLY
            if call.flags.get("json_schema") is False:
                return None, notes.json_schema(schema)
            return {"type": "json_schema", "schema": closed(schema)}, None
        case other:
            raise UnmappableError("response_format.type", f"`{other}` is not known here")


def closed(schema: Any) -> Any:
    """The schema without what Anthropic refuses; names of properties are no keywords, values in `enum` no schemas."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {key: _value(key, value) for key, value in schema.items() if key not in _REFUSED}
    return {**kept, "additionalProperties": False} if _is_object(schema) else kept


def _value(key: str, value: Any) -> Any:
    if key in _NAMED and isinstance(value, Mapping):
        return {name: closed(inner) for name, inner in value.items()}
    return closed(value) if key in _NESTED else value


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return (
        kind == "object" or (isinstance(kind, list) and "object" in kind) or (kind is None and "properties" in schema)
    )
