"""Whether a body is a Chat Completions request in form; what it means is for the classifier and the adapters.

Runs once per request, so it looks and builds nothing. Null means absent everywhere. Unknown fields pass: vendors add
them weekly, and the adapter that does not know one says so. A fault in the conversation itself, which every vendor would
refuse in its own words, is said as a vendor says it (`invalid_request_error`): here, it costs no call.
Source: platform.openai.com/docs/api-reference/chat/create
"""

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from schemas.errors import ErrorCode
from schemas.events.request import InvalidRequest

__all__ = ["MAX_DEPTH", "ROLES", "check_chat"]

MAX_DEPTH = 64
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

_MAX_INT = 2**63 - 1
_Check = Callable[[Any], str | None]


def check_chat(body: dict[str, Any]) -> InvalidRequest | None:
    """The first fault in the form of `body`, with the path of its field (`messages.0.content`); None: none."""
    if _is_too_deep(body):
        return InvalidRequest(f"nested deeper than {MAX_DEPTH} levels")
    return _messages(body.get("messages")) or _fields(body) or _tools(body.get("tools"))


def _is_too_deep(body: dict[str, Any]) -> bool:
    """Level by level, since a body that is too deep must not exhaust our own stack."""
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        level = [
            value
            for holder in level
            for value in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(value, dict | list)
        ]
        if not level:
            return False
    return True


def _fault(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"`{path}` {what}", param=path)


def _at_fault(path: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"`{path}` {what}", code=ErrorCode.INVALID_REQUEST_ERROR.value, param=path)


def _messages(messages: Any) -> InvalidRequest | None:
    if not isinstance(messages, list) or not messages:
        return _fault("messages", "must be a non-empty list")
    results: dict[str, Any] = {}
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if fault := _message(path, message) or _second_result(path, message, results):
            return fault
    return None


def _second_result(path: str, message: dict[str, Any], results: dict[str, Any]) -> InvalidRequest | None:
    """One call has one result; the same one said twice is sent once (QwenLM/qwen-code#8163)."""
    if message["role"] != "tool":
        results.clear()
        return None
    id, content = message["tool_call_id"], message.get("content")
    if results.setdefault(id, content) == content:
        return None
    return _at_fault(path, f"gives tool call `{id[:64]}` a second, different result")


def _message(path: str, message: Any) -> InvalidRequest | None:
    if not isinstance(message, dict):
        return _fault(path, "must be an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        return _fault(f"{path}.role", f"must be one of {', '.join(sorted(ROLES))}")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        return _parts(f"{path}.content", content) or _tool_turn(path, message, role)
    return _tool_turn(path, message, role)


def _tool_turn(path: str, message: dict[str, Any], role: str) -> InvalidRequest | None:
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        return _fault(f"{path}.tool_call_id", "must be a string")
    calls = message.get("tool_calls")
    return _objects(f"{path}.tool_calls", calls) or _arguments(f"{path}.tool_calls", calls or ())


def _arguments(path: str, calls: Iterable[dict[str, Any]]) -> InvalidRequest | None:
    """Empty ones count as `{}`; broken ones would be taken for a broken provider (BerriAI/litellm#35303)."""
    for index, call in enumerate(calls):
        function = call.get("function")
        said = function.get("arguments") if isinstance(function, dict) else None
        if said is None or (isinstance(said, str) and not said.strip()):
            continue
        if not isinstance(said, str) or not _is_json_object(said):
            return _at_fault(f"{path}.{index}.function.arguments", "must be the text of a JSON object")
    return None


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _parts(path: str, content: Any) -> InvalidRequest | None:
    if not isinstance(content, list):
        return _fault(path, "must be a string, a list of parts or null")
    for index, part in enumerate(content):
        if not isinstance(part, dict):
            return _fault(f"{path}.{index}", "must be an object")
        kind = part.get("type")
        if not isinstance(kind, str):
            return _fault(f"{path}.{index}.type", "must be a string")
        if kind == "text" and not isinstance(part.get("text"), str):
            return _fault(f"{path}.{index}.text", "must be a string")
        if kind == "image_url" and not _has_url(part.get("image_url")):
            return _fault(f"{path}.{index}.image_url", "must be an object with a `url`")
    return None


def _has_url(image: Any) -> bool:
    return isinstance(image, dict) and isinstance(image.get("url"), str)


def _objects(path: str, values: Any) -> InvalidRequest | None:
    if values is None:
        return None
    if not isinstance(values, list):
        return _fault(path, "must be a list")
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            return _fault(f"{path}.{index}", "must be an object")
    return None


def _tools(tools: Any) -> InvalidRequest | None:
    if fault := _objects("tools", tools):
        return fault
    for index, tool in enumerate(tools or ()):
        if not isinstance(tool.get("type"), str):
            return _fault(f"tools.{index}.type", "must be a string")
        function = tool.get("function")
        if tool["type"] == "function" and not (isinstance(function, dict) and isinstance(function.get("name"), str)):
            return _fault(f"tools.{index}.function", "must be an object with a `name`")
    return None


def _fields(body: dict[str, Any]) -> InvalidRequest | None:
    for name, value in body.items():
        if value is None or (check := _FIELDS.get(name)) is None:
            continue
        if what := check(value):
            return _fault(name, what)
    return None


def _number(low: float, high: float) -> _Check:
    """NaN and the infinities lie in no range."""

    def check(value: Any) -> str | None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return None if is_number and low <= value <= high else f"must be a number from {low:g} to {high:g}"

    return check


def _whole(low: int, high: int) -> _Check:
    def check(value: Any) -> str | None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return None if is_whole and low <= value <= high else f"must be a whole number from {low} to {high}"

    return check


def _kind(kind: type | tuple[type, ...], name: str) -> _Check:
    return lambda value: None if isinstance(value, kind) else f"must be {name}"


def _stop(value: Any) -> str | None:
    is_list = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    return None if isinstance(value, str) or is_list else "must be a string or a list of strings"


def _response_format(value: Any) -> str | None:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return "must be an object with a `type`"
    if value["type"] == "json_schema" and not isinstance(value.get("json_schema"), dict):
        return "must hold an object `json_schema`"
    return None


_BOOL = _kind(bool, "true or false")
_OBJECT = _kind(dict, "an object")
_STRING = _kind(str, "a string")
_FIELDS: dict[str, _Check] = {
    "model": _STRING,
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "max_tokens": _whole(1, _MAX_INT),
    "max_completion_tokens": _whole(1, _MAX_INT),
    "n": _whole(1, 128),
    "top_logprobs": _whole(0, 20),
    "seed": _whole(-_MAX_INT - 1, _MAX_INT),
    "stream": _BOOL,
    "logprobs": _BOOL,
    "parallel_tool_calls": _BOOL,
    "stream_options": _OBJECT,
    "logit_bias": _OBJECT,
    "metadata": _OBJECT,
    "stop": _stop,
    "response_format": _response_format,
    "tool_choice": _kind((str, dict), "a string or an object"),
    "reasoning_effort": _STRING,
    "service_tier": _STRING,
    "user": _STRING,
}
