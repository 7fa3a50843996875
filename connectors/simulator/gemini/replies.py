"""An `Answer` in Gemini's words: one body, or whole bodies as pieces of a stream, each with the usage so far."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, NamedTuple

import orjson

from connectors.simulator import tokens
from connectors.simulator.ask import Answer, Choice, ToolCall
from connectors.simulator.delivery import Frame
from connectors.simulator.gemini import signatures

Json = dict[str, Any]

_FINISH = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
# Endings after which nothing of the answer is left.
_VOID = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "PROHIBITED_CONTENT",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    }
)
# Endings after which half of the text is there.
FILTERS = frozenset({"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "SPII", "ESCALATION", "MODEL_ARMOR", "OTHER"})
_UNSAFE = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
_MADE_UP_TOKENS = (" the", " a", " of", " and", " to")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What every body and piece of one answer repeats, and what the caller wants to see.

    Attributes:
        thoughts: Tokens of the thinking per candidate, when it is to be shown.
        signs: Calls have ids, and the first one a signature.
        top_logprobs: Alternatives to show per token; None for no probabilities at all.
        finish: The reason to end with, when one was wished for.
    """

    id: str
    model: str
    version: str
    thoughts: Sequence[list[int]] = ()
    signs: bool = False
    top_logprobs: int | None = None
    finish: str = ""
    show_usage: bool = True

    def body(self, candidates: list[Json], used: Json) -> Json:
        usage = {"usageMetadata": used} if self.show_usage else {}
        return {"candidates": candidates, **usage, "modelVersion": self.version, "responseId": self.id}


class _Step(NamedTuple):
    """Parts that come together; `ids` are the tokens of their text."""

    parts: list[Json]
    tokens: int = 0
    ids: Sequence[int] = ()


def ended(answer: Answer, finish: str) -> Answer:
    """The answer as the ending leaves it: nothing but the thinking, for endings that are void."""
    if finish not in _VOID:
        return answer
    left = [
        replace(choice, text=None, ids=[], calls=(), refusal=None, output_tokens=choice.reasoning_tokens)
        for choice in answer.choices
    ]
    return replace(answer, choices=tuple(left))


def usage(answer: Answer, shown: int) -> Json:
    """Tokens so far, when `shown` visible ones are out; protobuf leaves zeros out."""
    counts = {
        "promptTokenCount": answer.input_tokens,
        "candidatesTokenCount": shown,
        "totalTokenCount": answer.input_tokens + shown + answer.reasoning_tokens,
        "cachedContentTokenCount": answer.cache_read_tokens,
        "thoughtsTokenCount": answer.reasoning_tokens,
    }
    return {name: count for name, count in counts.items() if count}


def whole(answer: Answer, envelope: Envelope) -> bytes:
    """The body of an unstreamed answer."""
    candidates = [_whole_candidate(choice, position, envelope) for position, choice in enumerate(answer.choices)]
    return orjson.dumps(envelope.body(candidates, usage(answer, _visible(answer))))


def blocked(prompt_tokens: int, envelope: Envelope) -> bytes:
    """The body when the prompt itself is refused: no candidates."""
    used = {"promptTokenCount": prompt_tokens, "totalTokenCount": prompt_tokens}
    body = envelope.body([], used) | {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    del body["candidates"]
    return orjson.dumps(body)


def _visible(answer: Answer) -> int:
    return answer.output_tokens - answer.reasoning_tokens


def _whole_candidate(choice: Choice, position: int, envelope: Envelope) -> Json:
    steps = [_Step(_thinking(position, envelope)), _Step(_text(choice)), *_calls(choice, envelope, apart=False)]
    parts = [part for step in steps for part in step.parts]
    return _candidate(parts, position) | _logprobs(choice.ids, envelope) | _ending(choice, envelope)


def _candidate(parts: list[Json], position: int) -> Json:
    content = {"content": {"parts": parts, "role": "model"}} if parts else {}
    return {**content, "index": position}


def _thinking(position: int, envelope: Envelope) -> list[Json]:
    ids = envelope.thoughts[position] if envelope.thoughts else []
    return [{"text": tokens.decode(ids), "thought": True}] if ids else []


def _text(choice: Choice) -> list[Json]:
    return [{"text": choice.text}] if choice.text else []


def _calls(choice: Choice, envelope: Envelope, *, apart: bool) -> Iterator[_Step]:
    """The calls, each in a step of its own or all in one; one whose arguments were cut off is not there at all."""
    steps = [
        _Step([_call(call, position, envelope)], tokens.count(call.arguments))
        for position, call in enumerate(choice.calls)
        if _is_object(call.arguments)
    ]
    if apart or not steps:
        yield from steps
    else:
        yield _Step([part for step in steps for part in step.parts], sum(step.tokens for step in steps))


def _is_object(arguments: str) -> bool:
    try:
        return isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        return False


def _call(call: ToolCall, position: int, envelope: Envelope) -> Json:
    said = {"name": call.name, "args": orjson.loads(call.arguments)}
    if not envelope.signs:
        return {"functionCall": said}
    part: Json = {"functionCall": {"id": call.id[5:11] + call.id[-2:], **said}}
    if position == 0:
        part["thoughtSignature"] = signatures.sign(envelope.model, call.name, call.id)
    return part


def _ending(choice: Choice, envelope: Envelope) -> Json:
    reason = envelope.finish or _FINISH[choice.finish]
    ending: Json = {"finishReason": reason}
    if reason == "SAFETY":
        ending["safetyRatings"] = [_UNSAFE]
    if reason == "MALFORMED_FUNCTION_CALL":
        ending["finishMessage"] = "Malformed function call: print(default_api.call("
    if envelope.top_logprobs is not None and choice.ids:
        ending["avgLogprobs"] = sum(map(_logprob, choice.ids)) / len(choice.ids)
    return ending


# -- probabilities


def _logprob(token: int) -> float:
    """Made up and plausible: a function of the token, so that streams and bodies agree."""
    return -(token % 97) / 100


def _logprobs(ids: Sequence[int], envelope: Envelope) -> Json:
    if envelope.top_logprobs is None or not ids:
        return {}
    rows = [_ranked(text, part[0]) for text, part in tokens.pieces(list(ids), random.Random(0), most=1)]
    result: Json = {"chosenCandidates": [row[0] for row in rows]}
    if envelope.top_logprobs:
        result["topCandidates"] = [{"candidates": row[: envelope.top_logprobs]} for row in rows]
    return {"logprobsResult": result}


def _ranked(text: str, token: int) -> list[Json]:
    first = _logprob(token)
    others = ((word, rank, first - 1 - rank) for rank, word in enumerate(_MADE_UP_TOKENS))
    return [
        {"token": word, "tokenId": number, "logProbability": value}
        for word, number, value in ((text, token, first), *others)
    ]


# -- streamed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How an answer falls into pieces.

    Attributes:
        rng: Decides the sizes.
        most: Tokens in the largest piece of text.
        late_finish: The finish reason comes in a piece of its own, after all content.
        listed: One JSON array instead of events.
    """

    rng: random.Random
    most: int
    late_finish: bool
    listed: bool


def frames(answer: Answer, envelope: Envelope, cut: Cut) -> Iterator[Frame]:
    """Thinking, text, calls, finish per candidate, candidates in turns."""
    bodies = list(_bodies(answer, envelope, cut))
    if not cut.listed:
        yield from (Frame(_event(body), size) for body, size in bodies)
        return
    yield Frame(b"[")
    for position, (body, size) in enumerate(bodies, start=1):
        yield Frame(body + (b",\r\n" if position < len(bodies) else b"\n"), size)
    yield Frame(b"]\n")


def error_frame(body: bytes, *, listed: bool) -> bytes:
    """A failure after the start."""
    flat = orjson.dumps(orjson.loads(body))
    return flat + b"\n]\n" if listed else _event(flat)


def blocked_frames(body: bytes, *, listed: bool) -> bytes:
    """The whole stream of a prompt that is refused."""
    return b"[" + body + b"\n]\n" if listed else _event(body)


def _event(body: bytes) -> bytes:
    return b"data: " + body + b"\r\n\r\n"


def _bodies(answer: Answer, envelope: Envelope, cut: Cut) -> Iterator[tuple[bytes, int]]:
    lanes = [list(_pieces(choice, position, envelope, cut)) for position, choice in enumerate(answer.choices)]
    ordered = [piece for turn in zip_longest(*lanes) for piece in turn if piece is not None]
    shown = 0
    for position, (candidate, size) in enumerate(ordered, start=1):
        shown = _visible(answer) if position == len(ordered) else shown + size
        yield orjson.dumps(envelope.body([candidate], usage(answer, shown))), size


def _pieces(choice: Choice, position: int, envelope: Envelope, cut: Cut) -> Iterator[tuple[Json, int]]:
    steps = list(_steps(choice, position, envelope, cut))
    if not steps:  # nothing to say: the reason stands alone
        yield _candidate([], position) | _ending(choice, envelope), 0
        return
    if cut.late_finish:
        steps.append(_Step([{"text": ""}]))
    for at, step in enumerate(steps, start=1):
        ending = _ending(choice, envelope) if at == len(steps) else {}
        yield _candidate(step.parts, position) | _logprobs(step.ids, envelope) | ending, step.tokens


def _steps(choice: Choice, position: int, envelope: Envelope, cut: Cut) -> Iterator[_Step]:
    thoughts = list(envelope.thoughts[position]) if envelope.thoughts else []
    for text, _ in tokens.pieces(thoughts, cut.rng, most=4 * cut.most):
        yield _Step([{"text": text, "thought": True}])
    for text, ids in tokens.pieces(choice.ids, cut.rng, most=cut.most):
        yield _Step([{"text": text}], len(ids), ids)
    yield from _calls(choice, envelope, apart=cut.rng.random() < 0.5)
