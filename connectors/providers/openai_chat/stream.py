"""Reads a stream of `chat.completion.chunk` events.

OpenAI sends a role chunk, content, one finish reason per choice, a usage chunk without choices, `[DONE]`. Compatible
servers leave out any of these; what decides is the finish reason: without it the answer is cut off, `[DONE]` or not.
"""

from connectors.providers.adapter import Delta, Estimate, ProviderCall
from connectors.providers.error_bodies import early_end
from connectors.providers.openai_chat.calls import MalformedReplyError, expect
from connectors.providers.openai_chat.errors import error_in, malformed
from connectors.providers.openai_chat.fold import Answer
from connectors.providers.sse import SSEvent
from connectors.providers.wire_json import loads
from schemas.completion import Completion, Usage
from schemas.errors import ProviderError

__all__ = ["ChunkParser"]


class ChunkParser:
    """See `adapter.StreamParser`."""

    def __init__(self, call: ProviderCall, estimate: Estimate) -> None:
        self._answer = Answer(call, estimate)
        self._error: ProviderError | None = None
        self._done = False

    @property
    def ended(self) -> bool:
        return self._done or self._error is not None

    def feed(self, event: SSEvent) -> list[Delta]:
        if self.ended:
            return []
        if event.data == "[DONE]" or event.data.strip() == "[DONE]":
            self._done = True
            return []
        try:
            return self._chunk(event)
        except MalformedReplyError as flaw:
            self._error = malformed(str(flaw))
        except ValueError:
            self._error = malformed("an event of the stream is no JSON")
        return []

    def finish(self) -> Completion | ProviderError:
        if self._error is not None:
            return self._error
        if not self._answer.is_finished(told=self._done):
            return early_end()
        return self._answer.completion()

    def usage_so_far(self) -> Usage | None:
        return self._answer.usage_so_far()

    def _chunk(self, event: SSEvent) -> list[Delta]:
        chunk = loads(event.data)
        self._error = error_in(chunk, named=event.event == "error")
        if self._error is not None:
            return []
        if not isinstance(chunk, dict):
            raise MalformedReplyError("an event of the stream is no object")
        self._answer.note(chunk)
        deltas = []
        for choice in expect(chunk.get("choices") or [], list, "choices"):
            index, delta, logprobs = self._answer.add(choice, part="delta", whole=False)
            if delta or logprobs:
                deltas.append(Delta(index, delta, logprobs))
        return deltas
