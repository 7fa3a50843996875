"""Reads the messages of a checked request into turns; the rules stand in the package's docstring."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from connectors.providers.conversation.parts import (
    arguments_of,
    contents_of,
    marked,
    objects_in,
    part_of,
    string_of,
    text_of,
    within,
    word,
)
from connectors.providers.conversation.turns import (
    Assistant,
    Audio,
    Conversation,
    Document,
    Image,
    Part,
    System,
    Text,
    ToolResult,
    ToolUse,
    UnmappableError,
    User,
)
from connectors.providers.notes import system_note
from schemas.seals import Sealed, opened, plain_id, unseal

__all__ = ["read_conversation"]


def read_conversation(
    messages: Sequence[Mapping[str, Any]],
    *,
    owner: str | None,
    inputs: Sequence[str] = ("text",),
    mid_system: bool = False,
) -> Conversation:
    """The conversation of a checked request.

    Args:
        messages: `messages` of a chat request that `schemas.chat.check_chat` has passed.
        owner: whose signatures may go out, `<adapter>/<upstream model>`; None: nobody's.
        inputs: the model's flag `inputs`: which parts it takes.
        mid_system: the model's flag: it takes a system message in the middle.

    Raises:
        UnmappableError: a part cannot be read or is not taken, or calls and results do not pair.
    """
    reader = _Reader(owner, frozenset(inputs), mid_system)
    for index, message in enumerate(messages):
        reader.read(f"messages.{index}", message)
    reader.close()
    return reader.conversation


_NEEDS: dict[type, str] = {Image: "image", Document: "pdf", Audio: "audio"}
_Kind = TypeVar("_Kind", User, Assistant, System)


class _Reader:
    def __init__(self, owner: str | None, inputs: frozenset[str], mid_system: bool) -> None:
        self.conversation = Conversation()
        self._owner = owner
        self._inputs = inputs
        self._mid_system = mid_system
        self._open: dict[str, str] = {}  # id -> name of the calls that still want a result
        self._answered: dict[str, ToolResult] = {}
        self._asked_at = ""

    def read(self, path: str, message: Mapping[str, Any]) -> None:
        role = message["role"]
        if role != "tool":
            self.close()
        match role:
            case "system" | "developer":
                self._system(path, message)
            case "user":
                self._turn(User).parts += self._parts(f"{path}.content", message)
            case "assistant":
                self._assistant(path, message)
            case "tool":
                self._result(path, message)
            case _:
                raise UnmappableError(path, f"role `{role}` is not taken here; results of tools have role `tool`")

    def close(self) -> None:
        """What follows is no result any more: every call must have got its own."""
        if self._open:
            raise UnmappableError(self._asked_at, f"tool call `{next(iter(self._open))}` has no result")
        self._answered = {}

    def _turn(self, kind: type[_Kind]) -> _Kind:
        turns = self.conversation.turns
        last = turns[-1] if turns else None
        if isinstance(last, kind):
            return last
        fresh = kind()
        turns.append(fresh)
        return fresh

    def _system(self, path: str, message: Mapping[str, Any]) -> None:
        parts = self._texts(f"{path}.content", message)
        if not self.conversation.turns:
            self.conversation.system += parts
        elif not parts:
            return
        elif self._mid_system:
            self._turn(System).parts += parts
        else:
            self._turn(User).parts += [Text(system_note(p.text), p.cache) for p in parts if p.text.strip()]

    def _assistant(self, path: str, message: Mapping[str, Any]) -> None:
        if message.get("function_call"):
            raise UnmappableError(f"{path}.function_call", "function calls are written as `tool_calls`")
        turn = self._turn(Assistant)
        turn.parts += self._texts(f"{path}.content", message)
        if message.get("refusal"):
            turn.parts.append(Text(string_of(path, message, "refusal")))
        calls = message.get("tool_calls") or []
        turn.thinking += self._thinking(path, message, calls)
        for index, call in enumerate(calls):
            turn.calls.append(self._call(f"{path}.tool_calls.{index}", call))
        self._asked_at = path

    def _call(self, path: str, call: Mapping[str, Any]) -> ToolUse:
        function = call.get("function")
        if not isinstance(function, Mapping):
            raise UnmappableError(path, "only calls of functions are taken")
        sealed = unseal(word(call, "id"))
        arguments = arguments_of(path, function)
        use = ToolUse(
            sealed.text,
            word(function, "name"),
            arguments,
            self._signature(call, sealed),
            text_of(function, arguments),
            sealed.state if sealed.owner == self._owner and isinstance(sealed.state, dict) else None,
            call.get("cache_control"),
        )
        if not use.id or not use.name:
            raise UnmappableError(path, "a tool call needs an `id` and a name")
        if use.id in self._open:
            raise UnmappableError(path, f"the id `{use.id}` is given to two tool calls")
        self._open[use.id] = use.name
        return use

    def _result(self, path: str, message: Mapping[str, Any]) -> None:
        id = plain_id(message["tool_call_id"])
        parts = tuple(self._parts(f"{path}.content", message))
        known = self._answered.get(id)
        name = known.name if known is not None else self._open.pop(id, None)
        if name is None:
            raise UnmappableError(path, f"there is no tool call `{id}` just before this result")
        result = ToolResult(id, name, parts, message.get("is_error") is True, message.get("cache_control"))
        if known is None:
            self._answered[id] = result
            self._turn(User).results.append(result)
        elif contents_of(known) != contents_of(result):
            raise UnmappableError(path, f"tool call `{id}` has two different results")

    def _signature(self, call: Mapping[str, Any], sealed: Sealed) -> str | None:
        """What the client echoed with the call, else what rode in its id."""
        if self._owner is None:
            return None
        google = within(within(call, "extra_content"), "google")
        if said := word(google, "thought_signature"):
            return opened(said, self._owner)
        signature = sealed.state.get("signature") if isinstance(sealed.state, dict) else None
        return signature if sealed.owner == self._owner and isinstance(signature, str) else None

    def _thinking(
        self, path: str, message: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        if self._owner is None:
            return
        blocks = message.get("thinking_blocks") or []
        if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
            raise UnmappableError(f"{path}.thinking_blocks", "must be a list of objects")
        if not blocks and calls:
            sealed = unseal(word(calls[0], "id"))
            if sealed.owner == self._owner:
                yield from objects_in(sealed.state, "thinking")
            return
        for block in blocks:
            key = "data" if block.get("type") == "redacted_thinking" else "signature"
            mine = opened(block[key], self._owner) if isinstance(block.get(key), str) else None
            if mine:
                yield {**block, key: mine}

    def _texts(self, path: str, message: Mapping[str, Any]) -> list[Text]:
        texts = []
        for part in self._parts(path, message):
            if not isinstance(part, Text):
                raise UnmappableError(part.path, f"a message of role `{message['role']}` holds text only")
            texts.append(part)
        return texts

    def _parts(self, path: str, message: Mapping[str, Any]) -> list[Part]:
        content = message.get("content")
        hint = message.get("cache_control")
        if content is None or isinstance(content, str):
            return [Text(content, hint)] if content else []
        parts = [part_of(f"{path}.{index}", part) for index, part in enumerate(content)]
        for part in parts:
            self._check_taken(part)
        parts = [part for part in parts if not isinstance(part, Text) or part.text]
        return parts if hint is None or message["role"] == "tool" else marked(parts, hint)

    def _check_taken(self, part: Part) -> None:
        need = _NEEDS.get(type(part))
        if need is not None and need not in self._inputs and not isinstance(part, Text):
            raise UnmappableError(part.path, f"this model takes no {need} parts")
