"""Folds the blocks of a message into a Completion, streamed or whole.

A block is opened, grows and is closed; a whole answer goes the same way block by block, so both end in the same
Completion. Each step returns the delta that a caller may be sent, {} where there is none. Thinking goes out as reasoning
text at once and as a block with its sealed signature when it is closed; the first tool call takes the blocks along in
its id, for clients that echo nothing else (`seals`). A block of a kind we have no form for is an error, never dropped.
"""

from dataclasses import dataclass, field
from typing import Any

from connectors.providers.adapter import Estimate, ProviderCall
from connectors.providers.answer import ChoiceFold, made_id
from connectors.providers.anthropic.usage import TokenCounts
from connectors.providers.error_bodies import malformed
from connectors.providers.reply import MalformedReplyError, expect
from connectors.providers.wire_json import dumps
from schemas.completion import Choice, Completion, FinishReason, Usage
from schemas.errors import ErrorKind, ProviderError
from schemas.seals import seal, seal_id

__all__ = ["MessageFold"]

_FINISH: dict[str, FinishReason | ErrorKind] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": ErrorKind.PROVIDER_FAULT,  # only tools that run at Anthropic pause, and none are asked for
}


@dataclass(slots=True)
class _Text:
    pass


@dataclass(slots=True)
class _Thinking:
    text: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Redacted:
    data: str


@dataclass(slots=True)
class _Call:
    at: int


_Block = _Text | _Thinking | _Redacted | _Call


class MessageFold:
    """One answer while it comes in; every method may raise MalformedReplyError."""

    def __init__(self, call: ProviderCall, estimate: Estimate) -> None:
        self._call = call
        self._estimate = estimate
        self._owner = f"anthropic/{call.upstream}"
        self._choice = ChoiceFold()
        self._open: dict[int, _Block] = {}
        self._thinking: list[dict[str, Any]] = []  # as the vendor wrote them
        self._counts = TokenCounts()
        self._stop_reason: str | None = None
        self._vendor_id = ""
        self._vendor_model = ""

    @property
    def is_finished(self) -> bool:
        return self._stop_reason is not None

    def whole(self, message: dict[str, Any]) -> None:
        self.note(message)
        for index, block in enumerate(expect(message.get("content") or [], list, "content")):
            self.open(index, block)
            self.close(index)
        self.end(message, message.get("usage"))

    def note(self, message: dict[str, Any]) -> None:
        """What stands around the content."""
        self._vendor_id = _text(message, "id")
        self._vendor_model = _text(message, "model")
        self._counts.take(message.get("usage"), final=False)

    def open(self, index: int, block: Any) -> dict[str, Any]:
        expect(block, dict, "a block of the content")
        if index in self._open:
            raise MalformedReplyError("two blocks of the content have the same index")
        if block.get("citations"):
            raise MalformedReplyError("the answer holds citations, which cannot be passed on")
        match block.get("type"):
            case "text":
                self._open[index] = _Text()
                return self._choice.text(_text(block, "text"))
            case "thinking":
                thinking = self._open[index] = _Thinking()
                return self._think(thinking, block)
            case "redacted_thinking":
                self._open[index] = _Redacted(_text(block, "data"))
                return {}
            case "tool_use":
                return self._call_tool(index, block)
            case _:
                raise MalformedReplyError("the answer holds a block that cannot be passed on")

    def grow(self, index: int, piece: Any) -> dict[str, Any]:
        expect(piece, dict, "a delta")
        match piece.get("type"), self._open.get(index):
            case "text_delta", _Text():
                return self._choice.text(_text(piece, "text"))
            case "thinking_delta" | "signature_delta", _Thinking() as thinking:
                return self._think(thinking, piece)
            case "input_json_delta", _Call(at):
                return self._choice.arguments(at, _text(piece, "partial_json"))
            case _:
                raise MalformedReplyError("the answer holds a delta that cannot be passed on")

    def close(self, index: int) -> dict[str, Any]:
        match self._open.pop(index, None):
            case _Thinking(text, signature) if signature:
                return self._thought({"type": "thinking", "thinking": "".join(text)}, "signature", "".join(signature))
            case _Redacted(data) if data:
                return self._thought({"type": "redacted_thinking"}, "data", data)
            case _Call(at):
                return self._choice.end_call(at)
            case _:
                return {}

    def close_all(self) -> list[dict[str, Any]]:
        return [self.close(index) for index in list(self._open)]

    def end(self, ending: dict[str, Any], usage: Any) -> dict[str, Any]:
        """Takes `stop_reason` and what belongs to it, and the last numbers."""
        self._counts.take(usage, final=True)
        self._stop_reason = _text(ending, "stop_reason") or self._stop_reason
        details = ending.get("stop_details")
        if self._stop_reason != "refusal" or not isinstance(details, dict):
            return {}
        return self._choice.refusal(_text(details, "explanation"))

    def completion(self) -> Completion | ProviderError:
        if self._stop_reason is None:
            return malformed("the answer has no stop reason")
        finish = self._finish(self._stop_reason)
        if isinstance(finish, ProviderError):
            return finish
        choice = self._choice.done(finish)
        return Completion([choice], self._usage(choice), self._vendor_id, self._vendor_model)

    def usage_so_far(self) -> Usage | None:
        return self._usage(self._choice.done("stop")) if self._choice.has_started else None

    def _usage(self, choice: Choice) -> Usage:
        counted = self._counts.usage()
        if counted is not None:
            return counted
        guessed = self._estimate(self._call, [choice])
        return self._counts.usage(guessed) or guessed

    def _finish(self, reason: str) -> FinishReason | ProviderError:
        """One of the four; a reason that we do not know counts as `stop` if there is content."""
        meant = _FINISH.get(reason) or ("stop" if self._choice.has_content else ErrorKind.PROVIDER_FAULT)
        if isinstance(meant, ErrorKind):
            return ProviderError(meant, code="bad_finish_reason", message="the provider gave up on the answer")
        if meant == "tool_calls" and not self._choice.calls:
            return "stop" if self._choice.has_content else malformed("the answer promises tool calls and has none")
        return "tool_calls" if meant == "stop" and self._choice.calls else meant

    def _think(self, thinking: _Thinking, said: dict[str, Any]) -> dict[str, Any]:
        text, signature = _text(said, "thinking"), _text(said, "signature")
        if text:
            thinking.text.append(text)
        if signature:
            thinking.signature.append(signature)
        return self._choice.reasoning(text)

    def _thought(self, block: dict[str, Any], key: str, signature: str) -> dict[str, Any]:
        self._thinking.append({**block, key: signature})
        return self._choice.thinking_block({**block, key: seal(signature, self._owner)})

    def _call_tool(self, index: int, block: dict[str, Any]) -> dict[str, Any]:
        name = _text(block, "name")
        if not name:
            raise MalformedReplyError("a tool call has no name")
        at = self._choice.calls
        self._open[index] = _Call(at)
        given = expect(block.get("input") or {}, dict, "the input of a tool")
        return self._choice.call(self._id(block, at), name, dumps(given).decode() if given else "")

    def _id(self, block: dict[str, Any], at: int) -> str:
        messages = len(self._call.body.get("messages") or ())
        id = _text(block, "id") or made_id(self._vendor_id, self._call.upstream, messages, at)
        return seal_id(id, self._owner, {"thinking": self._thinking}) if self._thinking and at == 0 else id


def _text(holder: dict[str, Any], name: str) -> str:
    """A string; null is none."""
    value = holder.get(name)
    return "" if value is None else str(expect(value, str, f"`{name}`"))
