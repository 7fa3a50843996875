"""How answers of compatible servers differ from OpenAI's: one function per quirk, applied to a finished answer.

The package's docstring explains each of them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from connectors.simulator.openai.errors import Refused

Json = dict[str, Any]
Chunk = tuple[Json, int]  # a chunk and its tokens of content

_COMMENT = b": ping\n\n"


def parse(text: str) -> frozenset[str]:
    """Quirks from their spelling, joined by `+`; none for an empty text.

    Raises:
        Refused: One that nobody knows.
    """
    names = frozenset(filter(None, text.split("+")))
    if unknown := sorted(names - NAMES):
        raise Refused(f"simulator: unknown quirk '{unknown[0]}'", code="bad_directive")
    return names


# -- on a choice: `part` is its message, or its delta in a stream


def _no_role(_: Json, part: Json) -> None:
    part.pop("role", None)


def _stop_with_tools(choice: Json, _: Json) -> None:
    if choice["finish_reason"] == "tool_calls":
        choice["finish_reason"] = "stop"


def _index_zero(_: Json, part: Json) -> None:
    for call in part.get("tool_calls", ()):
        call["index"] = 0


def _no_ids(_: Json, part: Json) -> None:
    for call in part.get("tool_calls", ()):
        call.pop("id", None)


def _object_arguments(_: Json, part: Json) -> None:
    for call in part.get("tool_calls", ()):
        call["function"]["arguments"] = _loaded(call["function"]["arguments"])


def _loaded(arguments: str) -> Any:
    """The object; the text itself where a token limit cut it."""
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments


def _reasoning(_: Json, part: Json) -> None:
    if "reasoning_content" in part:
        part["reasoning"] = part.pop("reasoning_content")


def _list_content(_: Json, part: Json) -> None:
    thought = part.pop("reasoning_content", None) or part.pop("reasoning", None)
    text = part.get("content")
    parts: list[Json] = []
    if thought:
        parts.append({"type": "thinking", "thinking": [{"type": "text", "text": thought}]})
    if text:
        parts.append({"type": "text", "text": text})
    if parts:
        part["content"] = parts


_ON_CHOICE: Mapping[str, Callable[[Json, Json], None]] = {
    "no_role": _no_role,
    "stop_with_tools": _stop_with_tools,
    "index_zero": _index_zero,
    "no_ids": _no_ids,
    "object_arguments": _object_arguments,
    "reasoning": _reasoning,
    "list_content": _list_content,
}


# -- on the chunks of a stream


def _whole_arguments(chunks: list[Chunk], _: Json) -> list[Chunk]:
    kept: list[Chunk] = []
    begun: dict[tuple[int, int], int] = {}
    for chunk, size in chunks:
        for choice, call in _calls(chunk):
            key = choice["index"], call["index"]
            if key not in begun:
                begun[key] = len(kept)
                continue
            first, spent = kept[begun[key]]
            _, opened = _calls(first)[0]
            opened["function"]["arguments"] += call["function"]["arguments"]
            kept[begun[key]] = first, spent + size
            break
        else:
            kept.append((chunk, size))
    return kept


def _name_every_piece(chunks: list[Chunk], _: Json) -> list[Chunk]:
    opened: dict[tuple[int, int], Json] = {}
    for chunk, _size in chunks:
        for choice, call in _calls(chunk):
            first = opened.setdefault((choice["index"], call["index"]), call)
            call |= {"id": first["id"], "type": first["type"]}
            call["function"]["name"] = first["function"]["name"]
    return chunks


def _calls(chunk: Json) -> list[tuple[Json, Json]]:
    return [(choice, call) for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", ())]


def _usage_last_content(chunks: list[Chunk], usage: Json) -> list[Chunk]:
    kept = [(chunk, size) for chunk, size in chunks if chunk["choices"]]
    (finish, _), (content, _) = kept[-1], kept[-2]
    if finish["choices"][0]["index"] == content["choices"][0]["index"]:
        content["choices"][0]["finish_reason"] = finish["choices"][0]["finish_reason"]
        kept.pop()
    kept[-1][0]["usage"] = usage
    return kept


def _usage_every_chunk(chunks: list[Chunk], usage: Json) -> list[Chunk]:
    prompt, spent = usage["prompt_tokens"], 0
    for chunk, size in chunks:
        spent += size
        so_far = min(spent, usage["completion_tokens"])
        chunk["usage"] = usage | {"completion_tokens": so_far, "total_tokens": prompt + so_far}
    chunks[-1][0]["usage"] = usage
    return chunks


def _azure_first(chunks: list[Chunk], _: Json) -> list[Chunk]:
    blank = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    return [({**blank, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}, 0), *chunks]


_ON_STREAM: Mapping[str, Callable[[list[Chunk], Json], list[Chunk]]] = {
    "whole_arguments": _whole_arguments,
    "object_arguments": _whole_arguments,
    "name_every_piece": _name_every_piece,
    "usage_last_content": _usage_last_content,
    "usage_every_chunk": _usage_every_chunk,
}
NAMES = frozenset({*_ON_CHOICE, *_ON_STREAM, "azure_first", "comments", "crlf", "created_zero", "no_done"})


def on_body(body: Json, odd: frozenset[str]) -> Json:
    """An unstreamed answer with its quirks."""
    for choice in body["choices"]:
        _change(choice, choice["message"], odd - {"index_zero"})
    return body | ({"created": 0} if "created_zero" in odd else {})


def on_chunks(chunks: list[Chunk], usage: Json, odd: frozenset[str]) -> list[Chunk]:
    """The chunks of a stream with their quirks: first how they are cut, then what is in them."""
    for name, change in _ON_STREAM.items():
        if name in odd:
            chunks = change(chunks, usage)
    for chunk, _ in chunks:
        for choice in chunk["choices"]:
            _change(choice, choice["delta"], odd)
        if "created_zero" in odd:
            chunk["created"] = 0
    return _azure_first(chunks, usage) if "azure_first" in odd else chunks


def _change(choice: Json, part: Json, odd: frozenset[str]) -> None:
    for name, change in _ON_CHOICE.items():
        if name in odd:
            change(choice, part)


def on_event(data: bytes, odd: frozenset[str]) -> bytes:
    """The bytes of one event with their quirks."""
    if "comments" in odd:
        data = _COMMENT + data
    return data.replace(b"\n", b"\r\n") if "crlf" in odd else data
