"""Reads a stream of `GenerateContentResponse` events.

There is no last event: the vendor closes. What tells a finished answer from one that was cut off is the finish reason
of every candidate; calls and usage may come before or after it, so the stream is read to its end.
"""

from connectors.providers.adapter import Delta, Estimate, ProviderCall
from connectors.providers.error_bodies import early_end, malformed
from connectors.providers.gemini.errors import error_in
from connectors.providers.gemini.fold import Answer
from connectors.providers.reply import MalformedReplyError
from connectors.providers.sse import SSEvent
from connectors.providers.wire_json import loads
from schemas.completion import Completion, Usage
from schemas.errors import ProviderError

__all__ = ["ResponseParser"]


class ResponseParser:
    """See `adapter.StreamParser`."""

    def __init__(self, call: ProviderCall, estimate: Estimate) -> None:
        self._answer = Answer(call, estimate)
        self._error: ProviderError | None = None

    @property
    def ended(self) -> bool:
        return self._error is not None

    def feed(self, event: SSEvent) -> list[Delta]:
        if self.ended:
            return []
        try:
            reply = loads(event.data)
            self._error = error_in(reply)
            if self._error is not None:
                return []
            deltas = self._answer.take(reply)
            self._error = self._answer.blocked
            return deltas
        except MalformedReplyError as flaw:
            self._error = malformed(str(flaw))
        except ValueError:
            self._error = malformed("an event of the stream is no JSON")
        return []

    def finish(self) -> Completion | ProviderError:
        if self._error is not None:
            return self._error
        return self._answer.completion() if self._answer.is_finished else early_end()

    def usage_so_far(self) -> Usage | None:
        return self._answer.usage_so_far()
