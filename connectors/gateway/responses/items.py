"""One item of a response's output while it grows, and the events that tell of its inside. Pure.

`shown` is the item as it stands; `closing` the events that end what is open in it. That it begins and ends is told by
`output`. Source: platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

from connectors.gateway.responses.carried import carried

__all__ = ["CallItem", "Event", "Item", "MessageItem", "ReasoningItem", "Status"]

Event = dict[str, Any]
Status = Literal["in_progress", "completed", "incomplete"]


class Item(Protocol):
    @property
    def index(self) -> int: ...

    def shown(self, status: Status) -> dict[str, Any]: ...

    def closing(self) -> Iterator[Event]: ...


class ReasoningItem:
    """What a vendor shows of its reasoning is its summary."""

    def __init__(self, id: str, index: int) -> None:
        self.index = index
        self._id = id
        self._pieces: list[str] = []
        self._blocks: list[dict[str, Any]] = []

    def say(self, text: str) -> Iterator[Event]:
        if not self._pieces:
            yield self._event("part.added", part=_summary(""))
        self._pieces.append(text)
        yield self._event("text.delta", delta=text)

    def keep(self, block: dict[str, Any]) -> None:
        """A whole block; its text was said before."""
        self._blocks.append(block)

    def shown(self, status: Status) -> dict[str, Any]:
        """Without a status: a vendor never says that its thoughts were cut."""
        summary = [_summary(self._text)] if self._pieces else []
        item = {"id": self._id, "type": "reasoning", "summary": summary}
        return {**item, "encrypted_content": carried(self._blocks)} if self._blocks else item

    def closing(self) -> Iterator[Event]:
        if self._pieces:
            yield self._event("text.done", text=self._text)
            yield self._event("part.done", part=_summary(self._text))

    @property
    def _text(self) -> str:
        return "".join(self._pieces)

    def _event(self, name: str, **more: Any) -> Event:
        where = {"item_id": self._id, "output_index": self.index, "summary_index": 0}
        return {"type": f"response.reasoning_summary_{name}", **where, **more}


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


class MessageItem:
    """Text and refusal, each a part, in the order in which they began."""

    def __init__(self, id: str, index: int) -> None:
        self.index = index
        self._id = id
        self._parts: dict[str, list[str]] = {}
        self._annotations: Sequence[dict[str, Any]] = ()
        self._logprobs: Sequence[dict[str, Any]] = ()

    def say(self, kind: Literal["output_text", "refusal"], text: str) -> Iterator[Event]:
        pieces = self._parts.get(kind)
        if pieces is None:
            pieces = self._parts[kind] = []
            yield self._event(kind, "response.content_part.added", part=self._part(kind))
        pieces.append(text)
        more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        yield self._event(kind, f"response.{kind}.delta", delta=text, **more)

    def note(self, annotations: Sequence[dict[str, Any]], logprobs: Sequence[dict[str, Any]]) -> None:
        """What is known of the text only when all of it was said."""
        self._annotations, self._logprobs = annotations, logprobs

    def shown(self, status: Status) -> dict[str, Any]:
        content = [self._part(kind) for kind in self._parts]
        return {"id": self._id, "type": "message", "status": status, "role": "assistant", "content": content}

    def closing(self) -> Iterator[Event]:
        for kind in self._parts:
            part = self._part(kind)
            if kind == "output_text":
                for at, note in enumerate(self._annotations):
                    name = "response.output_text.annotation.added"
                    yield self._event(kind, name, annotation_index=at, annotation=note)
                said = {"text": part["text"], "logprobs": part["logprobs"]}
            else:
                said = {"refusal": part["refusal"]}
            yield self._event(kind, f"response.{kind}.done", **said)
            yield self._event(kind, "response.content_part.done", part=part)

    def _part(self, kind: str) -> dict[str, Any]:
        text = "".join(self._parts[kind])
        if kind == "refusal":
            return {"type": kind, "refusal": text}
        return {
            "type": kind,
            "text": text,
            "annotations": list(self._annotations),
            "logprobs": list(self._logprobs),
        }

    def _event(self, kind: str, name: str, **more: Any) -> Event:
        at = list(self._parts).index(kind)
        return {"type": name, "item_id": self._id, "output_index": self.index, "content_index": at, **more}


class CallItem:
    """`call_id` is the id of the tool call, which its result names."""

    def __init__(self, id: str, index: int, *, call_id: str, name: str) -> None:
        self.index = index
        self._id = id
        self._call_id = call_id
        self._name = name
        self._pieces: list[str] = []

    def say(self, arguments: str) -> Iterator[Event]:
        if arguments:
            self._pieces.append(arguments)
            yield self._event("delta", delta=arguments)

    def shown(self, status: Status) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": "".join(self._pieces),
        }

    def closing(self) -> Iterator[Event]:
        yield self._event("done", name=self._name, arguments="".join(self._pieces))

    def _event(self, step: str, **more: Any) -> Event:
        where = {"item_id": self._id, "output_index": self.index}
        return {"type": f"response.function_call_arguments.{step}", **where, **more}
