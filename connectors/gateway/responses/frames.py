"""A stream as the events of a response, numbered from 0. Pure.

    response.created, response.in_progress      with the first piece
    events of the output                        `output`
    response.completed | response.incomplete    with the whole response
    response.failed, error                      instead, when it breaks off; there is no `[DONE]`

A failure is said twice, since no event is noticed by all clients. `response.failed` is the documented end, and the only
one that some agents look for, but SDKs hand it on like any event: a loop over text would end as if all were well. `error`
makes them raise, though only if an object `error` stands in it, as OpenAI sends it and does not document it; its fields
stand beside it as documented (openai/openai-dotnet#881, openai/openai-python#3934).
Source: platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Iterable
from typing import Any

import orjson

from connectors.gateway.chat import KEEP_ALIVE
from connectors.gateway.problems import Problem, error_body
from connectors.gateway.responses.answer import begun, ended, failed, first_choice
from connectors.gateway.responses.items import Event
from connectors.gateway.responses.output import Output
from connectors.gateway.surface import Asking, Opening
from connectors.gateway.wire import one_line
from schemas.events import Response

__all__ = ["ResponseFrames"]


class ResponseFrames:
    """See `surface.Frames`."""

    keep_alive = KEEP_ALIVE

    def __init__(self, opening: Opening, asking: Asking) -> None:
        self._head = begun(opening.request_id, opening.model, opening.created, asking.echo)
        self._output = Output(opening.request_id)
        self._next = 0

    def piece(self, delta: dict[str, Any]) -> bytes:
        return self._beginning() + self._framed(self._output.piece(delta))

    def end(self, body: dict[str, Any], response: Response) -> bytes:
        out = self._beginning() + self._framed(self._output.end(first_choice(body)))
        whole = ended(self._head, body, response, self._output.items)
        return out + self._framed([{"type": f"response.{whole['status']}", "response": whole}])

    def fail(self, problem: Problem) -> bytes:
        broken = failed(self._head, problem, self._output.fragments)
        error = orjson.loads(error_body(problem))["error"]
        flat = {"code": problem.code, "message": problem.message, "param": problem.param}
        events = [{"type": "response.failed", "response": broken}, {"type": "error", **flat, "error": error}]
        return self._beginning() + self._framed(events)

    def _beginning(self) -> bytes:
        if self._next:
            return b""
        return self._framed({"type": f"response.{name}", "response": self._head} for name in ("created", "in_progress"))

    def _framed(self, events: Iterable[Event]) -> bytes:
        return b"".join([self._frame(event) for event in events])

    def _frame(self, event: Event) -> bytes:
        numbered = {**event, "sequence_number": self._next}
        self._next += 1
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), one_line(orjson.dumps(numbered)))
