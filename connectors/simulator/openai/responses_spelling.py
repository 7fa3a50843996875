"""The answer to one request of the Responses API: the `response` object, and the same as a stream of events.

Source: platform.openai.com/docs/api-reference/responses/object and /responses-streaming. A stream ends with
`response.completed`, `.incomplete` or `.failed`; there is no `[DONE]`.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.simulator.ask import Answer, Ask
from connectors.simulator.delivery import Frame, Reply
from connectors.simulator.faults import Fault
from connectors.simulator.openai import errors
from connectors.simulator.openai.chat import fails
from connectors.simulator.openai.fields import Body
from connectors.simulator.openai.journey import EVENTS, JSON, Attempt
from connectors.simulator.openai.output import Json, Output
from connectors.simulator.openai.responses_knobs import effort_of

_WRONG_SHAPE = b'{"object":"response","output":[{}]}'
_FAILED = {"code": "server_error", "message": "The server had an error while processing your request."}
_TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class ResponsesSpelling:
    """One request's answer; see `journey.Spelling`."""

    ask: Ask
    body: Body

    def instead(self, fault: Fault, attempt: Attempt) -> Reply | None:
        headers = attempt.headers
        match fault.kind:
            case "wrong_shape":
                return Reply(200, {**headers, "content-type": JSON}, _WRONG_SHAPE)
            case "error_200":
                return self._failed(attempt)
            case "context_too_long":
                body = errors.error_body(
                    _TOO_LONG, kind="invalid_request_error", param="input", code="context_length_exceeded"
                )
                return Reply(400, {**headers, "content-type": JSON}, body)
            case _:
                return errors.fault_reply(fault, headers) if fails(fault, stream=self.ask.stream) else None

    def _failed(self, attempt: Attempt) -> Reply:
        """Status 200 for what failed: the vendor has begun to answer before it knows."""
        head = self._head(attempt)
        failed = head | {"status": "failed", "error": _FAILED}
        if not self.ask.stream:
            return Reply(200, {**attempt.headers, "content-type": JSON}, orjson.dumps(failed))
        steps = [("created", head), ("in_progress", head), ("failed", failed)]
        events = [_event(f"response.{name}", number, response=value) for number, (name, value) in enumerate(steps)]
        return Reply(200, {**attempt.headers, "content-type": EVENTS}, b"".join(events))

    def whole(self, answer: Answer, attempt: Attempt, fault: Fault) -> bytes:
        return orjson.dumps(self._complete(answer, attempt, fault))

    def frames(
        self, answer: Answer, attempt: Attempt, fault: Fault, *, rng: random.Random, most: int
    ) -> Iterator[Frame]:
        head, last = self._head(attempt), self._complete(answer, attempt, fault)
        number = 0
        for kind in ("response.created", "response.in_progress"):
            yield Frame(_event(kind, number, response=head))
            number += 1
        for kind, fields, size in self._output(answer, attempt).events(rng, most=most):
            yield Frame(_event(kind, number, **fields), size)
            number += 1
        yield Frame(_event(f"response.{last['status']}", number, response=last))

    def error(self, sent: int) -> bytes:
        return _event("error", sent, **_FAILED, param=None)

    def _output(self, answer: Answer, attempt: Attempt) -> Output:
        return Output(self.ask, self.body, answer.choices[0], attempt.draw)

    def _complete(self, answer: Answer, attempt: Attempt, fault: Fault) -> Json:
        finish = answer.choices[0].finish
        reason = _INCOMPLETE.get(finish)
        return self._head(attempt) | {
            "status": "incomplete" if reason else "completed",
            "completed_at": None if reason else attempt.created,
            "incomplete_details": {"reason": reason} if reason else None,
            "output": self._output(answer, attempt).items(),
            "usage": None if fault.kind == "no_usage" else _usage(answer),
        }

    def _head(self, attempt: Attempt) -> Json:
        """The object while it is in progress: an echo of the request, the vendor's defaults filled in."""
        given = self.body
        text = given.get("text", {})
        return {
            "id": "resp_" + attempt.draw.hex("answer", 48),
            "object": "response",
            "created_at": attempt.created,
            "status": "in_progress",
            "background": False,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "instructions": given.get("instructions"),
            "max_output_tokens": given.get("max_output_tokens"),
            "max_tool_calls": given.get("max_tool_calls"),
            "metadata": given.get("metadata", {}),
            "model": self.ask.model.snapshot or self.ask.model.name,
            "output": [],
            "parallel_tool_calls": self.ask.parallel_tools,
            "previous_response_id": None,
            "prompt_cache_key": given.get("prompt_cache_key"),
            "reasoning": self._reasoning(),
            "safety_identifier": given.get("safety_identifier"),
            "service_tier": "default",
            "store": given.get("store", True),
            "temperature": given.get("temperature", 1.0),
            "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
            "tool_choice": given.get("tool_choice", "auto"),
            "tools": [_echoed(tool) for tool in given.get("tools", ())],
            "top_logprobs": given.get("top_logprobs", 0),
            "top_p": given.get("top_p", 1.0),
            "truncation": given.get("truncation", "disabled"),
            "usage": None,
            "user": given.get("user"),
        }

    def _reasoning(self) -> Json:
        effort = effort_of(self.body, self.ask.model) if self.ask.model.reasons else None
        return {"effort": effort, "summary": self.body.get("reasoning", {}).get("summary")}


def _echoed(tool: Json) -> Json:
    """A tool with the vendor's defaults: strict where nothing was said."""
    said = {"description": None, "parameters": {"type": "object", "properties": {}}, "strict": True}
    return said | {name: value for name, value in tool.items() if value is not None}


def _usage(answer: Answer) -> Json:
    return {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": answer.cache_read_tokens, "cache_write_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def _event(kind: str, number: int, **fields: Any) -> bytes:
    data = orjson.dumps({"type": kind, "sequence_number": number, **fields})
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
