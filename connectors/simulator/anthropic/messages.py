"""What Anthropic refuses in `messages` once every field has its shape: order, roles, pairing, signatures, prefill."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from connectors.simulator import media
from connectors.simulator.anthropic import signatures
from connectors.simulator.anthropic.errors import Refused
from connectors.simulator.anthropic.fields import NEW, OLD
from connectors.simulator.models import Model

Message = dict[str, Any]
Block = dict[str, Any]

_THINKING = ("thinking", "redacted_thinking")
_PLACES = {
    "tool_use": ("assistant",),
    "thinking": ("assistant",),
    "redacted_thinking": ("assistant",),
    "tool_result": ("user",),
    "image": ("user",),
    "document": ("user",),
    "text": ("user", "assistant", "system"),
}
_EXTENDED_THINKING = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"


def blocks_of(content: str | list[Block]) -> list[Block]:
    """A string is short for one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def check(messages: list[Message], model: Model, version: str, *, budget_thinking: bool) -> None:
    """Every message by itself, then what belongs together.

    Raises:
        Refused: The first mistake.
    """
    _check_order(messages, model)
    for position, message in enumerate(messages):
        _check_blocks(message, f"messages.{position}", version)
        _check_signatures(message, f"messages.{position}", model)
    _check_pairing(messages)
    if budget_thinking:
        _check_thinking_stays(messages)
    _check_end(messages, model)


def _check_order(messages: list[Message], model: Model) -> None:
    if not messages:
        raise Refused("messages: at least one message is required")
    for message in messages:
        role = message["role"]
        if role == "system" and not model.mid_system:
            raise Refused(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, '
                'not "system" as an input message role.'
            )
        if role not in {"user", "assistant", "system"}:
            raise Refused(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant".')
    if messages[0]["role"] != "user":
        raise Refused('messages: first message must use the "user" role')


# -- one message


def _check_blocks(message: Message, path: str, version: str) -> None:
    role = message["role"]
    if not message["content"]:
        raise Refused(
            f"{path}: all messages must have non-empty content except for the optional final assistant message"
        )
    for position, block in enumerate(blocks_of(message["content"])):
        kind, where = block["type"], f"{path}.content.{position}"
        places = _PLACES[kind]
        if kind == "document" and version == OLD:
            places = ("user", "assistant")
        if role not in places:
            allowed = " or ".join(f"`{place}`" for place in places)
            raise Refused(f"{where}: `{kind}` blocks can only be in {allowed} messages")
        if kind == "text" and role == "user" and block.get("citations") and version == NEW:
            raise Refused(f"{where}.text.citations: Extra inputs are not permitted")
        check_texts([block, *_nested(block)], "messages")


def check_texts(blocks: Sequence[Block], path: str) -> None:
    """Text blocks that say nothing."""
    for block in blocks:
        if block["type"] != "text":
            continue
        if not block["text"]:
            raise Refused(f"{path}: text content blocks must be non-empty")
        if not block["text"].strip():
            raise Refused(f"{path}: text content blocks must contain non-whitespace text")


def _nested(block: Block) -> list[Block]:
    """The blocks inside a tool result."""
    content = block.get("content") if block["type"] == "tool_result" else None
    return content if isinstance(content, list) else []


def _check_signatures(message: Message, path: str, model: Model) -> None:
    for position, block in enumerate(blocks_of(message["content"])):
        where = f"{path}.content.{position}"
        if block["type"] == "thinking" and not signatures.is_signed(model.name, block["thinking"], block["signature"]):
            raise Refused(f"{where}: Invalid `signature` in `thinking` block")
        if block["type"] == "redacted_thinking" and not signatures.is_redacted(model.name, block["data"]):
            raise Refused(f"{where}: Invalid `data` in `redacted_thinking` block")


# -- several messages


def _check_pairing(messages: list[Message]) -> None:
    """All results of a turn are in the very next message, before anything else; and nowhere else."""
    seen: set[str] = set()
    waiting: list[str] = []
    for position, message in enumerate(messages):
        blocks = blocks_of(message["content"])
        _check_results(blocks, waiting, position)
        waiting = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if len({*seen, *waiting}) < len(seen) + len(waiting):
            raise Refused("messages: `tool_use` ids must be unique")
        seen.update(waiting)
    if waiting:
        raise _unanswered(waiting, len(messages) - 1)


def _check_results(blocks: list[Block], waiting: list[str], position: int) -> None:
    results = [block.get("tool_use_id") for block in blocks if block["type"] == "tool_result"]
    leading = [block.get("tool_use_id") for block in blocks[: len(results)]]
    for at, block in enumerate(blocks):
        if block["type"] == "tool_result" and block["tool_use_id"] not in waiting:
            raise Refused(
                f"messages.{position}.content.{at}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{block['tool_use_id']}. Each `tool_result` block must have a corresponding `tool_use` block in the "
                "previous message."
            )
    if twice := [name for name, count in Counter(results).items() if count > 1]:
        raise Refused(
            f"messages.{position}.content: each tool_use must have a single result. "
            f"Found multiple `tool_result` blocks with id: {twice[0]}"
        )
    if missing := [name for name in waiting if name not in leading]:
        raise _unanswered(missing, position - 1)


def _unanswered(ids: list[str], position: int) -> Refused:
    return Refused(
        f"messages.{position}: `tool_use` ids were found without `tool_result` blocks immediately after: "
        f"{', '.join(ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )


def _check_thinking_stays(messages: list[Message]) -> None:
    """With a thinking budget, the turn whose tools are being answered begins with the thinking that led to it."""
    opening = _opening_of_tool_loop(messages)
    if opening is None:
        return
    found = blocks_of(messages[opening]["content"])[0]["type"]
    if found not in _THINKING:
        raise Refused(
            f"messages.{opening}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When "
            "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the "
            "lastmost set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from "
            "previous turns. To avoid this requirement, disable `thinking`. Please consult our documentation at "
            f"{_EXTENDED_THINKING}"
        )


def _opening_of_tool_loop(messages: list[Message]) -> int | None:
    """Where the assistant began the turn that the last message still answers; None when it answers no tool."""
    opening = None
    for position in range(len(messages) - 1, 0, -1):
        kinds = {block["type"] for block in blocks_of(messages[position]["content"])}
        if messages[position]["role"] == "assistant":
            opening = position
        elif "tool_result" not in kinds:
            return opening
    return opening


def _check_end(messages: list[Message], model: Model) -> None:
    last = messages[-1]
    if last["role"] != "assistant":
        return
    if not model.prefill:
        message = (
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
        raise Refused(message)
    block = blocks_of(last["content"])[-1]
    if block["type"] == "text" and block["text"] != block["text"].rstrip():
        raise Refused("messages: final assistant content cannot end with trailing whitespace")


# -- what the model sees


def text_of(content: str | list[Block]) -> str:
    return " ".join(block["text"] for block in blocks_of(content) if block["type"] == "text")


def last_user(messages: list[Message]) -> tuple[str, tuple[str, ...]]:
    """The last text of the user, and the tool results given with it or after it."""
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "user":
            continue
        blocks = blocks_of(message["content"])
        results[:0] = [_result(block) for block in blocks if block["type"] == "tool_result"]
        if said := text_of(message["content"]):
            return said, tuple(results)
    return "", tuple(results)


def _result(block: Block) -> str:
    said = text_of(block.get("content", ""))
    return f"error: {said}" if block.get("is_error") else said


def media_of(messages: list[Message]) -> tuple[str, ...]:
    """Images and documents of all messages, those inside tool results too, described."""
    return tuple(
        _described(block)
        for message in messages
        for outer in blocks_of(message["content"])
        for block in (outer, *_nested(outer))
        if block["type"] in {"image", "document"}
    )


def _described(block: Block) -> str:
    kind, source = block["type"], block["source"]
    match source["type"]:
        case "base64":
            return media.of_base64(kind, source["media_type"], source["data"])
        case "url":
            return media.of_url(kind, source["url"])
        case "text":
            return media.described(kind, source["media_type"], source["data"].encode())
        case _:
            return media.described(kind, "content", text_of(source["content"]).encode())


def marks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything in a request that may carry `cache_control`, in the order of the prompt."""
    yield from body.get("tools", ())
    if isinstance(body.get("system"), list):
        yield from body["system"]
    for message in body["messages"]:
        for block in blocks_of(message["content"]):
            yield from _nested(block)
            yield block
