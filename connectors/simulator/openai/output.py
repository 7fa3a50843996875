"""The output items of a response: thoughts, a message or calls; whole, and step by step as events tell them.

Each kind of item is written once: the events of a stream end in the very item that stands in the whole answer.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from connectors.simulator import content, tokens
from connectors.simulator.ask import Ask, Choice, ToolCall
from connectors.simulator.draws import Draw
from connectors.simulator.openai import replies, seals
from connectors.simulator.openai.fields import Body
from connectors.simulator.openai.responses_knobs import ENCRYPTED, LOGPROBS

Json = dict[str, Any]
Event = tuple[str, Json, int]  # kind, fields, tokens of content

_ID_DIGITS = 48
_SUMMARY_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Output:
    """What one choice looks like as items."""

    ask: Ask
    body: Body
    choice: Choice
    draw: Draw

    def items(self) -> list[Json]:
        """The finished items, in order."""
        calls = [self._call(call, position) for position, call in enumerate(self.choice.calls)]
        return [*([self._thought()] if self._thinks() else []), *([self._message()] if self._speaks() else []), *calls]

    def events(self, rng: random.Random, *, most: int) -> Iterator[Event]:
        """All events between `response.in_progress` and the last one.

        Args:
            rng: Decides the sizes of the pieces.
            most: Tokens in the largest piece.
        """
        index = 0
        if self._thinks():
            yield from _framed(self._thought(), {"summary": []}, index, self._thought_steps(rng, most))
            index += 1
        if self._speaks():
            yield from _framed(self._message(), {"content": []}, index, self._message_steps(rng, most))
            index += 1
        for position, call in enumerate(self.choice.calls):
            steps = _call_steps(call, rng, most)
            yield from _framed(self._call(call, position), {"arguments": ""}, index + position, steps)

    def _thinks(self) -> bool:
        return self.ask.model.reasons and self.choice.reasoning_tokens > 0

    def _speaks(self) -> bool:
        """Calls come alone, and a model that spent everything on thoughts says nothing."""
        return bool(self.choice.ids or self.choice.refusal) or not (self.choice.calls or self._thinks())

    def _id(self, prefix: str, position: int = 0) -> str:
        return f"{prefix}_{self.draw.hex(f'{prefix} {position}', _ID_DIGITS)}"

    # -- thoughts

    def _thought(self) -> Json:
        item: Json = {"id": self._id("rs"), "type": "reasoning", "summary": self._summary()}
        if ENCRYPTED in self.body.get("include", ()):
            item["encrypted_content"] = seals.sealed(item["id"], self.choice.reasoning_tokens)
        return item

    def _summary(self) -> list[Json]:
        return [{"type": "summary_text", "text": text} for text in filter(None, [tokens.decode(self._summary_ids())])]

    def _summary_ids(self) -> list[int]:
        if not self.body.get("reasoning", {}).get("summary"):
            return []
        title = tokens.encode("**Weighing the request**\n\n")
        return title + content.thoughts(self.ask, self.draw.stream("summary"), _SUMMARY_TOKENS)

    def _thought_steps(self, rng: random.Random, most: int) -> Iterator[Event]:
        for part in self._summary():
            at = {"summary_index": 0}
            yield "response.reasoning_summary_part.added", {**at, "part": part | {"text": ""}}, 0
            for text, _ in tokens.pieces(self._summary_ids(), rng, most=most):
                # No content tokens: a summary costs no time of its own, and faults count pieces of the answer.
                yield "response.reasoning_summary_text.delta", {**at, "delta": text}, 0
            yield "response.reasoning_summary_text.done", {**at, "text": part["text"]}, 0
            yield "response.reasoning_summary_part.done", {**at, "part": part}, 0

    # -- the message

    def _message(self) -> Json:
        return {
            "id": self._id("msg"),
            "type": "message",
            "status": self._status(),
            "role": "assistant",
            "content": [self._part()],
        }

    def _status(self) -> str:
        return "incomplete" if self.choice.finish in {"length", "content_filter"} else "completed"

    def _part(self) -> Json:
        if self.choice.refusal is not None:
            return {"type": "refusal", "refusal": self.choice.refusal}
        return {
            "type": "output_text",
            "annotations": [],
            "logprobs": self._logprobs(self.choice.ids),
            "text": self.choice.text or "",
        }

    def _logprobs(self, ids: list[int]) -> list[Json]:
        if LOGPROBS not in self.body.get("include", ()):
            return []
        return replies.probabilities(ids, self.body.get("top_logprobs", 0))

    def _message_steps(self, rng: random.Random, most: int) -> Iterator[Event]:
        part, at = self._part(), {"content_index": 0}
        refuses = part["type"] == "refusal"
        empty = part | ({"refusal": ""} if refuses else {"text": "", "logprobs": []})
        yield "response.content_part.added", {**at, "part": empty}, 0
        yield from self._refusing(at, rng, most) if refuses else self._telling(at, rng, most)
        yield "response.content_part.done", {**at, "part": part}, 0

    def _telling(self, at: Json, rng: random.Random, most: int) -> Iterator[Event]:
        for text, ids in tokens.pieces(self.choice.ids, rng, most=most):
            yield "response.output_text.delta", {**at, "delta": text, "logprobs": self._logprobs(ids)}, len(ids)
        said = self._part()
        yield "response.output_text.done", {**at, "text": said["text"], "logprobs": said["logprobs"]}, 0

    def _refusing(self, at: Json, rng: random.Random, most: int) -> Iterator[Event]:
        for text, ids in tokens.pieces(tokens.encode(self.choice.refusal or ""), rng, most=most):
            yield "response.refusal.delta", {**at, "delta": text}, len(ids)
        yield "response.refusal.done", {**at, "refusal": self.choice.refusal}, 0

    # -- calls

    def _call(self, call: ToolCall, position: int) -> Json:
        is_cut = self.choice.finish == "length" and position == len(self.choice.calls) - 1
        return {
            "id": self._id("fc", position),
            "type": "function_call",
            "status": "incomplete" if is_cut else "completed",
            "arguments": call.arguments,
            "call_id": call.id,
            "name": call.name,
        }


def _call_steps(call: ToolCall, rng: random.Random, most: int) -> Iterator[Event]:
    for text, ids in tokens.pieces(tokens.encode(call.arguments), rng, most=most):
        yield "response.function_call_arguments.delta", {"delta": text}, len(ids)
    yield "response.function_call_arguments.done", {"arguments": call.arguments}, 0


def _framed(item: Json, empty: Json, index: int, steps: Iterator[Event]) -> Iterator[Event]:
    """An item's steps between its beginning and its end, each told where it belongs."""
    begun = item | empty | ({"status": "in_progress"} if "status" in item else {})
    yield "response.output_item.added", {"output_index": index, "item": begun}, 0
    for kind, fields, size in steps:
        yield kind, {"item_id": item["id"], "output_index": index, **fields}, size
    yield "response.output_item.done", {"output_index": index, "item": item}, 0
