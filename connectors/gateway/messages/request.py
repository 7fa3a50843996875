"""A Messages request in the platform's form, OpenAI's.

    system, text, image, document     messages and parts; `cache_control` stays where it stood
    tool_result                       a `tool` message each, before the rest of its turn
    thinking, redacted_thinking       `thinking_blocks` of the assistant message
    tool_use                          `tool_calls`
    thinking, output_config.effort    `thinking` as said, and the nearest `reasoning_effort` for other vendors
    output_config.format              `response_format`

Null is absent. What has no place in this form is a 400 that names it; nothing is left out in silence.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from starlette.datastructures import Headers

from connectors.gateway.problems import Problem
from connectors.gateway.surface import Asking
from schemas.errors import ErrorCode

__all__ = ["read"]

_SAME = ("model", "temperature", "top_p", "top_k", "stream", "cache_control")
_READ = frozenset(
    {
        *_SAME, "max_tokens", "messages", "system", "stop_sequences", "tools", "tool_choice", "metadata", "thinking",
        "output_config", "service_tier",
    }
)  # fmt: skip
# They change how a vendor works on the conversation, not what is asked: left out and named.
_DROPPED = frozenset({"context_management", "inference_geo"})
_TOOL_READ = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})
_TOOL_DROPPED = frozenset({"allowed_callers", "defer_loading", "eager_input_streaming", "input_examples"})
_TIERS = {"auto": "auto", "standard_only": "default"}
# provider_contracts.md section 4.1, read backwards: a budget of at least so many tokens is that effort.
_EFFORTS = ((24_576, "max"), (16_384, "xhigh"), (8_192, "high"), (4_096, "medium"), (0, "low"))


class _FaultError(ValueError):
    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"`{path}` {what}")
        self.path = path


def read(raw: bytes, body: dict[str, Any], headers: Headers) -> Asking | Problem:
    try:
        asked = _body({name: value for name, value in body.items() if value is not None})
    except _FaultError as fault:
        return Problem(ErrorCode.INVALID_REQUEST, str(fault), fault.path)
    return Asking(orjson.dumps(asked), asked, dropped=_left_out(body))


def _left_out(body: Mapping[str, Any]) -> list[str]:
    holders = ((body, _DROPPED), *((tool, _TOOL_DROPPED) for tool in body.get("tools") or ()))
    return sorted({name for holder, names in holders for name in names if holder.get(name) is not None})


def _body(said: dict[str, Any]) -> dict[str, Any]:
    unknown = next((name for name in said if name not in _READ | _DROPPED), None)
    if unknown is not None:
        raise _FaultError(unknown, "is not supported")
    if "max_tokens" not in said:
        raise _FaultError("max_tokens", "is required")
    asked = {name: said[name] for name in _SAME if name in said}
    asked["max_tokens"] = said["max_tokens"]
    asked["messages"] = [*_system(said), *_messages(said)]
    if "stop_sequences" in said:
        asked["stop"] = said["stop_sequences"]
    if isinstance(user := _object("metadata", said.get("metadata")).get("user_id"), str):
        asked["user"] = user
    if "service_tier" in said:
        tier = said["service_tier"]
        asked["service_tier"] = _TIERS.get(tier, tier) if isinstance(tier, str) else tier
    return asked | _tools(said) | _thinking(said) | _output(said)


def _system(said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    system = said.get("system")
    if isinstance(system, str) and system:
        yield {"role": "system", "content": system}
    elif isinstance(system, list):
        yield {"role": "system", "content": [_text(f"system.{at}", block) for at, block in enumerate(system)]}
    elif system:
        raise _FaultError("system", "must be a string or a list of text blocks")


def _messages(said: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    messages = said.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _FaultError("messages", "must be a non-empty list")
    for at, message in enumerate(messages):
        path = f"messages.{at}"
        if not isinstance(message, dict):
            raise _FaultError(path, "must be an object")
        match message.get("role"):
            case "user":
                yield from _user(path, message)
            case "assistant":
                yield _assistant(path, message)
            case "system":
                yield {"role": "system", "content": _parts(path, message, _TEXT_ONLY)}
            case _:
                raise _FaultError(f"{path}.role", "must be one of assistant, system, user")


def _user(path: str, message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Results come first, as messages of their own."""
    content = message.get("content")
    if not isinstance(content, list):
        yield {"role": "user", "content": _parts(path, message, _USER_PARTS)}
        return
    rest = []
    for at, block in enumerate(content):
        if isinstance(block, dict) and block.get("type") == "tool_result":
            yield _result(f"{path}.content.{at}", block)
        else:
            rest.append(_part(f"{path}.content.{at}", block, _USER_PARTS))
    if rest:
        yield {"role": "user", "content": rest}


def _result(path: str, block: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"role": "tool", "tool_call_id": _string(path, block, "tool_use_id")}
    result["content"] = "" if block.get("content") is None else _parts(path, block, _USER_PARTS)
    if block.get("is_error") is True:
        result["is_error"] = True
    return _hinted(result, block)


def _assistant(path: str, message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    if not isinstance(content, list):
        raise _FaultError(f"{path}.content", "must be a string or a list of blocks")
    texts, calls, thinking = [], [], []
    for at, block in enumerate(content):
        where = f"{path}.content.{at}"
        match block.get("type") if isinstance(block, dict) else None:
            case "thinking" | "redacted_thinking":
                thinking.append({name: value for name, value in block.items() if name != "cache_control"})
            case "tool_use":
                calls.append(_call(where, block))
            case _:
                texts.append(_part(where, block, _TEXT_ONLY))
    turn: dict[str, Any] = {"role": "assistant", "content": texts or None}
    if calls:
        turn["tool_calls"] = calls
    if thinking:
        turn["thinking_blocks"] = thinking
    return turn


def _call(path: str, block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = orjson.dumps(_object(f"{path}.input", block.get("input"))).decode()
    function = {"name": _string(path, block, "name"), "arguments": arguments}
    return _hinted({"id": _string(path, block, "id"), "type": "function", "function": function}, block)


def _parts(path: str, holder: Mapping[str, Any], kinds: "_Kinds") -> Any:
    content = holder.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _FaultError(f"{path}.content", "must be a string or a list of blocks")
    return [_part(f"{path}.content.{at}", block, kinds) for at, block in enumerate(content)]


def _part(path: str, block: Any, kinds: "_Kinds") -> dict[str, Any]:
    if not isinstance(block, dict):
        raise _FaultError(path, "must be an object")
    write = kinds.get(str(block.get("type")))
    if write is None:
        raise _FaultError(path, f"of type `{str(block.get('type'))[:64]}` is not supported here")
    return _hinted(write(path, block), block)


def _text(path: str, block: Any) -> dict[str, Any]:
    return _part(path, block, _TEXT_ONLY)


def _text_part(path: str, block: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": _string(path, block, "text")}


def _image(path: str, block: Mapping[str, Any]) -> dict[str, Any]:
    source = _object(f"{path}.source", block.get("source"))
    match source.get("type"):
        case "base64":
            url = _data_url(path, source)
        case "url":
            url = _string(f"{path}.source", source, "url")
        case kind:
            raise _FaultError(f"{path}.source", f"of type `{str(kind)[:64]}` is not supported")
    return {"type": "image_url", "image_url": {"url": url}}


def _document(path: str, block: Mapping[str, Any]) -> dict[str, Any]:
    if block.get("context"):
        raise _FaultError(f"{path}.context", "is not supported: say it in a text block")
    if _object(f"{path}.citations", block.get("citations")).get("enabled"):
        raise _FaultError(f"{path}.citations", "is not supported: the platform's form has no place for them")
    source = _object(f"{path}.source", block.get("source"))
    match source.get("type"):
        case "base64":
            data = _data_url(path, source)
        case "text":
            coded = b64encode(_string(f"{path}.source", source, "data").encode()).decode()
            data = f"data:text/plain;base64,{coded}"
        case kind:
            raise _FaultError(f"{path}.source", f"of type `{str(kind)[:64]}` is not supported")
    file = {"file_data": data, "filename": block.get("title") or "document"}
    return {"type": "file", "file": file}


_Kinds = Mapping[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]]
_TEXT_ONLY: _Kinds = {"text": _text_part}
_USER_PARTS: _Kinds = {"text": _text_part, "image": _image, "document": _document}


def _data_url(path: str, source: Mapping[str, Any]) -> str:
    where = f"{path}.source"
    return f"data:{_string(where, source, 'media_type')};base64,{_string(where, source, 'data')}"


def _tools(said: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    tools = said.get("tools")
    if tools is not None:
        if not isinstance(tools, list):
            raise _FaultError("tools", "must be a list")
        asked["tools"] = [_tool(f"tools.{at}", tool) for at, tool in enumerate(tools)]
    choice = _object("tool_choice", said.get("tool_choice"))
    match choice.get("type"):
        case None:
            pass
        case "auto" | "none" as mode:
            asked["tool_choice"] = mode
        case "any":
            asked["tool_choice"] = "required"
        case "tool":
            asked["tool_choice"] = {"type": "function", "function": {"name": _string("tool_choice", choice, "name")}}
        case _:
            raise _FaultError("tool_choice.type", "must be one of any, auto, none, tool")
    if choice.get("disable_parallel_tool_use") is True:
        asked["parallel_tool_calls"] = False
    return asked


def _tool(path: str, tool: Any) -> dict[str, Any]:
    spec = _object(path, tool)
    if spec.get("type") not in (None, "custom"):
        raise _FaultError(path, f"of type `{str(spec['type'])[:64]}` runs at one vendor only and is not supported")
    unknown = next((name for name in spec if name not in _TOOL_READ | _TOOL_DROPPED), None)
    if unknown is not None:
        raise _FaultError(f"{path}.{unknown[:64]}", "is not supported")
    function = {"name": _string(path, spec, "name"), "parameters": spec.get("input_schema")}
    if spec.get("description") is not None:
        function["description"] = spec["description"]
    if spec.get("strict") is not None:
        function["strict"] = spec["strict"]
    return _hinted({"type": "function", "function": function}, spec)


def _thinking(said: Mapping[str, Any]) -> dict[str, Any]:
    """As it was said, for models that think as Anthropic's do; as an effort for all others."""
    thinking = _object("thinking", said.get("thinking"))
    if not thinking:
        return {}
    asked: dict[str, Any] = {"thinking": thinking}
    match thinking.get("type"):
        case "disabled":
            asked["reasoning_effort"] = "none"
        case "enabled":
            budget = thinking.get("budget_tokens")
            if not isinstance(budget, int) or isinstance(budget, bool):
                raise _FaultError("thinking.budget_tokens", "must be a whole number")
            asked["reasoning_effort"] = next(effort for least, effort in _EFFORTS if budget >= least or least == 0)
        case "adaptive" | "between_tools":
            pass
        case _:
            raise _FaultError("thinking.type", "must be one of adaptive, between_tools, disabled, enabled")
    return asked


def _output(said: Mapping[str, Any]) -> dict[str, Any]:
    config = _object("output_config", said.get("output_config"))
    asked: dict[str, Any] = {}
    if config.get("effort") is not None:
        asked["reasoning_effort"] = _string("output_config", config, "effort")
    wanted = _object("output_config.format", config.get("format"))
    if wanted:
        if wanted.get("type") != "json_schema":
            raise _FaultError("output_config.format.type", "must be json_schema")
        schema = _object("output_config.format.schema", wanted.get("schema"))
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return asked


def _hinted(part: dict[str, Any], block: Mapping[str, Any]) -> dict[str, Any]:
    hint = block.get("cache_control")
    return part if hint is None else {**part, "cache_control": hint}


def _object(path: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _FaultError(path, "must be an object")
    return value


def _string(path: str, holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise _FaultError(f"{path}.{name}", "must be a string")
    return value
