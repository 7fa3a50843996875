"""What a model says as output items, and the events that tell of them: for streams and whole answers alike. Pure.

    piece                                  item                            closed by
    reasoning_content, thinking_blocks     reasoning                       whatever else comes; more of it: a further item
    content, refusal                       message, one                    the end
    tool_calls                             function_call, one per call     the end

Only reasoning closes early, so that a client knows that the thinking is over. A message and a call stay one item each,
even where a server takes turns between them: a text or arguments in two halves would be no JSON any more.
A whole answer is one piece. Its items stand as reasoning, message, calls; those of a stream as they began.
"""

from typing import Any

from connectors.gateway.responses.items import CallItem, Event, Item, MessageItem, ReasoningItem

__all__ = ["INCOMPLETE", "Output"]

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons of an answer that was cut, and how a response says them."""


class Output:
    """The output of one response. Its events have no numbers yet."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._events: list[Event] = []
        self._items: list[Item] = []
        self._thinking: ReasoningItem | None = None
        self._message: MessageItem | None = None
        self._calls: dict[int, CallItem] = {}
        self._cut: Item | None = None

    @property
    def items(self) -> list[dict[str, Any]]:
        """After the end."""
        return [self._ended(item) for item in self._items]

    @property
    def fragments(self) -> list[dict[str, Any]]:
        """What there is of an answer that failed."""
        return [item.shown("incomplete") for item in self._items]

    def piece(self, delta: dict[str, Any]) -> list[Event]:
        """A delta of the choice, or its whole message."""
        if text := delta.get("reasoning_content"):
            self._events += self._reasoning().say(text)
        for block in delta.get("thinking_blocks") or ():
            self._reasoning().keep(block)
        if text := delta.get("content"):
            self._events += self._spoken().say("output_text", text)
        if text := delta.get("refusal"):
            self._events += self._spoken().say("refusal", text)
        for at, call in enumerate(delta.get("tool_calls") or ()):
            function = call.get("function") or {}
            self._events += self._call(call.get("index", at), call).say(function.get("arguments") or "")
        return self._taken()

    def end(self, choice: dict[str, Any]) -> list[Event]:
        """Closes what is open; `choice` is whole."""
        self._end_thinking()
        if choice.get("finish_reason") in INCOMPLETE:
            self._cut = self._calls[max(self._calls)] if self._calls else self._message
        if self._message is not None:
            notes = [_flat(note) for note in choice["message"].get("annotations") or ()]
            self._message.note(notes, (choice.get("logprobs") or {}).get("content") or ())
        for item in self._items:
            if not isinstance(item, ReasoningItem):
                self._close(item)
        return self._taken()

    def _reasoning(self) -> ReasoningItem:
        if self._thinking is None:
            self._thinking = ReasoningItem(self._id("rs"), len(self._items))
            self._begin(self._thinking)
        return self._thinking

    def _spoken(self) -> MessageItem:
        self._end_thinking()
        if self._message is None:
            self._message = MessageItem(self._id("msg"), len(self._items))
            self._begin(self._message)
        return self._message

    def _call(self, at: int, call: dict[str, Any]) -> CallItem:
        self._end_thinking()
        if at not in self._calls:
            name = (call.get("function") or {}).get("name") or ""
            self._calls[at] = CallItem(self._id("fc"), len(self._items), call_id=call.get("id") or "", name=name)
            self._begin(self._calls[at])
        return self._calls[at]

    def _end_thinking(self) -> None:
        if self._thinking is not None:
            self._close(self._thinking)
            self._thinking = None

    def _id(self, kind: str) -> str:
        return f"{kind}_{self._request_id}_{len(self._items)}"

    def _begin(self, item: Item) -> None:
        self._items.append(item)
        shown = item.shown("in_progress")
        self._events.append({"type": "response.output_item.added", "output_index": item.index, "item": shown})

    def _close(self, item: Item) -> None:
        self._events += item.closing()
        shown = self._ended(item)
        self._events.append({"type": "response.output_item.done", "output_index": item.index, "item": shown})

    def _ended(self, item: Item) -> dict[str, Any]:
        return item.shown("incomplete" if item is self._cut else "completed")

    def _taken(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken


def _flat(annotation: dict[str, Any]) -> dict[str, Any]:
    """Chat nests what an annotation says under its type; Responses does not."""
    kind = annotation.get("type")
    inner = annotation.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inner} if isinstance(inner, dict) else annotation
