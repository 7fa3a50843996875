"""A prompt as the model reads it: tools, system, messages, in blocks with their tokens and cache marks."""

from collections.abc import Iterator
from typing import Any

import orjson

from connectors.simulator import tokens
from connectors.simulator.anthropic.messages import blocks_of
from connectors.simulator.prompt_cache import Block

Json = dict[str, Any]

_MESSAGE_OVERHEAD = 3
_LIFETIMES_S = {"5m": 300, "1h": 3_600}


def blocks(body: Json) -> list[Block]:
    """All blocks; a top-level `cache_control` marks the last one."""
    read = list(_blocks(body))
    if mark := body.get("cache_control"):
        read[-1] = read[-1]._replace(ttl_s=_lifetime_s(mark))
    return read


def _blocks(body: Json) -> Iterator[Block]:
    if wish := body.get("output_config", {}).get("format"):
        yield _block(wish, "format")
    for tool in body.get("tools", ()):
        yield _block(tool, "tool")
    for part in blocks_of(body["system"]) if body.get("system") else ():
        yield _block(part, "system")
    for message in body["messages"]:
        for position, part in enumerate(blocks_of(message["content"])):
            yield _block(part, message["role"], overhead=0 if position else _MESSAGE_OVERHEAD)


def _block(part: Json, label: str, *, overhead: int = 0) -> Block:
    bare = {name: value for name, value in part.items() if name != "cache_control"}
    data = label.encode() + orjson.dumps(bare, option=orjson.OPT_SORT_KEYS)
    mark = part.get("cache_control")
    return Block(data, _count(bare) + overhead, _lifetime_s(mark) if mark else 0)


def _count(part: Json) -> int:
    """Tokens of a block: text by the tokenizer, images and documents at a flat price."""
    match part.get("type"):
        case "text":
            return tokens.count(part["text"])
        case "thinking":
            return tokens.count(part["thinking"])
        case "image" | "document":
            return tokens.IMAGE_TOKENS
        case "tool_result":
            return sum(map(_count, blocks_of(part.get("content", "")))) + _MESSAGE_OVERHEAD
        case _:
            return tokens.count(orjson.dumps(part).decode())


def _lifetime_s(mark: Json) -> int:
    return _LIFETIMES_S[mark.get("ttl", "5m")]
