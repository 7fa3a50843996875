"""A conversation as Anthropic's `system` and `messages`.

    1. neighbours of one role are one message; it begins with a user: a placeholder stands there where nobody spoke
    2. a user's message has all results of tools first, an assistant's its thinking, then text, then calls
    3. texts without a visible character are left out (refused as empty), and messages with nothing else in them
    4. ids of tool calls are unique and of letters, digits, `_` and `-`; others are renamed, in calls and results alike
    5. `cache_control` is kept, of a text inside a tool result on the result

Source: platform.claude.com/docs/en/api/messages, provider_contracts.md section 4
"""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, assert_never

from connectors.providers.answer import made_id
from connectors.providers.conversation import (
    Assistant,
    Audio,
    Conversation,
    Document,
    Image,
    Linked,
    Part,
    System,
    Text,
    ToolResult,
    ToolUse,
    Turn,
    UnmappableError,
    User,
)

__all__ = ["ends_with_assistant", "lacks_thinking", "marked", "write_messages", "write_system"]

# Anthropic wants a user's message first; a chat that a bot opens, or a system prompt alone, has none.
_BEGINNING = {"type": "text", "text": "(conversation begins)"}
_SAYS_NOTHING = "(no message)"  # an error without a word is refused
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_IMAGES = {kind: kind for kind in ("image/jpeg", "image/png", "image/gif", "image/webp")} | {"image/jpg": "image/jpeg"}
_MAX_TITLE_CHARS = 500

Block = dict[str, Any]


def write_system(texts: Iterable[Text]) -> str | list[Block] | None:
    """A string, or blocks where one of them is to be cached."""
    said = [text for text in texts if text.text.strip()]
    if any(text.cache for text in said):
        return [_text(text) for text in said]
    return "\n\n".join(text.text for text in said) or None


def write_messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The turns.

    Raises:
        UnmappableError: a part that Anthropic does not take.
    """
    messages: list[dict[str, Any]] = []
    ids = _Ids()
    for turn in conversation.turns:
        role, blocks = _turn(turn, ids)
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    if not messages or messages[0]["role"] != "user":
        messages.insert(0, {"role": "user", "content": [dict(_BEGINNING)]})
    if messages[-1]["role"] == "assistant":
        messages[-1]["content"] = list(_beginning_of_answer(messages[-1]["content"]))
    return messages


def ends_with_assistant(conversation: Conversation) -> bool:
    """The model is to go on with an answer that was begun."""
    spoken = [turn for turn in conversation.turns if _says_something(turn)]
    return bool(spoken) and isinstance(spoken[-1], Assistant)


def lacks_thinking(conversation: Conversation) -> bool:
    """The turn whose tools are being answered begins without the thinking that led to it: it cannot think on."""
    opening: Assistant | None = None
    for turn in reversed(conversation.turns):
        if isinstance(turn, Assistant):
            opening = turn
        elif not isinstance(turn, User) or not turn.results:
            break
    return opening is not None and not opening.thinking


def marked(block: Block, hint: Any) -> Block:
    """With `cache_control`, if the hint is one that Anthropic knows."""
    if not isinstance(hint, Mapping) or hint.get("type") != "ephemeral":
        return block
    mark = {"type": "ephemeral"}
    if hint.get("ttl") in {"5m", "1h"}:
        mark["ttl"] = hint["ttl"]
    return {**block, "cache_control": mark}


class _Ids:
    """Names tool calls; results stand right after their calls, so the latest name of an id is meant."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._named: dict[str, str] = {}

    def name(self, id: str) -> str:
        """Servers that count calls from 0 in every answer say an id twice; Anthropic refuses that."""
        fit, at = id, 0
        while fit in self._taken or not _ID.fullmatch(fit):
            fit, at = made_id("anthropic", id, at), at + 1
        self._taken.add(fit)
        self._named[id] = fit
        return fit

    def of(self, id: str) -> str:
        return self._named[id]


def _turn(turn: Turn, ids: _Ids) -> tuple[str, list[Block]]:
    match turn:
        case User(results, parts):
            return "user", [*(_result(result, ids) for result in results), *_parts(parts)]
        case Assistant():
            return "assistant", list(_assistant(turn, ids))
        case System(parts):
            return "system", list(_parts(parts))
        case _:
            assert_never(turn)


def _assistant(turn: Assistant, ids: _Ids) -> Iterator[Block]:
    if _says_something(turn):  # a message may not end with thinking
        yield from (block for thought in turn.thinking if (block := _thought(thought)) is not None)
        yield from _parts(turn.parts)
        yield from (_call(call, ids) for call in turn.calls)


def _says_something(turn: Turn) -> bool:
    if isinstance(turn, Assistant) and turn.calls:
        return True
    if isinstance(turn, User) and turn.results:
        return True
    return any(not isinstance(part, Text) or part.text.strip() for part in turn.parts)


def _beginning_of_answer(blocks: list[Block]) -> Iterator[Block]:
    """Without thinking, which is refused there, and without white space at the end."""
    kept = [block for block in blocks if block["type"] not in {"thinking", "redacted_thinking"}]
    yield from kept[:-1]
    yield {**kept[-1], "text": kept[-1]["text"].rstrip()}


def _thought(block: Mapping[str, Any]) -> Block | None:
    match block:
        case {"type": "redacted_thinking", "data": str(data)}:
            return {"type": "redacted_thinking", "data": data}
        case {"type": "thinking", "signature": str(signature)}:
            return {"type": "thinking", "thinking": block.get("thinking") or "", "signature": signature}
        case _:
            return None


def _call(call: ToolUse, ids: _Ids) -> Block:
    return marked({"type": "tool_use", "id": ids.name(call.id), "name": call.name, "input": call.arguments}, call.cache)


def _result(result: ToolResult, ids: _Ids) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": ids.of(result.id)}
    content = [{key: value for key, value in part.items() if key != "cache_control"} for part in _parts(result.parts)]
    match content:
        case []:
            if result.is_error:
                block["content"] = _SAYS_NOTHING
        case [{"type": "text", "text": text}]:
            block["content"] = text
        case _:
            block["content"] = content
    if result.is_error:
        block["is_error"] = True
    hints = (part.cache for part in result.parts if not isinstance(part, Audio))
    return marked(block, result.cache or next((hint for hint in hints if hint), None))


def _parts(parts: Iterable[Part]) -> Iterator[Block]:
    for part in parts:
        match part:
            case Text():
                if part.text.strip():
                    yield _text(part)
            case Image():
                yield marked({"type": "image", "source": _image_source(part)}, part.cache)
            case Document():
                yield marked(_document(part), part.cache)
            case Audio():
                raise UnmappableError(part.path, "Anthropic takes no audio")
            case _:
                assert_never(part)


def _text(text: Text) -> Block:
    return marked({"type": "text", "text": text.text}, text.cache)


def _image_source(image: Image) -> Block:
    if isinstance(image.source, Linked):
        return {"type": "url", "url": image.source.url}
    kind = _IMAGES.get(image.source.media_type)
    if kind is None:
        raise UnmappableError(image.path, "Anthropic takes images as jpeg, png, gif and webp only")
    return {"type": "base64", "media_type": kind, "data": image.source.data}


def _document(document: Document) -> Block:
    block = {"type": "document", "source": _document_source(document)}
    if document.name and document.name.strip():
        block["title"] = document.name[:_MAX_TITLE_CHARS]
    return block


def _document_source(document: Document) -> Block:
    kind, data = document.source.media_type, document.source.data
    if kind == "application/pdf":
        return {"type": "base64", "media_type": kind, "data": data}
    if kind != "text/plain":
        raise UnmappableError(document.path, "Anthropic takes files as PDF and plain text only")
    try:
        text = b64decode(data, validate=True).decode()
    except ValueError:
        raise UnmappableError(document.path, "the file is no base64 of UTF-8 text") from None
    if not text.strip():
        raise UnmappableError(document.path, "the file is empty")
    return {"type": "text", "media_type": kind, "data": text}
