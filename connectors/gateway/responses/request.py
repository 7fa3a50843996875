"""A Responses request in the platform's form, OpenAI's Chat Completions.

    instructions, input                   messages (`conversation`)
    tools, tool_choice                    flat -> nested; functions only, other tools run at one vendor
    text.format, text.verbosity           `response_format`, `verbosity`
    reasoning.effort                      `reasoning_effort`; summaries come whenever a vendor shows its reasoning
    max_output_tokens                     `max_completion_tokens`
    include, top_logprobs                 `logprobs`, `top_logprobs`

Null is absent. What wants a store, and what has no place in this form, is a 400 that names it; nothing is left out in
silence. Encrypted reasoning needs no asking: a client that keeps its own conversation cannot do without.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.datastructures import Headers

from connectors.gateway.problems import Problem
from connectors.gateway.responses.answer import repeated
from connectors.gateway.responses.conversation import read_input
from connectors.gateway.responses.faults import FaultError, check_known, clipped, object_at, string_at
from connectors.gateway.surface import Asking
from schemas.errors import ErrorCode

__all__ = ["read"]

_SAME = (
    "model", "temperature", "top_p", "parallel_tool_calls", "stream", "user", "safety_identifier", "metadata",
    "service_tier", "prompt_cache_key", "prompt_cache_retention",
)  # fmt: skip
_STATELESS = "nothing is stored here"
_STORED: Mapping[str, str] = {
    "previous_response_id": f"is not supported: {_STATELESS}, so send the whole conversation as `input`",
    "conversation": f"is not supported: {_STATELESS}, so send the whole conversation as `input`",
    "prompt": f"is not supported: {_STATELESS}, so send the prompt itself",
}
# Only this value means what is done here anyway.
_FIXED: Mapping[str, tuple[Any, str]] = {
    "store": (False, f"must be false or absent: {_STATELESS}, answers cannot be fetched again"),
    "background": (False, f"must be false or absent: {_STATELESS}; `POST /v1/requests` works in the background"),
    "truncation": ("disabled", "must be `disabled` or absent: a conversation is never shortened"),
}
_LOGPROBS = "message.output_text.logprobs"
_INCLUDED = ("reasoning.encrypted_content", _LOGPROBS)


def read(raw: bytes, body: dict[str, Any], headers: Headers) -> Asking | Problem:
    said = {name: value for name, value in body.items() if value is not None}
    try:
        asked = _body(said)
    except FaultError as fault:
        return Problem(ErrorCode.INVALID_REQUEST, str(fault), fault.path)
    return Asking(orjson.dumps(asked), asked, echo=repeated(said))


def _body(said: Mapping[str, Any]) -> dict[str, Any]:
    _check_served(said)
    asked = {name: said[name] for name in _SAME if name in said}
    asked["messages"] = [*_instructions(said), *read_input(said.get("input"))]
    for name, write in _WRITERS.items():
        if name in said:
            asked |= write(said[name])
    return asked | _logprobs(said)


def _check_served(said: Mapping[str, Any]) -> None:
    for name, value in said.items():
        if name in _STORED:
            raise FaultError(name, _STORED[name])
        if name in _FIXED and value != _FIXED[name][0]:
            raise FaultError(name, _FIXED[name][1])
        if name not in _SERVED:
            raise FaultError(clipped(name), "is not supported")


def _instructions(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    instructions = said.get("instructions", "")
    if not isinstance(instructions, str):
        raise FaultError("instructions", "must be a string")
    return [{"role": "system", "content": instructions}] if instructions else []


def _tools(given: Any) -> dict[str, Any]:
    if not isinstance(given, list):
        raise FaultError("tools", "must be a list")
    tools = [_tool(f"tools.{at}", tool) for at, tool in enumerate(given)]
    return {"tools": tools} if tools else {}


def _tool(path: str, given: Any) -> dict[str, Any]:
    tool = object_at(path, given)
    if tool.get("type") != "function":
        raise FaultError(path, f"of type `{clipped(tool.get('type'))}` is not supported: only functions are")
    check_known(path, tool, ("type", "name", "description", "parameters", "strict"))
    string_at(path, tool, "name")
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def _tool_choice(choice: Any) -> dict[str, Any]:
    if choice in ("auto", "none", "required"):
        return {"tool_choice": choice}
    if isinstance(choice, str):
        raise FaultError("tool_choice", "must be one of auto, none, required, or a function")
    named = object_at("tool_choice", choice)
    if named.get("type") != "function":
        raise FaultError("tool_choice", f"of type `{clipped(named.get('type'))}` is not supported")
    check_known("tool_choice", named, ("type", "name"))
    return {"tool_choice": {"type": "function", "function": {"name": string_at("tool_choice", named, "name")}}}


def _text(given: Any) -> dict[str, Any]:
    text = object_at("text", given)
    check_known("text", text, ("format", "verbosity"))
    asked = _format(text["format"]) if "format" in text else {}
    if "verbosity" in text:
        asked["verbosity"] = string_at("text", text, "verbosity")
    return asked


def _format(given: Any) -> dict[str, Any]:
    wanted = object_at("text.format", given)
    match wanted.get("type"):
        case "text" | "json_object" as kind:
            check_known("text.format", wanted, ("type",))
            return {"response_format": {"type": kind}}
        case "json_schema":
            check_known("text.format", wanted, ("type", "name", "schema", "description", "strict"))
            string_at("text.format", wanted, "name")
            object_at("text.format.schema", wanted.get("schema"))
            named = {name: value for name, value in wanted.items() if name != "type"}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
        case _:
            raise FaultError("text.format.type", "must be one of json_object, json_schema, text")


def _reasoning(given: Any) -> dict[str, Any]:
    reasoning = object_at("reasoning", given)
    check_known("reasoning", reasoning, ("effort", "summary", "generate_summary"))
    return {"reasoning_effort": string_at("reasoning", reasoning, "effort")} if "effort" in reasoning else {}


def _max_output_tokens(most: Any) -> dict[str, Any]:
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise FaultError("max_output_tokens", "must be a whole number from 1")
    return {"max_completion_tokens": most}


def _stream_options(given: Any) -> dict[str, Any]:
    """Our events are not padded, so there is nothing to switch off."""
    check_known("stream_options", object_at("stream_options", given), ("include_obfuscation",))
    return {}


def _logprobs(said: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's chat form wants both; here a number of alternatives alone is enough."""
    included, most = said.get("include", []), said.get("top_logprobs", 0)
    if not isinstance(included, list):
        raise FaultError("include", "must be a list")
    for at, name in enumerate(included):
        if name not in _INCLUDED:
            raise FaultError(f"include.{at}", f"must be one of {', '.join(_INCLUDED)}")
    if most == 0 and _LOGPROBS not in included:
        return {}
    return {"logprobs": True, "top_logprobs": most}


_WRITERS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "tools": _tools,
    "tool_choice": _tool_choice,
    "text": _text,
    "reasoning": _reasoning,
    "max_output_tokens": _max_output_tokens,
    "stream_options": _stream_options,
}
_SERVED = frozenset({*_SAME, *_WRITERS, *_FIXED, "instructions", "input", "include", "top_logprobs"})
