"""The text of a body: all of it for counting, the last thing that the user said for features."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["SAMPLE_CHARS", "Text", "read_text"]

SAMPLE_CHARS = 2_000

_KINDS = {"image_url": "vision", "image": "vision", "input_audio": "audio", "file": "file"}


@dataclass(slots=True, frozen=True)
class Text:
    """`sample` is the last user text, cut; `kinds` counts the parts that are no text by the capability they need."""

    whole: str
    sample: str
    turns: int
    kinds: dict[str, int]


def read_text(body: dict[str, Any]) -> Text:
    """Tolerates any shape: what is no text is skipped."""
    messages = [each for each in _list(body.get("messages")) if isinstance(each, dict)]
    pieces = [piece for message in messages for piece in _said(message)]
    pieces += list(_texts(body.get("input")))
    last = next((each for each in reversed(messages) if each.get("role") == "user"), None)
    sample = "\n".join(pieces if last is None else _texts(last.get("content")))
    return Text(whole="\n".join(pieces), sample=sample[:SAMPLE_CHARS], turns=len(messages), kinds=_kinds(messages))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(content: Any) -> Iterator[str]:
    """A string, or a list of strings and text parts."""
    for part in [content] if isinstance(content, str) else _list(content):
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text


def _said(message: dict[str, Any]) -> Iterator[str]:
    yield from _texts(message.get("content"))
    for call in _list(message.get("tool_calls")):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield from (value for value in (function.get("name"), function.get("arguments")) if isinstance(value, str))


def _kinds(messages: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for message in messages:
        for part in _list(message.get("content")):
            said = part.get("type") if isinstance(part, dict) else None
            kind = _KINDS.get(said) if isinstance(said, str) else None
            if kind is not None:
                counts[kind] = counts.get(kind, 0) + 1
    return counts
