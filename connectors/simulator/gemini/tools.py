"""What Gemini refuses in `tools` and `toolConfig`, and what is left when it has."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from connectors.simulator.ask import Schema, Tool
from connectors.simulator.gemini.errors import Refused
from connectors.simulator.gemini.messages import HOSTED_TOOLS

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
_MOST_TOOLS = 128


class Choice(NamedTuple):
    """Which tools may or must be called."""

    tools: tuple[Tool, ...]
    choice: Literal["auto", "none", "required"]
    forced: str = ""


def read(body: Mapping[str, Any]) -> Choice:
    """The declared functions and the mode in which they are offered.

    Raises:
        Refused: A declaration or a mode that Gemini does not take.
    """
    declared = tuple(_declared(body.get("tools", ())))
    names = [tool.name for tool in declared]
    if twice := [name for name in names if names.count(name) > 1]:
        raise Refused(f"Duplicate function declaration found: {twice[0]}")
    if len(declared) > _MOST_TOOLS:
        raise Refused(f"The number of function declarations must be at most {_MOST_TOOLS}, but got {len(declared)}.")
    return _chosen(declared, body.get("toolConfig", {}).get("functionCallingConfig", {}))


def _declared(tools: list[Mapping[str, Any]]) -> Iterator[Tool]:
    for position, tool in enumerate(tools):
        for name in HOSTED_TOOLS:
            if name in tool:
                raise Refused(f"simulator: the tool '{name}', which the vendor runs itself, is not served")
        for at, declaration in enumerate(tool.get("functionDeclarations", ())):
            path = f"* GenerateContentRequest.tools[{position}].function_declarations[{at}]"
            yield _tool(declaration, path)


def _tool(declaration: Mapping[str, Any], path: str) -> Tool:
    name = declaration.get("name", "")
    if not _NAME.fullmatch(name):
        message = (
            "Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, 0-9), "
            "underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
        )
        raise Refused(f"{path}.name: [INVALID_ARGUMENT] {message}\n")
    if "parameters" in declaration and "parametersJsonSchema" in declaration:
        raise Refused(f"{path}: only one of parameters and parameters_json_schema can be set.\n")
    return Tool(name, declaration.get("description", ""), _parameters(declaration, path))


def _parameters(declaration: Mapping[str, Any], path: str) -> Schema:
    if "parameters" in declaration:
        check_schema(declaration["parameters"], f"{path}.parameters")
    if "parametersJsonSchema" in declaration:
        schema = declaration["parametersJsonSchema"]
    else:
        schema = schema_of(declaration.get("parameters", {"type": "object"}))
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise Refused(f"{path}.parameters: only allowed to be of type OBJECT.\n")
    return schema


def check_schema(schema: Schema, path: str) -> None:
    """Rules of Google's `Schema` that are not in its fields.

    Raises:
        Refused: The first mistake.
    """
    properties = schema.get("properties", {})
    if schema.get("type") == "OBJECT" and "properties" in schema and not properties:
        raise Refused(f"{path}.properties: should be non-empty for OBJECT type\n")
    if schema.get("type") == "ARRAY" and "items" not in schema:
        raise Refused(f"{path}.items: missing field.\n")
    if "" in schema.get("enum", ()):
        raise Refused(f"{path}.enum[{schema['enum'].index('')}]: cannot be empty\n")
    for at, name in enumerate(schema.get("required", ())):
        if name not in properties:
            raise Refused(f"{path}.required[{at}]: property is not defined\n")
    for name, part in properties.items():
        check_schema(part, f"{path}.properties[{name}]")
    if "items" in schema:
        check_schema(schema["items"], f"{path}.items")
    for at, part in enumerate(schema.get("anyOf", ())):
        check_schema(part, f"{path}.any_of[{at}]")


def _chosen(declared: tuple[Tool, ...], calling: Mapping[str, Any]) -> Choice:
    mode, allowed = calling.get("mode", "AUTO"), calling.get("allowedFunctionNames", [])
    if allowed and mode not in {"ANY", "VALIDATED"}:
        raise Refused("Please set allowed_function_names only when function calling mode is ANY.")
    if unknown := [name for name in allowed if name not in {tool.name for tool in declared}]:
        message = f"allowed_function_names contains `{unknown[0]}`, which is not a function declaration."
        raise Refused(message)
    if mode == "ANY" and not declared:
        raise Refused("Function calling mode `ANY` requires function declarations to be provided.")
    offered = tuple(tool for tool in declared if not allowed or tool.name in allowed)
    match mode:
        case "NONE":
            return Choice(declared, "none")
        case "ANY":
            return Choice(offered, "required", allowed[0] if len(allowed) == 1 else "")
        case _:
            return Choice(offered, "auto")


def schema_of(declared: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON Schema with the meaning of Google's `Schema`: types in lower case, `nullable` as a type."""
    plain = {name: value for name, value in declared.items() if name not in {"nullable", "propertyOrdering"}}
    if "type" in plain:
        plain["type"] = plain["type"].lower()
    if "properties" in plain:
        plain["properties"] = {name: schema_of(one) for name, one in plain["properties"].items()}
    if "items" in plain:
        plain["items"] = schema_of(plain["items"])
    if "anyOf" in plain:
        plain["anyOf"] = [schema_of(one) for one in plain["anyOf"]]
    return plain
