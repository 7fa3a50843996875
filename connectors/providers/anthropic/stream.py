"""Reads a stream of the Messages API.

`message_start`, per block `content_block_start`, `_delta`, `_stop`, then `message_delta` (stop reason, usage) and
`message_stop`; `ping` and events that we do not know anywhere between; `error` also after a 200. What an event is says
the `type` of its JSON: proxies lose the name. Only `message_stop` ends an answer.
Source: platform.claude.com/docs/en/build-with-claude/streaming
"""

from typing import Any

from connectors.providers.adapter import Delta, Estimate, ProviderCall
from connectors.providers.anthropic.errors import error_in
from connectors.providers.anthropic.fold import MessageFold
from connectors.providers.error_bodies import early_end, malformed
from connectors.providers.reply import MalformedReplyError, expect
from connectors.providers.sse import SSEvent
from connectors.providers.wire_json import loads
from schemas.completion import Completion, Usage
from schemas.errors import ProviderError

__all__ = ["EventParser"]


class EventParser:
    """See `adapter.StreamParser`."""

    def __init__(self, call: ProviderCall, estimate: Estimate) -> None:
        self._fold = MessageFold(call, estimate)
        self._error: ProviderError | None = None
        self._done = False

    @property
    def ended(self) -> bool:
        return self._done or self._error is not None

    def feed(self, event: SSEvent) -> list[Delta]:
        if self.ended:
            return []
        try:
            deltas = self._read(loads(event.data), named=event.event == "error")
        except MalformedReplyError as flaw:
            self._error = malformed(str(flaw))
        except ValueError:
            self._error = malformed("an event of the stream is no JSON")
        else:
            return [Delta(0, delta) for delta in deltas if delta]
        return []

    def finish(self) -> Completion | ProviderError:
        if self._error is not None:
            return self._error
        return self._fold.completion() if self._done and self._fold.is_finished else early_end()

    def usage_so_far(self) -> Usage | None:
        return self._fold.usage_so_far()

    def _read(self, event: Any, *, named: bool) -> list[dict[str, Any]]:
        self._error = error_in(event, named=named)
        if self._error is not None:
            return []
        expect(event, dict, "an event of the stream")
        match event.get("type"):
            case "content_block_delta":
                return [self._fold.grow(_index(event), event.get("delta"))]
            case "content_block_start":
                return [self._fold.open(_index(event), event.get("content_block"))]
            case "content_block_stop":
                return [self._fold.close(_index(event))]
            case "message_start":
                self._fold.note(expect(event.get("message"), dict, "the message"))
            case "message_delta":
                return [self._fold.end(expect(event.get("delta") or {}, dict, "a delta"), event.get("usage"))]
            case "message_stop":
                self._done = True
                return self._fold.close_all()
        return []


def _index(event: dict[str, Any]) -> int:
    """Of all blocks, thinking and text too: never that of a choice or a tool call."""
    return int(expect(event.get("index"), int, "the index of a block"))
