"""Reads a stream of Responses events: told apart by `type`, items by `output_index`.

It ends with `response.completed`, `response.incomplete`, `response.failed` or `error`, and without a marker; what ends
otherwise was cut off. Events that nobody here knows are passed over: the vendor adds some every month
(platform.openai.com/docs/api-reference/responses-streaming).
"""

from collections.abc import Callable
from typing import Any

from connectors.providers.adapter import Delta, Estimate, ProviderCall
from connectors.providers.error_bodies import early_end, malformed
from connectors.providers.openai_chat.errors import error_in
from connectors.providers.openai_responses.answer import Reply, check_item
from connectors.providers.reply import MalformedReplyError, expect
from connectors.providers.sse import SSEvent
from connectors.providers.wire_json import loads
from schemas.completion import Completion, Usage
from schemas.errors import ProviderError

__all__ = ["EventParser"]

Event = dict[str, Any]


class EventParser:
    """See `adapter.StreamParser`."""

    def __init__(self, call: ProviderCall, estimate: Estimate) -> None:
        self._reply = Reply(call, estimate)
        self._calls: dict[int, int | None] = {}  # output_index -> which tool call; None: after a stop sequence
        self._begun: set[int] = set()  # calls that got arguments
        self._error: ProviderError | None = None
        self._handlers: dict[str, Callable[[Event], list[Delta | None]]] = {
            "response.created": self._noted,
            "response.output_text.delta": lambda e: [self._reply.text(e.get("delta"), e.get("logprobs"))],
            "response.output_text.annotation.added": lambda e: [self._reply.annotation(e.get("annotation"))],
            "response.refusal.delta": lambda e: [self._reply.refusal(e.get("delta"))],
            "response.reasoning_summary_text.delta": self._summary,
            "response.output_item.added": self._item_began,
            "response.function_call_arguments.delta": self._arguments,
            "response.output_item.done": self._item_ended,
            "response.completed": self._closed,
            "response.incomplete": self._closed,
            "response.failed": self._closed,
        }

    @property
    def ended(self) -> bool:
        return self._reply.is_closed or self._error is not None

    def feed(self, event: SSEvent) -> list[Delta]:
        if self.ended or event.data.strip() == "[DONE]":
            return []
        try:
            return self._event(event)
        except MalformedReplyError as flaw:
            self._error = malformed(str(flaw))
        except ValueError:
            self._error = malformed("an event of the stream is no JSON")
        return []

    def finish(self) -> Completion | ProviderError:
        if self._error is not None:
            return self._error
        return self._reply.completion() if self._reply.is_closed else early_end()

    def usage_so_far(self) -> Usage | None:
        return self._reply.usage_so_far()

    def _event(self, event: SSEvent) -> list[Delta]:
        said = expect(loads(event.data), dict, "an event of the stream")
        kind = said.get("type")
        handle = self._handlers.get(kind) if isinstance(kind, str) else None
        if handle is not None:
            return [delta for delta in handle(said) if delta is not None]
        if not isinstance(kind, str) or not kind.startswith("response."):
            self._error = error_in(said, named=event.event == "error")
        return []

    def _noted(self, event: Event) -> list[Delta | None]:
        self._reply.note(_part(event, "response"))
        return []

    def _summary(self, event: Event) -> list[Delta | None]:
        part = (event.get("output_index"), event.get("summary_index"))
        return [self._reply.summary(event.get("delta"), part)]

    def _item_began(self, event: Event) -> list[Delta | None]:
        item = _part(event, "item")
        check_item(item)
        if item.get("type") != "function_call":
            return []
        opened = self._reply.open_call(item)
        self._calls[_index(event)] = None if opened is None else opened[0]
        return [] if opened is None else [opened[1]]

    def _arguments(self, event: Event) -> list[Delta | None]:
        index = _index(event)
        if index not in self._calls:
            raise MalformedReplyError("arguments belong to no tool call")
        return self._put_arguments(self._calls[index], event.get("delta"))

    def _put_arguments(self, at: int | None, piece: Any) -> list[Delta | None]:
        if at is None or not piece:
            return []
        self._begun.add(at)
        return [self._reply.arguments(at, piece)]

    def _item_ended(self, event: Event) -> list[Delta | None]:
        item = _part(event, "item")
        if item.get("type") == "reasoning":
            self._reply.reasoning(item)
        at = self._calls.get(_index(event)) if item.get("type") == "function_call" else None
        if at is None:
            return []
        whole = [] if at in self._begun else self._put_arguments(at, item.get("arguments"))
        return [*whole, self._reply.end_call(at)]

    def _closed(self, event: Event) -> list[Delta | None]:
        return [self._reply.close(_part(event, "response"))]


def _part(event: Event, name: str) -> dict[str, Any]:
    part: dict[str, Any] = expect(event.get(name), dict, f"the {name} of an event")
    return part


def _index(event: Event) -> int:
    index: int = expect(event.get("output_index"), int, "output_index")
    return index
