"""The answer to one request as a compatible server writes it: OpenAI's, plainer, then with its quirks."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from connectors.simulator import content, tokens
from connectors.simulator.ask import Answer
from connectors.simulator.compatible import errors, quirks
from connectors.simulator.compatible.quirks import Chunk, Json
from connectors.simulator.compatible.requests import Understood
from connectors.simulator.delivery import Frame, Reply
from connectors.simulator.faults import Fault
from connectors.simulator.openai import replies
from connectors.simulator.openai.chat import fails
from connectors.simulator.openai.journey import JSON, Attempt

_WRONG_SHAPE = b'{"object":"chat.completion","choices":[{}]}'
_ONLY_AT_OPENAI = ("service_tier", "system_fingerprint")


@dataclass(frozen=True, slots=True)
class CompatibleSpelling:
    """One request's answer; see `openai.journey.Spelling`."""

    said: Understood

    def instead(self, fault: Fault, attempt: Attempt) -> Reply | None:
        if fault.kind == "wrong_shape":
            return Reply(200, {**attempt.headers, "content-type": JSON}, _WRONG_SHAPE)
        return errors.fault_reply(fault, attempt.headers) if fails(fault, stream=self.said.ask.stream) else None

    def whole(self, answer: Answer, attempt: Attempt, fault: Fault) -> bytes:
        body = _plain(replies.completion(answer, self._envelope(attempt, fault)))
        for position, choice in enumerate(body["choices"]):
            if thought := tokens.decode(self._thoughts(answer, attempt, position)):
                choice["message"]["reasoning_content"] = thought
        return orjson.dumps(quirks.on_body(body, self.said.quirks))

    def frames(
        self, answer: Answer, attempt: Attempt, fault: Fault, *, rng: random.Random, most: int
    ) -> Iterator[Frame]:
        chunks = list(self._chunks(answer, attempt, fault, rng=rng, most=most))
        odd = self.said.quirks
        for chunk, size in quirks.on_chunks(chunks, _plain_usage(replies.usage(answer)), odd):
            frame = replies.frame(chunk, size)
            yield Frame(quirks.on_event(frame.data, odd), size)
        if "no_done" not in odd:
            yield Frame(quirks.on_event(replies.DONE.data, odd))

    def error(self, sent: int) -> bytes:
        return quirks.on_event(errors.stream_error(), self.said.quirks)

    def _chunks(
        self, answer: Answer, attempt: Attempt, fault: Fault, *, rng: random.Random, most: int
    ) -> Iterator[Chunk]:
        """OpenAI's chunks made plain; behind each choice's first one its thoughts."""
        for said, size in replies.chunks(answer, self._envelope(attempt, fault), rng, most=most):
            chunk = _plain(said)
            yield chunk, size
            for choice in chunk["choices"]:
                if "role" in choice["delta"]:
                    ids = self._thoughts(answer, attempt, choice["index"])
                    yield from _thinking_aloud(chunk, choice, ids, rng=rng, most=most)

    def _thoughts(self, answer: Answer, attempt: Attempt, position: int) -> list[int]:
        size = answer.choices[position].reasoning_tokens
        return content.thoughts(self.said.ask, attempt.draw.stream(f"thought {position}"), size) if size else []

    def _envelope(self, attempt: Attempt, fault: Fault) -> replies.Envelope:
        ask, body = self.said.ask, self.said.body
        wanted = not ask.stream or bool((body.get("stream_options") or {}).get("include_usage"))
        return replies.Envelope(
            id="chatcmpl-" + attempt.draw.hex("answer", 32),
            created=attempt.created,
            model=ask.model.snapshot,
            logprobs=body.get("logprobs", False),
            top_logprobs=body.get("top_logprobs", 0),
            show_usage=wanted and fault.kind != "no_usage",
        )


def _thinking_aloud(chunk: Json, choice: Json, ids: list[int], *, rng: random.Random, most: int) -> Iterator[Chunk]:
    for text, part in tokens.pieces(ids, rng, most=most):
        said = {"index": choice["index"], "delta": {"reasoning_content": text}, "finish_reason": None}
        yield chunk | {"choices": [said]}, len(part)


def _plain(body: Json) -> Json:
    """Without what only OpenAI says."""
    body = {name: value for name, value in body.items() if name not in _ONLY_AT_OPENAI}
    for choice in body["choices"]:
        part = choice["delta"] if "delta" in choice else choice["message"]
        part.pop("annotations", None)
        for name in ("refusal", "content"):
            if name in part and part[name] is None and (name == "refusal" or "delta" in choice):
                del part[name]
        if choice.get("logprobs") is None:
            choice.pop("logprobs", None)
    usage = body.get("usage")
    return body | {"usage": _plain_usage(usage)} if usage else {k: v for k, v in body.items() if k != "usage"}


def _plain_usage(usage: Json) -> Json:
    return {name: usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
