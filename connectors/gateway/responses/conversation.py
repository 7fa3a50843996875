"""The `input` of a Responses request as messages.

    message                      a message; parts are renamed
    function_call                `tool_calls`
    function_call_output         a `tool` message
    reasoning                    `thinking_blocks`, if we sent it; else left out, as the summaries are: no vendor reads them

Neighbouring assistant messages, calls and reasoning are one turn. Extra fields of items are what answers come with (`id`,
`status`, `parsed`, ...) and say nothing new.
"""

from collections.abc import Callable, Mapping
from typing import Any

from connectors.gateway.responses.carried import unpacked
from connectors.gateway.responses.faults import FaultError, clipped, object_at, string_at

__all__ = ["read_input"]


def read_input(given: Any) -> list[dict[str, Any]]:
    """Raises FaultError."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise FaultError("input", "must be a string or a non-empty list of items")
    fold = _Fold()
    for at, item in enumerate(given):
        fold.take(f"input.{at}", object_at(f"input.{at}", item))
    return fold.done()


class _Fold:
    """Puts the items of one assistant turn together; whatever else comes ends it."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._parts: list[dict[str, Any]] = []
        self._calls: list[dict[str, Any]] = []
        self._thinking: list[dict[str, Any]] = []

    def take(self, path: str, item: dict[str, Any]) -> None:
        match _kind(item):
            case "message":
                self._message(path, item)
            case "function_call":
                self._calls.append(_call(path, item))
            case "function_call_output":
                self._add(_result(path, item))
            case "reasoning":
                if isinstance(said := item.get("encrypted_content"), str):
                    self._thinking += unpacked(said)
            case "item_reference":
                raise FaultError(path, "refers to a stored item, and nothing is stored here: send the item itself")
            case None:
                raise FaultError(f"{path}.type", "is required")
            case kind:
                raise FaultError(path, f"of type `{clipped(kind)}` is not supported")

    def done(self) -> list[dict[str, Any]]:
        self._end_turn()
        return self._messages

    def _message(self, path: str, item: Mapping[str, Any]) -> None:
        match item.get("role"):
            case "assistant":
                content = _content(f"{path}.content", item.get("content"), _ASSISTANT_PARTS)
                self._parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
            case "user":
                self._add({"role": "user", "content": _content(f"{path}.content", item.get("content"), _USER_PARTS)})
            case "system" | "developer" as role:
                self._add({"role": role, "content": _content(f"{path}.content", item.get("content"), _TEXTS)})
            case _:
                raise FaultError(f"{path}.role", "must be one of assistant, developer, system, user")

    def _add(self, message: dict[str, Any]) -> None:
        self._end_turn()
        self._messages.append(message)

    def _end_turn(self) -> None:
        """Thinking alone is no turn: vendors refuse it."""
        if self._parts or self._calls:
            turn: dict[str, Any] = {"role": "assistant", "content": _shortened(self._parts)}
            if self._calls:
                turn["tool_calls"] = self._calls
            if self._thinking:
                turn["thinking_blocks"] = self._thinking
            self._messages.append(turn)
        self._parts, self._calls, self._thinking = [], [], []


def _kind(item: Mapping[str, Any]) -> Any:
    """Messages and references may come without their type."""
    if "type" in item:
        return item["type"]
    if "role" in item:
        return "message"
    return "item_reference" if "id" in item else None


def _shortened(parts: list[dict[str, Any]]) -> Any:
    if not parts:
        return None
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _call(path: str, item: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": string_at(path, item, "name"), "arguments": string_at(path, item, "arguments")}
    return {"id": string_at(path, item, "call_id"), "type": "function", "function": function}


def _result(path: str, item: Mapping[str, Any]) -> dict[str, Any]:
    content = _content(f"{path}.output", item.get("output"), _RESULT_PARTS)
    return {"role": "tool", "tool_call_id": string_at(path, item, "call_id"), "content": content}


_Kinds = Mapping[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]]


def _content(path: str, content: Any, kinds: _Kinds) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise FaultError(path, "must be a string or a list of parts")
    return [_part(f"{path}.{at}", part, kinds) for at, part in enumerate(content)]


def _part(path: str, given: Any, kinds: _Kinds) -> dict[str, Any]:
    part = object_at(path, given)
    write = kinds.get(str(part.get("type")))
    if write is None:
        raise FaultError(path, f"of type `{clipped(part.get('type'))}` is not supported here")
    return write(path, part)


def _text(path: str, part: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": string_at(path, part, "text")}


def _refusal(path: str, part: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "refusal", "refusal": string_at(path, part, "refusal")}


def _image(path: str, part: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_stored(path, part, "file_id", instead="image_url")
    image = {"url": string_at(path, part, "image_url")}
    if "detail" in part:
        image["detail"] = string_at(path, part, "detail")
    return {"type": "image_url", "image_url": image}


def _file(path: str, part: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_stored(path, part, "file_id", instead="file_data")
    if "file_url" in part:
        raise FaultError(f"{path}.file_url", "is not supported: send the file itself as `file_data`")
    named = {"filename": "document", **part}
    file = {name: string_at(path, named, name) for name in ("file_data", "filename")}
    return {"type": "file", "file": file}


def _audio(path: str, part: Mapping[str, Any]) -> dict[str, Any]:
    where = f"{path}.input_audio"
    audio = object_at(where, part.get("input_audio"))
    sound = {"data": string_at(where, audio, "data"), "format": string_at(where, audio, "format")}
    return {"type": "input_audio", "input_audio": sound}


def _refuse_stored(path: str, part: Mapping[str, Any], name: str, *, instead: str) -> None:
    if name in part:
        raise FaultError(f"{path}.{name}", f"refers to a stored file, and no files are stored here: use `{instead}`")


# What was said in an earlier answer comes back under its own name, in any role.
_TEXTS: _Kinds = {"input_text": _text, "output_text": _text}
_ASSISTANT_PARTS: _Kinds = {**_TEXTS, "refusal": _refusal}
_RESULT_PARTS: _Kinds = {**_TEXTS, "input_image": _image, "input_file": _file}
_USER_PARTS: _Kinds = {**_RESULT_PARTS, "input_audio": _audio}
