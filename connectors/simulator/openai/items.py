"""What OpenAI refuses in `input` of the Responses API: items, their parts, their ids, and results without calls.

Source: platform.openai.com/docs/api-reference/responses/create; wording as reported in public issue threads.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from connectors.simulator import media
from connectors.simulator.openai import seals
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import missing, wrong_type

Item = dict[str, Any]

_ROLES = ("assistant", "system", "developer", "user")
_INPUT_PARTS = ("input_text", "input_image", "input_file")
_OUTPUT_PARTS = ("output_text", "refusal")
_PART_FIELDS: Mapping[str, frozenset[str]] = {
    "input_text": frozenset({"text"}),
    "input_image": frozenset({"image_url", "file_id", "detail"}),
    "input_file": frozenset({"file_data", "file_id", "file_url", "filename", "detail"}),
    "output_text": frozenset({"text", "annotations", "logprobs"}),
    "refusal": frozenset({"refusal"}),
}
_ITEM_FIELDS: Mapping[str, frozenset[str]] = {
    "message": frozenset({"role", "content", "phase"}),
    "function_call": frozenset({"call_id", "name", "arguments"}),
    "function_call_output": frozenset({"call_id", "output"}),
    "reasoning": frozenset({"summary", "content", "encrypted_content"}),
    "item_reference": frozenset(),
}
_ON_ALL = frozenset({"type", "id", "status"})
_ID_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fc", "reasoning": "rs"}
_LONGEST_CALL_ID = 64


def kind_of(item: Item) -> str:
    """The type of an item; a message need not name it."""
    return str(item.get("type") or "message")


def check(items: list[Any]) -> None:
    """Every item by itself, then what must stand together.

    Raises:
        Refused: The first mistake.
    """
    for position, item in enumerate(items):
        _check_item(item, f"input[{position}]")
    _check_pairing(items)
    _check_reasoning(items)


def _check_item(item: Any, path: str) -> None:
    if not isinstance(item, dict):
        raise wrong_type(path, item, "an object")
    kind = kind_of(item)
    if kind not in _ITEM_FIELDS:
        raise invalid_value(path, kind, tuple(_ITEM_FIELDS))
    check_fields(item, _ON_ALL | _ITEM_FIELDS[kind], path)
    _check_id(item, kind, path)
    _CHECKS[kind](item, path)


def _check_id(item: Item, kind: str, path: str) -> None:
    name, prefix = item.get("id"), _ID_PREFIXES.get(kind, "")
    if name is not None and not str(name).startswith(prefix):
        message = f"Invalid '{path}.id': '{name}'. Expected an ID that begins with '{prefix}'."
        raise Refused(message, param=f"{path}.id", code="invalid_value")


def _check_message(item: Item, path: str) -> None:
    role = item.get("role")
    if role is None:
        raise missing(f"{path}.role")
    if role not in _ROLES:
        raise invalid_value(path, role, _ROLES)
    if "content" not in item:
        raise missing(f"{path}.content")
    _check_content(item["content"], f"{path}.content", _OUTPUT_PARTS if role == "assistant" else _INPUT_PARTS)


def _check_content(content: Any, path: str, allowed: tuple[str, ...]) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise wrong_type(path, content, "one of an array of objects or string")
    for position, part in enumerate(content):
        _check_part(part, f"{path}[{position}]", allowed)


def _check_part(part: Any, path: str, allowed: tuple[str, ...]) -> None:
    if not isinstance(part, dict):
        raise wrong_type(path, part, "an object")
    kind = part.get("type")
    if kind not in allowed:
        raise invalid_value(path, kind, allowed)
    check_fields(part, {"type"} | _PART_FIELDS[kind], path)
    match kind:
        case "input_image":
            _check_image(part, path)
        case "input_file":
            _check_file(part, path)
        case "refusal":
            _check_text(part, "refusal", path)
        case _:
            _check_text(part, "text", path)


def _check_text(value: Item, name: str, path: str) -> None:
    if name not in value:
        raise missing(f"{path}.{name}")
    if not isinstance(value[name], str):
        raise wrong_type(f"{path}.{name}", value[name], "a string")


def _check_image(part: Item, path: str) -> None:
    url = part.get("image_url")
    if url is None and part.get("file_id") is None:
        raise missing(f"{path}.image_url")
    if url is not None and not isinstance(url, str):
        raise wrong_type(f"{path}.image_url", url, "an image URL")
    if url is not None and not url.startswith(("data:image/", "https://", "http://")):
        message = f"Invalid '{path}.image_url'. Expected a valid URL, but got a value with an invalid format."
        raise Refused(message, param=f"{path}.image_url", code="invalid_value")


def _check_file(part: Item, path: str) -> None:
    if not any(part.get(name) for name in ("file_data", "file_id", "file_url")):
        raise missing(f"{path}.file_id")
    data = part.get("file_data")
    if data is not None and not str(data).startswith("data:"):
        message = (
            f"Invalid '{path}.file_data'. Expected a base64-encoded data URL with a MIME type "
            "(e.g. 'data:application/pdf;base64,aGVsbG8K'), but got a value without the 'data:' prefix."
        )
        raise Refused(message, param=f"{path}.file_data", code="invalid_value")


def _check_call(item: Item, path: str) -> None:
    for name in ("call_id", "name", "arguments"):
        _check_text(item, name, path)
    _check_call_id(item, path)


def _check_output(item: Item, path: str) -> None:
    _check_text(item, "call_id", path)
    _check_call_id(item, path)
    if "output" not in item:
        raise missing(f"{path}.output")
    _check_content(item["output"], f"{path}.output", _INPUT_PARTS)


def _check_call_id(item: Item, path: str) -> None:
    length = len(item["call_id"])
    if length > _LONGEST_CALL_ID:
        message = (
            f"Invalid '{path}.call_id': string too long. Expected a string with maximum length {_LONGEST_CALL_ID}, "
            f"but got a string with length {length} instead."
        )
        raise Refused(message, param=f"{path}.call_id", code="string_above_max_length")


def _check_thought(item: Item, path: str) -> None:
    summary = item.get("summary")
    if summary is None:
        raise missing(f"{path}.summary")
    if not isinstance(summary, list) or not all(isinstance(part, dict) for part in summary):
        raise wrong_type(f"{path}.summary", summary, "an array of objects")
    seal = item.get("encrypted_content")
    if seal is None:
        raise _not_stored(item.get("id"))
    if not isinstance(seal, str):
        raise wrong_type(f"{path}.encrypted_content", seal, "a string")
    seals.check(seal, item.get("id"))


def _check_reference(item: Item, path: str) -> None:
    raise _not_stored(item.get("id"))


def _not_stored(item_id: Any) -> Refused:
    message = (
        f"Item with id '{item_id}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input."
    )
    return Refused(message, param="input", status=404)


_CHECKS: Mapping[str, Callable[[Item, str], None]] = {
    "message": _check_message,
    "function_call": _check_call,
    "function_call_output": _check_output,
    "reasoning": _check_thought,
    "item_reference": _check_reference,
}


def check_fields(value: Item, known: Collection[str], path: str) -> None:
    """No field beyond the known ones."""
    if unknown := sorted(value.keys() - known):
        name = f"{path}.{unknown[0]}"
        raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def invalid_value(path: str, value: Any, supported: tuple[str, ...]) -> Refused:
    """Of a closed list of words, as the Responses API puts it."""
    *others, last = (f"'{option}'" for option in supported)
    comma = "," if len(others) > 1 else ""
    message = f"Invalid value: '{value}'. Supported values are: {', '.join(others)}{comma} and {last}."
    return Refused(message, param=path, code="invalid_value")


def _check_pairing(items: list[Item]) -> None:
    """Results come after their call, and none is missing; other items may stand between."""
    waiting: dict[str, None] = {}
    called: set[str] = set()
    for item in items:
        if kind_of(item) == "function_call":
            waiting[item["call_id"]] = None
            called.add(item["call_id"])
        elif kind_of(item) == "function_call_output":
            if item["call_id"] not in called:
                message = f"No tool call found for function call output with call_id {item['call_id']}."
                raise Refused(message, param="input")
            waiting.pop(item["call_id"], None)
    if waiting:
        raise Refused(f"No tool output found for function call {next(iter(waiting))}.", param="input")


def _check_reasoning(items: list[Item]) -> None:
    """A thought is followed by what it led to."""
    for item, follower in zip(items, [*items[1:], None], strict=True):
        if kind_of(item) != "reasoning":
            continue
        led_to = follower is not None and (
            kind_of(follower) in {"function_call", "reasoning"} or follower.get("role") == "assistant"
        )
        if not led_to:
            message = f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."
            raise Refused(message, param="input")


# -- what the model reads


def text_of(item: Item) -> str:
    """All that the model reads of an item: texts, a call, a result."""
    match kind_of(item):
        case "function_call":
            return f"{item['name']}({item['arguments']})"
        case "function_call_output":
            return _text(item["output"])
        case "reasoning":
            return " ".join(str(part.get("text", "")) for part in item["summary"])
        case _:
            return _text(item["content"])


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(filter(None, (part.get("text") or part.get("refusal") for part in content)))


def media_of(items: list[Item]) -> tuple[str, ...]:
    """Images and files of all items, described."""
    contents = (item.get("content") or item.get("output") for item in items if kind_of(item) != "reasoning")
    parts = (part for content in contents if isinstance(content, list) for part in content)
    return tuple(_described(part) for part in parts if part["type"] in {"input_image", "input_file"})


def _described(part: Item) -> str:
    kind = part["type"].removeprefix("input_")
    url = part.get("image_url") or part.get("file_data") or part.get("file_url")
    return media.of_url(kind, url) if url else f"{kind} {part['file_id']}"


def last_user(items: list[Item]) -> tuple[str, tuple[str, ...]]:
    """The text of the last user message, and the tool results after it."""
    results: list[str] = []
    for item in reversed(items):
        if item.get("role") == "user":
            return text_of(item), tuple(reversed(results))
        if kind_of(item) == "function_call_output":
            results.append(text_of(item))
    return "", tuple(reversed(results))
