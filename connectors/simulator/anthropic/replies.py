"""An `Answer` in Anthropic's words: one body, or the same content as server-sent events."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.simulator import tokens
from connectors.simulator.ask import Answer, Choice, ToolCall
from connectors.simulator.delivery import Frame
from connectors.simulator.prompt_cache import CacheUse

Json = dict[str, Any]

_FIVE_MINUTES_S, _HOUR_S = 300, 3_600
_FIRST_OUTPUT_TOKENS = 1  # what the vendor's first event claims; the last one counts
_FILTERED = "The answer was stopped by a safety classifier (simulated)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """The thinking block of an answer; `redacted` carries all of a redacted one."""

    ids: list[int]
    signature: str = ""
    redacted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What an answer's body has besides the answer; `finish` replaces the true stop reason."""

    id: str
    model: str
    cache: CacheUse
    thinking: Thinking | None = None
    finish: str = ""
    show_usage: bool = True


def whole(answer: Answer, envelope: Envelope) -> bytes:
    """The body of an unstreamed answer."""
    choice = answer.choices[0]
    content = [] if choice.refusal else [_whole_block(part) for part in _parts(choice, envelope)]
    return orjson.dumps(_head(envelope) | {"content": content} | _ending(choice, envelope) | _usage(answer, envelope))


def _head(envelope: Envelope) -> Json:
    return {"id": envelope.id, "type": "message", "role": "assistant", "model": envelope.model}


def _ending(choice: Choice, envelope: Envelope) -> Json:
    reason = envelope.finish or _stop_reason(choice)
    details = {"type": "refusal", "category": "general_harms", "explanation": choice.refusal or _FILTERED}
    return {
        "stop_reason": reason,
        "stop_sequence": choice.stopped_by or None,
        "stop_details": details if reason == "refusal" else None,
    }


def _stop_reason(choice: Choice) -> str:
    if choice.refusal or choice.finish == "content_filter":
        return "refusal"
    if choice.finish == "length":
        return "max_tokens"
    if choice.calls:
        return "tool_use"
    return "stop_sequence" if choice.stopped_by else "end_turn"


def _input_usage(answer: Answer, envelope: Envelope) -> Json:
    cache = envelope.cache
    return {
        "input_tokens": answer.input_tokens - cache.total,
        "cache_creation_input_tokens": sum(cache.written.values()),
        "cache_read_input_tokens": cache.read,
    }


def _output_usage(answer: Answer) -> Json:
    details = {"thinking_tokens": answer.reasoning_tokens}
    return {"output_tokens": answer.output_tokens, "output_tokens_details": details}


def _opening_usage(answer: Answer, envelope: Envelope) -> Json:
    written = envelope.cache.written
    return _input_usage(answer, envelope) | {
        "cache_creation": {
            "ephemeral_5m_input_tokens": written.get(_FIVE_MINUTES_S, 0),
            "ephemeral_1h_input_tokens": written.get(_HOUR_S, 0),
        },
        "output_tokens": _FIRST_OUTPUT_TOKENS,
        "service_tier": "standard",
    }


def _usage(answer: Answer, envelope: Envelope) -> Json:
    return {"usage": _opening_usage(answer, envelope) | _output_usage(answer)} if envelope.show_usage else {}


# -- content blocks


@dataclass(frozen=True, slots=True)
class _Text:
    ids: list[int]


_Part = Thinking | _Text | ToolCall


def _parts(choice: Choice, envelope: Envelope) -> Iterator[_Part]:
    if envelope.thinking:
        yield envelope.thinking
    if choice.ids:
        yield _Text(choice.ids)
    yield from choice.calls


def _whole_block(part: _Part) -> Json:
    match part:
        case Thinking(redacted=data) if data:
            return {"type": "redacted_thinking", "data": data}
        case Thinking():
            return {"type": "thinking", "thinking": tokens.decode(part.ids) or "", "signature": part.signature}
        case _Text():
            return {"type": "text", "text": tokens.decode(part.ids) or ""}
        case ToolCall():
            return {"type": "tool_use", "id": _call_id(part), "name": part.name, "input": _input(part)}


def _call_id(call: ToolCall) -> str:
    return "toolu_01" + call.id.removeprefix("call_")


def _input(call: ToolCall) -> Json:
    """The arguments as an object; empty where the token limit cut them, streamed or not."""
    try:
        value = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


# -- streamed


@dataclass(frozen=True, slots=True)
class _Cutter:
    rng: random.Random
    most: int

    def cut(self, ids: list[int]) -> Iterator[tuple[str, int]]:
        for text, part in tokens.pieces(ids, self.rng, most=self.most):
            yield text, len(part)


def frames(answer: Answer, envelope: Envelope, rng: random.Random, *, most: int) -> Iterator[Frame]:
    """`message_start`, the blocks one after the other, `message_delta`, `message_stop`.

    Args:
        answer: What to say.
        envelope: What the message has besides.
        rng: Decides the sizes of the pieces.
        most: Tokens in the largest piece.
    """
    choice, cutter = answer.choices[0], _Cutter(rng, most)
    opening: Json = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    if envelope.show_usage:
        opening["usage"] = _opening_usage(answer, envelope)
    yield _frame("message_start", {"message": _head(envelope) | opening})
    for index, part in enumerate(() if choice.refusal else _parts(choice, envelope)):
        yield _frame("content_block_start", {"index": index, "content_block": _empty_block(part)})
        if index == 0:
            yield _frame("ping", {})
        for delta, size in _deltas(part, cutter):
            yield _frame("content_block_delta", {"index": index, "delta": delta}, size)
        yield _frame("content_block_stop", {"index": index})
    closing: Json = {"delta": _ending(choice, envelope)}
    if envelope.show_usage:
        closing["usage"] = _input_usage(answer, envelope) | _output_usage(answer)
    yield _frame("message_delta", closing)
    yield _frame("message_stop", {})


def _frame(event: str, fields: Json, size: int = 0) -> Frame:
    return Frame(f"event: {event}\ndata: ".encode() + orjson.dumps({"type": event, **fields}) + b"\n\n", size)


def _empty_block(part: _Part) -> Json:
    block = _whole_block(part)
    match part:
        case Thinking(redacted=data) if data:
            return block
        case Thinking():
            return block | {"thinking": "", "signature": ""}
        case _Text():
            return block | {"text": ""}
        case ToolCall():
            return block | {"input": {}}


def _deltas(part: _Part, cutter: _Cutter) -> Iterator[tuple[Json, int]]:
    match part:
        case Thinking():
            for text, size in cutter.cut(part.ids):
                yield {"type": "thinking_delta", "thinking": text}, size
            if part.signature:
                yield {"type": "signature_delta", "signature": part.signature}, 0
        case _Text():
            for text, size in cutter.cut(part.ids):
                yield {"type": "text_delta", "text": text}, size
        case ToolCall():
            yield {"type": "input_json_delta", "partial_json": ""}, 0
            ids = tokens.encode(part.arguments) if _input(part) else []
            for text, size in cutter.cut(ids):
                yield {"type": "input_json_delta", "partial_json": text}, size
