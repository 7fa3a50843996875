"""Chat Completions: how the answer to one request is spelled, whole and streamed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from connectors.simulator.ask import Answer, Ask
from connectors.simulator.delivery import Frame, Reply
from connectors.simulator.faults import ERRORS, Fault
from connectors.simulator.openai import errors, replies
from connectors.simulator.openai.fields import Body
from connectors.simulator.openai.journey import JSON, Attempt

_WRONG_SHAPE = b'{"object":"chat.completion","choices":[{}]}'


@dataclass(frozen=True, slots=True)
class ChatSpelling:
    """One chat request's answer; see `journey.Spelling`."""

    ask: Ask
    body: Body

    def instead(self, fault: Fault, attempt: Attempt) -> Reply | None:
        if fault.kind == "wrong_shape":
            return Reply(200, {**attempt.headers, "content-type": JSON}, _WRONG_SHAPE)
        return errors.fault_reply(fault, attempt.headers) if fails(fault, stream=self.ask.stream) else None

    def whole(self, answer: Answer, attempt: Attempt, fault: Fault) -> bytes:
        return replies.whole(answer, self._envelope(attempt, fault))

    def frames(
        self, answer: Answer, attempt: Attempt, fault: Fault, *, rng: random.Random, most: int
    ) -> Iterator[Frame]:
        return replies.frames(answer, self._envelope(attempt, fault), rng, most=most)

    def error(self, sent: int) -> bytes:
        return errors.stream_error()

    def _envelope(self, attempt: Attempt, fault: Fault) -> replies.Envelope:
        options = self.body.get("stream_options") or {}
        wanted = not self.ask.stream or bool(options.get("include_usage"))
        return replies.Envelope(
            id="chatcmpl-" + attempt.draw.hex("answer", 29),
            created=attempt.created,
            model=self.ask.model.snapshot or self.ask.model.name,
            logprobs=self.body.get("logprobs", False),
            top_logprobs=self.body.get("top_logprobs", 0),
            show_usage=wanted and fault.kind != "no_usage",
        )


def fails(fault: Fault, *, stream: bool) -> bool:
    """Whether an error comes in place of the answer: an unstreamed one has no middle for an error event."""
    return fault.kind in ERRORS or fault.kind == "error_200" or (fault.kind == "error_mid_stream" and not stream)
