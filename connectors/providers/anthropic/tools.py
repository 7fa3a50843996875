"""Tools and who must call them.

Models with `forced_tools: false`, and all while they think on a budget, refuse that a tool is forced: they are asked in
words, or the request is refused where the policy of `tool_choice` says so.
Source: platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use, provider_contracts.md section 4
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.providers import notes
from connectors.providers.adapter import ProviderCall
from connectors.providers.anthropic.messages import marked
from connectors.providers.conversation import UnmappableError

__all__ = ["ForcedToolError", "Tooling", "read_tools"]


class ForcedToolError(ValueError):
    """The model cannot be forced, and the policy is to say so; never leaves the adapter."""


@dataclass(frozen=True, slots=True)
class Tooling:
    """What goes out; `note` is for the system prompt, `dropped` names what was left out."""

    tools: list[dict[str, Any]]
    choice: dict[str, Any] | None = None
    note: str | None = None
    dropped: tuple[str, ...] = ()


def read_tools(call: ProviderCall, *, one_at_a_time: bool, may_force: bool) -> Tooling:
    """The tools of a request.

    Args:
        call: with the model's flags.
        one_at_a_time: no two tools may be called at once.
        may_force: nothing else in the request forbids to force a tool.

    Raises:
        UnmappableError: a tool or a choice that Anthropic has no form for.
        ForcedToolError: see there.
    """
    if call.body.get("functions"):
        raise UnmappableError("functions", "functions are written as `tools`")
    asked = call.body.get("tools") or ()
    wanted = call.body.get("tool_choice")
    if not asked:
        return Tooling([], dropped=() if wanted is None else ("tool_choice",))
    tools = [_tool(f"tools.{index}", tool) for index, tool in enumerate(asked)]
    dropped = ("strict",) if any(tool["function"].get("strict") for tool in asked) else ()
    choice = None if wanted is None else _choice(wanted)
    choice, note = _unforced(choice, call.flags, may_force=may_force)
    if one_at_a_time and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return Tooling(tools, choice, note, dropped)


def _tool(path: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    """`strict` stays here: schemas that are not closed are refused with it."""
    if tool["type"] != "function":
        raise UnmappableError(path, "only tools of type `function` are taken here")
    function = tool["function"]
    written = {"name": function["name"], "input_schema": _input_schema(path, function.get("parameters"))}
    if function.get("description"):
        written["description"] = function["description"]
    return marked(written, tool.get("cache_control") or function.get("cache_control"))


def _input_schema(path: str, parameters: Any) -> dict[str, Any]:
    if not parameters:
        return {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        raise UnmappableError(f"{path}.function.parameters", "must be a schema of type `object`")
    return {"type": "object", **parameters}


def _choice(wanted: Any) -> dict[str, Any]:
    match wanted:
        case "auto" | "none":
            return {"type": wanted}
        case "required":
            return {"type": "any"}
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "tool", "name": name}
        case _:
            raise UnmappableError("tool_choice", "only `auto`, `none`, `required` and a function are taken here")


def _unforced(
    choice: dict[str, Any] | None, flags: Mapping[str, Any], *, may_force: bool
) -> tuple[dict[str, Any] | None, str | None]:
    if choice is None or choice["type"] not in {"any", "tool"}:
        return choice, None
    if may_force and flags.get("forced_tools") is not False:
        return choice, None
    if (flags.get("policy") or {}).get("tool_choice") == "refuse":
        raise ForcedToolError
    return {"type": "auto"}, notes.must_call(choice.get("name"))
