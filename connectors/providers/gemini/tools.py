"""Tools and the choice among them, as `tools` and `toolConfig`.

    auto, none           AUTO, NONE
    required             ANY
    a named function     ANY, with `allowedFunctionNames`
    allowed_tools        ANY (required) or VALIDATED (auto), with `allowedFunctionNames`

Where a model cannot be forced, a note in the system prompt says what it must do. There is no spelling for `strict`.
Source: ai.google.dev/gemini-api/docs/function-calling, provider_contracts.md section 4.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.providers.adapter import ProviderCall
from connectors.providers.conversation import UnmappableError
from connectors.providers.notes import must_call

__all__ = ["forced_note", "tools_fields", "untaken"]

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def untaken(call: ProviderCall) -> Iterator[str]:
    """Names of what is asked for with tools and cannot be said here."""
    choice = call.body.get("tool_choice")
    if choice is not None and (not call.body.get("tools") or not _may_force(call, choice)):
        yield "tool_choice"
    if any(_is_strict(tool) for tool in call.body.get("tools") or ()):
        yield "strict"


def tools_fields(call: ProviderCall) -> dict[str, Any]:
    """Raises UnmappableError naming a tool that is no function, or a choice that cannot be read."""
    tools = call.body.get("tools")
    if not tools:
        return {}
    fields: dict[str, Any] = {
        "tools": [{"functionDeclarations": [_declaration(f"tools.{at}", tool) for at, tool in enumerate(tools)]}]
    }
    choice = call.body.get("tool_choice")
    if choice is not None:
        config = _calling(choice) if _may_force(call, choice) else {"mode": "AUTO"}
        fields["toolConfig"] = {"functionCallingConfig": config}
    return fields


def forced_note(call: ProviderCall) -> str | None:
    """What the system prompt says for want of a way to force."""
    choice = call.body.get("tool_choice")
    if not call.body.get("tools") or choice is None or _may_force(call, choice):
        return None
    names = _calling(choice).get("allowedFunctionNames") or [None]
    return must_call(names[0] if len(names) == 1 else None)


def _is_strict(tool: Mapping[str, Any]) -> bool:
    function = tool.get("function")
    return isinstance(function, Mapping) and bool(function.get("strict"))


def _may_force(call: ProviderCall, choice: Any) -> bool:
    return call.flags.get("forced_tools") is not False or _calling(choice)["mode"] != "ANY"


def _declaration(path: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        raise UnmappableError(path, f"tools of type `{tool.get('type')}` are not taken here")
    said = {"name": function["name"], "description": function.get("description")}
    said["parametersJsonSchema"] = function.get("parameters")
    return {key: value for key, value in said.items() if value}


def _calling(choice: Any) -> dict[str, Any]:
    """`functionCallingConfig` of a `tool_choice`."""
    if isinstance(choice, str) and choice in _MODES:
        return {"mode": _MODES[choice]}
    match choice:
        case {"type": "function", "function": {"name": str(name)}}:
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*tools]}}:
            names = [_name(tool) for tool in tools]
            return {"mode": "ANY" if mode == "required" else "VALIDATED", "allowedFunctionNames": names}
        case _:
            raise UnmappableError("tool_choice", "is none of auto, none, required and a named function")


def _name(tool: Any) -> str:
    match tool:
        case {"type": "function", "function": {"name": str(name)}}:
            return name
        case _:
            raise UnmappableError("tool_choice", "allows a tool that is no function")
