"""Content as OpenAI writes it, read into typed parts; what cannot be read is an error that names its place."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from connectors.providers.conversation.turns import (
    Audio,
    CacheHint,
    Document,
    Image,
    Inline,
    Linked,
    Part,
    Text,
    ToolResult,
    UnmappableError,
)
from connectors.providers.wire_json import dumps, loads

__all__ = ["arguments_of", "contents_of", "marked", "objects_in", "part_of", "string_of", "text_of", "within", "word"]

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.=+-]+)*;base64,", re.IGNORECASE)
_TEXT_PARTS = {"text": "text", "refusal": "refusal", "input_text": "text", "output_text": "text"}


def marked(parts: list[Part], hint: CacheHint) -> list[Part]:
    """A message's own hint reaches to its end: it is that of its last part."""
    if not parts or isinstance(parts[-1], Audio) or parts[-1].cache is not None:
        return parts
    return [*parts[:-1], replace(parts[-1], cache=hint)]


def part_of(path: str, part: Mapping[str, Any]) -> Part:
    kind, hint = part["type"], part.get("cache_control")
    if kind in _TEXT_PARTS:
        return Text(string_of(path, part, _TEXT_PARTS[kind]), hint)
    if kind == "image_url":
        image = part["image_url"]
        return Image(_image_source(path, image["url"]), path, hint, image.get("detail"))
    if kind == "file":
        return _document(path, _mapping(path, part, "file"), hint)
    if kind == "input_audio":
        audio = _mapping(path, part, "input_audio")
        return Audio(Inline(f"audio/{string_of(path, audio, 'format')}", string_of(path, audio, "data")), path)
    raise UnmappableError(path, f"parts of type `{kind}` are not taken here")


def _image_source(path: str, url: str) -> Inline | Linked:
    if url[:5].lower() == "data:":
        return _inline(path, url)
    if url[:8].lower() != "https://":
        raise UnmappableError(path, "the URL of an image must begin with `https://` or `data:`")
    return Linked(url)


def _document(path: str, file: Mapping[str, Any], hint: CacheHint | None) -> Document:
    if not isinstance(file.get("file_data"), str):
        raise UnmappableError(path, "a file is taken as `file_data` only, not by id")
    data, name = file["file_data"], file.get("filename")
    source = _inline(path, data) if data[:5].lower() == "data:" else Inline("application/pdf", data)
    return Document(source, path, name if isinstance(name, str) else None, hint)


def _inline(path: str, url: str) -> Inline:
    """The content of a data URL; vendors want it without the head (RFC 2397)."""
    head = _DATA_URL.match(url)
    if head is None:
        raise UnmappableError(path, "the data URL has no media type or is not base64")
    return Inline(head[1].lower(), url[head.end() :])


def arguments_of(path: str, function: Mapping[str, Any]) -> dict[str, Any]:
    said = function.get("arguments")
    if not said or (isinstance(said, str) and not said.strip()):
        return {}
    try:
        value = loads(said) if isinstance(said, str) else said
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UnmappableError(path, "the arguments of the call are no JSON object")
    return value


def text_of(function: Mapping[str, Any], arguments: dict[str, Any]) -> str:
    said = function.get("arguments")
    return said if isinstance(said, str) and said.strip() else dumps(arguments).decode()


def contents_of(result: ToolResult) -> list[object]:
    """What a result says, wherever it stands."""
    return [part if isinstance(part, Text) else part.source for part in result.parts]


def objects_in(state: object, name: str) -> list[dict[str, Any]]:
    """What a seal holds under a name; a forged one may hold anything."""
    found = state.get(name) if isinstance(state, Mapping) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def within(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = holder.get(name)
    return inner if isinstance(inner, Mapping) else {}


def word(holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def string_of(path: str, holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise UnmappableError(path, f"`{name}` must be a string")
    return value


def _mapping(path: str, holder: Mapping[str, Any], name: Literal["file", "input_audio"]) -> Mapping[str, Any]:
    value = holder.get(name)
    if not isinstance(value, Mapping):
        raise UnmappableError(path, f"`{name}` must be an object")
    return value
