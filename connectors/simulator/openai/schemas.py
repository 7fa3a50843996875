"""What OpenAI refuses in names of functions and in JSON Schemas, alike in Chat Completions and Responses."""

import re
from typing import Any

from connectors.simulator.ask import Schema
from connectors.simulator.openai.errors import Refused

_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")


def check_name(name: Any, path: str) -> None:
    if not isinstance(name, str) or not _NAME.match(name):
        message = (
            f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'."
        )
        raise Refused(message, param=path, code="invalid_value")


def check_object(schema: Any, what: str, *, param: str, code: str | None = None) -> Schema:
    """The schema, if it describes an object at the top."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        message = f"{what}: schema must be a JSON Schema of 'type: \"object\"'."
        raise Refused(message, param=param, code=code)
    return schema


def check_strict(schema: Any, where: tuple[str, ...], what: str, *, param: str, code: str | None = None) -> None:
    """Strict mode: every object is closed and requires all its properties (OpenAI guide "Structured outputs")."""
    if isinstance(schema, list):
        for part in schema:
            check_strict(part, where, what, param=param, code=code)
    if not isinstance(schema, dict):
        return
    if "properties" in schema:
        _check_closed(schema, f"{what}: In context={where!r}, ", param=param, code=code)
    for name in ("properties", "$defs", "definitions"):
        for key, part in (schema.get(name) or {}).items():
            check_strict(part, (*where, name, key), what, param=param, code=code)
    for name in ("items", "anyOf"):
        check_strict(schema.get(name), (*where, name), what, param=param, code=code)


def _check_closed(schema: Schema, what: str, *, param: str, code: str | None) -> None:
    if schema.get("additionalProperties") is not False:
        message = f"{what}'additionalProperties' is required to be supplied and to be false."
        raise Refused(message, param=param, code=code)
    if absent := [name for name in schema["properties"] if name not in schema.get("required", ())]:
        message = (
            f"{what}'required' is required to be supplied and to be an array including every key in properties. "
            f"Missing '{absent[0]}'."
        )
        raise Refused(message, param=param, code=code)
