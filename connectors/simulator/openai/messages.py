"""What OpenAI refuses in `messages`: roles, fields, parts, and tool results that answer no call."""

from collections.abc import Mapping
from typing import Any

from connectors.simulator import media, tokens
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import invalid_value, missing, wrong_type

Message = dict[str, Any]

_ROLES = ("system", "assistant", "user", "function", "tool", "developer")
_COMMON = frozenset({"role", "content", "name"})
_FIELDS: Mapping[str, frozenset[str]] = {
    "assistant": _COMMON | {"tool_calls", "refusal", "audio", "function_call", "annotations"},
    "tool": _COMMON | {"tool_call_id"},
}
_PARTS: Mapping[str, frozenset[str]] = {
    "user": frozenset({"text", "image_url", "input_audio", "file"}),
    "assistant": frozenset({"text", "refusal"}),
}
_TEXT_ONLY = frozenset({"text"})


def check(messages: list[Any]) -> None:
    """Every message by itself, then the pairing of tool calls and results.

    Raises:
        Refused: The first mistake.
    """
    if not messages:
        message = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        raise Refused(message, param="messages", code="empty_array")
    for position, message in enumerate(messages):
        _check_message(message, f"messages[{position}]")
    check_pairing(messages)


def _check_message(message: Any, path: str) -> None:
    if not isinstance(message, dict):
        raise wrong_type(path, message, "an object")
    role = message.get("role")
    if role is None:
        raise missing(f"{path}.role")
    if role not in _ROLES:
        raise invalid_value(f"{path}.role", role, _ROLES)
    if unknown := sorted(message.keys() - _FIELDS.get(role, _COMMON)):
        name = f"{path}.{unknown[0]}"
        raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if role == "assistant" and message.get("tool_calls") is not None:
        check_calls(message["tool_calls"], f"{path}.tool_calls")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise missing(f"{path}.tool_call_id")
    _check_content(message, role, f"{path}.content")


def _check_content(message: Message, role: str, path: str) -> None:
    content = message.get("content")
    if content is None:
        if role == "assistant" and (message.get("tool_calls") or message.get("refusal")):
            return
        raise Refused("Invalid value for 'content': expected a string, got null.", param=path)
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(path, content, "one of a string or array of objects")
    for position, part in enumerate(content):
        _check_part(part, role, f"{path}[{position}]")


def _check_part(part: Any, role: str, path: str) -> None:
    if not isinstance(part, dict):
        raise wrong_type(path, part, "an object")
    kind = part.get("type")
    allowed = _PARTS.get(role, _TEXT_ONLY)
    if kind == "image_url" and kind not in allowed:
        raise _misplaced_image(path, role)
    if kind not in allowed:
        raise invalid_value(f"{path}.type", kind, sorted(allowed))
    payload = part.get(kind)
    if payload is None:
        raise missing(f"{path}.{kind}")
    if kind in {"text", "refusal"} and not isinstance(payload, str):
        raise wrong_type(f"{path}.{kind}", payload, "a string")
    if kind == "image_url" and not (isinstance(payload, dict) and isinstance(payload.get("url"), str)):
        raise wrong_type(f"{path}.image_url", payload, "an object")


def _misplaced_image(path: str, role: str) -> Refused:
    message = path.partition(".")[0]
    text = (
        f"Invalid '{message}'. Image URLs are only allowed for messages with role 'user', "
        f"but this message with role '{role}' contains an image URL."
    )
    return Refused(text, param=message, code="invalid_value")


def check_calls(calls: Any, path: str) -> None:
    """The tool calls of an assistant's turn, each by itself.

    Raises:
        Refused: The first mistake.
    """
    if not isinstance(calls, list):
        raise wrong_type(path, calls, "an array of objects")
    if not calls:
        message = (
            f"Invalid '{path}': empty array. Expected an array with minimum length 1, but got an empty array instead."
        )
        raise Refused(message, param=path, code="empty_array")
    for position, call in enumerate(calls):
        _check_call(call, f"{path}[{position}]")


def _check_call(call: Any, path: str) -> None:
    if not isinstance(call, dict):
        raise wrong_type(path, call, "an object")
    for name in ("id", "type", "function"):
        if name not in call:
            raise missing(f"{path}.{name}")
    if unknown := sorted(call.keys() - {"id", "type", "function"}):
        name = f"{path}.{unknown[0]}"
        raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if call["type"] != "function":
        raise invalid_value(f"{path}.type", call["type"], ("function",))
    for name in ("name", "arguments"):
        value = call["function"].get(name) if isinstance(call["function"], dict) else None
        if not isinstance(value, str):
            raise wrong_type(f"{path}.function.{name}", value, "a string")


def check_pairing(messages: list[Message]) -> None:
    """Results follow the assistant turn that called for them, all of them, and nothing comes between.

    Raises:
        Refused: A result without its call, or a call without its result.
    """
    waiting: set[str] = set()
    for position, message in enumerate(messages):
        path = f"messages.[{position}].role"
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                text = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                    "'tool_calls'."
                )
                raise Refused(text, param=path)
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            raise _unanswered(waiting, path)
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
    if waiting:
        raise _unanswered(waiting, f"messages.[{len(messages)}].role")


def _unanswered(ids: set[str], path: str) -> Refused:
    text = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(ids))}"
    )
    return Refused(text, param=path)


def text_of(message: Message) -> str:
    """All that the model reads of a message: its text parts and tool calls."""
    content = message.get("content")
    if isinstance(content, list):
        content = " ".join(part.get("text") or part.get("refusal") or "" for part in content)
    calls = message.get("tool_calls") or ()
    told = [f"{call['function']['name']}({call['function']['arguments']})" for call in calls]
    return " ".join(filter(None, (content, *told)))


def media_tokens(messages: list[Message]) -> int:
    """Tokens of images, files and audio: a flat price each."""
    lists = (message["content"] for message in messages if isinstance(message.get("content"), list))
    return sum(tokens.IMAGE_TOKENS for parts in lists for part in parts if part["type"] not in {"text", "refusal"})


def media_of(messages: list[Message]) -> tuple[str, ...]:
    """Images, files and audio of all messages, described."""
    lists = (message["content"] for message in messages if isinstance(message.get("content"), list))
    return tuple(_described(part) for parts in lists for part in parts if part["type"] not in {"text", "refusal"})


def _described(part: Mapping[str, Any]) -> str:
    match part:
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return media.of_url("image", url)
        case {"type": "input_audio", "input_audio": {"format": str(name), "data": str(data)}}:
            return media.of_base64("audio", name, data)
        case {"type": "file", "file": {"file_data": str(data)}}:
            return media.of_url("file", data)
        case _:
            return str(part["type"])


def last_user(messages: list[Message]) -> tuple[str, tuple[str, ...]]:
    """The text of the last user message, and the tool results after it."""
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] == "user":
            return text_of(message), tuple(reversed(results))
        if message["role"] == "tool":
            results.append(text_of(message))
    return "", tuple(reversed(results))
