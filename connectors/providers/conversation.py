"""An OpenAI conversation as turns and typed parts: what adapters of other wires translate from.

    1. leading system and developer messages are the system prompt; later ones become a turn of their own where the model
       takes them (`mid_system`), else a user part marked as a system note
    2. neighbours of one role are one turn; all results of an assistant turn stand at the head of the user turn after it
    3. tool calls and results are paired: a result said twice is taken once; what does not pair is an error naming the id
    4. ids lose our seal; signatures that belong to another model are left out
    5. empty texts are left out; whatever else cannot be read is an error naming the part, never dropped

Source: platform.openai.com/docs/api-reference/chat/create; provider_contracts.md section 4.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from connectors.providers.notes import system_note
from connectors.providers.wire_json import dumps, loads
from schemas.errors import ErrorKind, ProviderError
from schemas.seals import Sealed, opened, plain_id, unseal

__all__ = [
    "Assistant",
    "Audio",
    "Conversation",
    "Document",
    "Image",
    "Inline",
    "Linked",
    "Part",
    "System",
    "Text",
    "ToolResult",
    "ToolUse",
    "Turn",
    "UnmappableError",
    "User",
    "objects_in",
    "read_conversation",
    "unmappable",
]

CacheHint = Mapping[str, Any]
"""Anthropic's `cache_control`; other vendors cache by themselves."""


@dataclass(frozen=True, slots=True)
class Inline:
    """Content inside the request; `data` is base64 without `data:`."""

    media_type: str
    data: str


@dataclass(frozen=True, slots=True)
class Linked:
    url: str


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    cache: CacheHint | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """`detail` is OpenAI's: how closely to look."""

    source: Inline | Linked
    path: str
    cache: CacheHint | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    source: Inline
    path: str
    name: str | None = None
    cache: CacheHint | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """`source.media_type` is `audio/wav`, `audio/mp3` and so on."""

    source: Inline
    path: str


Part = Text | Image | Document | Audio
"""`path` is where it stands in the request, for errors."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """`signature` is what the vendor wants back with the call.

    `text` is the arguments as the caller wrote them: a prompt cache matches letters. `state` is what rode in the id;
    callers can forge it.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    signature: str | None = None
    text: str = "{}"
    state: Mapping[str, Any] | None = None
    cache: CacheHint | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    id: str
    name: str
    parts: tuple[Part, ...]
    is_error: bool = False
    cache: CacheHint | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(slots=True)
class User:
    results: list[ToolResult] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)


@dataclass(slots=True)
class Assistant:
    """`thinking` holds Anthropic's thinking blocks as it wrote them, in order."""

    thinking: list[dict[str, Any]] = field(default_factory=list)
    parts: list[Text] = field(default_factory=list)
    calls: list[ToolUse] = field(default_factory=list)


@dataclass(slots=True)
class System:
    """A system message in the middle."""

    parts: list[Text] = field(default_factory=list)


Turn = User | Assistant | System
_Kind = TypeVar("_Kind", User, Assistant, System)


@dataclass(slots=True)
class Conversation:
    system: list[Text] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)


class UnmappableError(ValueError):
    """A part that this vendor or model cannot be given; never leaves the adapter."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"`{path}`: {why}")


def unmappable(flaw: UnmappableError) -> ProviderError:
    return ProviderError(ErrorKind.INVALID_REQUEST, code="unsupported_content", message=str(flaw))


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


_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.=+-]+)*;base64,", re.IGNORECASE)
_TEXT_PARTS = {"text": "text", "refusal": "refusal", "input_text": "text", "output_text": "text"}
_NEEDS: dict[type, str] = {Image: "image", Document: "pdf", Audio: "audio"}


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
            turn.parts.append(Text(_string(path, message, "refusal")))
        calls = message.get("tool_calls") or []
        turn.thinking += self._thinking(path, message, calls)
        for index, call in enumerate(calls):
            turn.calls.append(self._call(f"{path}.tool_calls.{index}", call))
        self._asked_at = path

    def _call(self, path: str, call: Mapping[str, Any]) -> ToolUse:
        function = call.get("function")
        if not isinstance(function, Mapping):
            raise UnmappableError(path, "only calls of functions are taken")
        sealed = unseal(_word(call, "id"))
        arguments = _arguments(path, function)
        use = ToolUse(
            sealed.text,
            _word(function, "name"),
            arguments,
            self._signature(call, sealed),
            _text_of(function, arguments),
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
        elif _contents(known) != _contents(result):
            raise UnmappableError(path, f"tool call `{id}` has two different results")

    def _signature(self, call: Mapping[str, Any], sealed: Sealed) -> str | None:
        """What the client echoed with the call, else what rode in its id."""
        if self._owner is None:
            return None
        google = _within(_within(call, "extra_content"), "google")
        if said := _word(google, "thought_signature"):
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
            sealed = unseal(_word(calls[0], "id"))
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
        parts = [_part(f"{path}.{index}", part) for index, part in enumerate(content)]
        for part in parts:
            self._check_taken(part)
        parts = [part for part in parts if not isinstance(part, Text) or part.text]
        return parts if hint is None or message["role"] == "tool" else _marked(parts, hint)

    def _check_taken(self, part: Part) -> None:
        need = _NEEDS.get(type(part))
        if need is not None and need not in self._inputs and not isinstance(part, Text):
            raise UnmappableError(part.path, f"this model takes no {need} parts")


def _marked(parts: list[Part], hint: CacheHint) -> list[Part]:
    """A message's own hint reaches to its end: it is that of its last part."""
    if not parts or isinstance(parts[-1], Audio) or parts[-1].cache is not None:
        return parts
    return [*parts[:-1], replace(parts[-1], cache=hint)]


def _part(path: str, part: Mapping[str, Any]) -> Part:
    kind, hint = part["type"], part.get("cache_control")
    if kind in _TEXT_PARTS:
        return Text(_string(path, part, _TEXT_PARTS[kind]), hint)
    if kind == "image_url":
        image = part["image_url"]
        return Image(_image_source(path, image["url"]), path, hint, image.get("detail"))
    if kind == "file":
        return _document(path, _mapping(path, part, "file"), hint)
    if kind == "input_audio":
        audio = _mapping(path, part, "input_audio")
        return Audio(Inline(f"audio/{_string(path, audio, 'format')}", _string(path, audio, "data")), path)
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


def _arguments(path: str, function: Mapping[str, Any]) -> dict[str, Any]:
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


def _text_of(function: Mapping[str, Any], arguments: dict[str, Any]) -> str:
    said = function.get("arguments")
    return said if isinstance(said, str) and said.strip() else dumps(arguments).decode()


def _contents(result: ToolResult) -> list[object]:
    """What a result says, wherever it stands."""
    return [part if isinstance(part, Text) else part.source for part in result.parts]


def objects_in(state: object, name: str) -> list[dict[str, Any]]:
    """What a seal holds under a name; a forged one may hold anything."""
    found = state.get(name) if isinstance(state, Mapping) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _within(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = holder.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _word(holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def _string(path: str, holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise UnmappableError(path, f"`{name}` must be a string")
    return value


def _mapping(path: str, holder: Mapping[str, Any], name: Literal["file", "input_audio"]) -> Mapping[str, Any]:
    value = holder.get(name)
    if not isinstance(value, Mapping):
        raise UnmappableError(path, f"`{name}` must be an object")
    return value
