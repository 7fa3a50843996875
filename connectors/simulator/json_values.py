"""A value that satisfies a JSON Schema: the part of the language that structured output and tools use.

Knows `type const enum anyOf oneOf allOf $ref properties items minItems maxItems minimum maximum exclusive* multipleOf
minLength maxLength format`; `pattern` is not honoured.
"""

import math
import random
from collections.abc import Mapping
from typing import Any

_DEEP = 6  # below this depth only what is required is generated, so that recursive schemas end
_FORMATS = {
    "date": "2026-11-14",
    "time": "09:30:00Z",
    "date-time": "2026-11-14T09:30:00Z",
    "duration": "PT5M",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
    "uuid": "3f2b8c1e-5d4a-4b6f-9c7d-0a1b2c3d4e5f",
    "uri": "https://example.com/a",
}

Schema = Mapping[str, Any]


class ValueMaker:
    """Makes values for one schema; strings are filled with the caller's own words."""

    def __init__(self, root: Schema, rng: random.Random, words: str) -> None:
        self._root = root
        self._rng = rng
        self._words = words or "nothing was said"

    def make(self) -> Any:
        return self._value(self._root, 0)

    def _value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):  # `true` is a schema too: anything goes
            return self._words
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._rng.choice(schema["enum"])
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return self._value(self._branch(schema[union], depth), depth + 1)
        return self._typed(schema, depth)

    def _resolved(self, schema: Schema) -> Schema:
        for _ in range(_DEEP):
            if "$ref" not in schema:
                break
            schema = self._target(schema["$ref"])
        merged = dict(schema)
        for part in map(self._resolved, schema.get("allOf", ())):
            required = [*merged.get("required", ()), *part.get("required", ())]
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            merged |= {**part, "required": required, "properties": properties}
        return merged

    def _target(self, ref: str) -> Schema:
        node: Any = self._root
        for step in ref.removeprefix("#").strip("/").split("/"):
            node = node.get(step, {}) if step and isinstance(node, Mapping) else node
        return node if isinstance(node, Mapping) else {}

    def _branch(self, branches: list[Any], depth: int) -> Any:
        """Any branch; deep down the one that ends soonest."""
        if depth < _DEEP:
            return self._rng.choice(branches)
        flat = [b for b in branches if isinstance(b, Mapping) and b.get("type") not in {None, "object", "array"}]
        return (flat or branches)[0]

    def _typed(self, schema: Schema, depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = kind[0] if depth < _DEEP else ("null" if "null" in kind else kind[0])
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case _:
                return self._string(schema)

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: Schema = schema.get("properties", {})
        required = schema.get("required", ())
        wanted = properties if depth < _DEEP else [name for name in properties if name in required]
        return {name: self._value(properties[name], depth + 1) for name in wanted}

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        size = self._rng.randint(1, 2) if depth < _DEEP else 0
        size = max(least, min(size, schema.get("maxItems", size)))
        return [self._value(schema.get("items", {}), depth + 1) for _ in range(size)]

    def _number(self, schema: Schema, *, whole: bool) -> int | float:
        step = schema.get("multipleOf", 1 if whole else 0.25)
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        if low is None:
            low = 0 if high is None else min(0, high - 10 * step)
        first = math.ceil(low / step) + ("exclusiveMinimum" in schema and math.ceil(low / step) * step == low)
        last = first + 100 if high is None else math.floor(high / step)
        last -= "exclusiveMaximum" in schema and last * step == high
        if last < first:  # no multiple fits in a narrow range of reals: its middle does
            return float(low) if high is None else (low + high) / 2
        value = self._rng.randint(first, last) * step
        return int(value) if whole else float(value)

    def _string(self, schema: Schema) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        least = schema.get("minLength", 0)
        text = self._words
        while len(text) < least:
            text += " " + self._words
        return text[: max(least, schema.get("maxLength", 80))]
