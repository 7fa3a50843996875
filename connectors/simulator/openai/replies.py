"""An `Answer` in OpenAI's words: one body, or the same content as server-sent events."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import orjson

from connectors.simulator import tokens
from connectors.simulator.ask import Answer, Choice
from connectors.simulator.delivery import Frame

Json = dict[str, Any]

DONE = Frame(b"data: [DONE]\n\n")
_MADE_UP_TOKENS = (" the", " a", " of", " and", " to")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every body and chunk of one answer repeats, and what the caller wants to see."""

    id: str
    created: int
    model: str
    logprobs: bool = False
    top_logprobs: int = 0
    show_usage: bool = True

    def head(self, kind: str) -> Json:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        }


def usage(answer: Answer) -> Json:
    spent = answer.output_tokens
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": spent,
        "total_tokens": answer.input_tokens + spent,
        "prompt_tokens_details": {"cached_tokens": answer.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def whole(answer: Answer, envelope: Envelope) -> bytes:
    """The body of an unstreamed answer."""
    return orjson.dumps(completion(answer, envelope))


def completion(answer: Answer, envelope: Envelope) -> Json:
    """The same as an object."""
    body = envelope.head("chat.completion")
    body["choices"] = [_whole_choice(choice, position, envelope) for position, choice in enumerate(answer.choices)]
    if envelope.show_usage:
        body["usage"] = usage(answer)
    return body


def _whole_choice(choice: Choice, position: int, envelope: Envelope) -> Json:
    message: Json = {"role": "assistant", "content": choice.text, "refusal": choice.refusal, "annotations": []}
    if choice.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in choice.calls
        ]
    return {
        "index": position,
        "message": message,
        "logprobs": _logprobs(choice.ids, envelope),
        "finish_reason": choice.finish,
    }


def _logprobs(ids: list[int], envelope: Envelope) -> Json | None:
    """Made-up, plausible probabilities: a function of the token, so that streams and bodies agree."""
    if not envelope.logprobs or not ids:
        return None
    return {"content": probabilities(ids, envelope.top_logprobs), "refusal": None}


def probabilities(ids: list[int], top: int) -> list[Json]:
    """One row per token, each with its `top` alternatives."""
    return [_logprob(text, part, top) for text, part in tokens.pieces(ids, random.Random(0), most=1)]


def _logprob(text: str, ids: list[int], top: int) -> Json:
    first = -(ids[0] % 97) / 100
    ranked = [(text, first), *((other, first - 1 - rank) for rank, other in enumerate(_MADE_UP_TOKENS))]
    rows = [{"token": word, "logprob": value, "bytes": list(word.encode())} for word, value in ranked]
    return rows[0] | {"top_logprobs": rows[:top]}


# -- streamed


@dataclass(frozen=True, slots=True)
class _Cutter:
    rng: random.Random
    most: int

    def cut(self, ids: list[int]) -> Iterator[tuple[str, list[int]]]:
        return tokens.pieces(ids, self.rng, most=self.most)


def frames(answer: Answer, envelope: Envelope, rng: random.Random, *, most: int) -> Iterator[Frame]:
    """The chunks as events, then `[DONE]`; arguments as those of `chunks`."""
    for chunk, size in chunks(answer, envelope, rng, most=most):
        yield frame(chunk, size)
    yield DONE


def chunks(answer: Answer, envelope: Envelope, rng: random.Random, *, most: int) -> Iterator[tuple[Json, int]]:
    """Role, content, finish per choice, choices in turns; then usage if it was asked for; each with its tokens.

    Args:
        answer: What to say.
        envelope: What every chunk repeats.
        rng: Decides the sizes of the pieces.
        most: Tokens in the largest piece.
    """
    head = envelope.head("chat.completion.chunk")
    # With include_usage every chunk has the key, null until the last one.
    tail = {"usage": None} if envelope.show_usage else {}
    lanes = (_steps(choice, position, envelope, _Cutter(rng, most)) for position, choice in enumerate(answer.choices))
    for turn in zip_longest(*lanes):
        for step in filter(None, turn):
            yield {**head, "choices": [step[0]], **tail}, step[1]
    if envelope.show_usage:
        yield {**head, "choices": [], "usage": usage(answer)}, 0


def frame(chunk: Json, size: int = 0) -> Frame:
    """A chunk as an event."""
    return Frame(b"data: " + orjson.dumps(chunk) + b"\n\n", size)


def _steps(choice: Choice, position: int, envelope: Envelope, cutter: _Cutter) -> Iterator[tuple[Json, int]]:
    opening: Json = {"role": "assistant", "content": None if choice.calls else "", "refusal": None}
    yield _step(position, opening), 0
    for delta, ids in _deltas(choice, cutter):
        size = len(ids) or 1
        probabilities = _logprobs(ids, envelope) if "content" in delta else None
        yield _step(position, delta, logprobs=probabilities), size
    yield _step(position, {}, finish=choice.finish), 0


def _step(position: int, delta: Json, *, logprobs: Json | None = None, finish: str | None = None) -> Json:
    return {"index": position, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _deltas(choice: Choice, cutter: _Cutter) -> Iterator[tuple[Json, list[int]]]:
    for text, ids in cutter.cut(choice.ids):
        yield {"content": text}, ids
    for text, ids in cutter.cut(tokens.encode(choice.refusal or "")):
        yield {"refusal": text}, ids
    for index, call in enumerate(choice.calls):
        opened = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": opened}]}, []
        for text, ids in cutter.cut(tokens.encode(call.arguments)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": text}}]}, ids
