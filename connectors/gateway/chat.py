"""OpenAI's Chat Completions as a surface: the platform's own form, so requests and answers pass as they are.

Source: platform.openai.com/docs/api-reference/chat; streams: provider_contracts.md section 6, "What the gateway sends".
"""

from typing import Any

import orjson
from starlette.datastructures import Headers

from connectors.gateway.problems import Problem, error_body
from connectors.gateway.surface import Asking, Opening, Surface
from connectors.gateway.wire import one_line, usage_of
from schemas.events import Response

__all__ = ["CHAT", "DONE", "KEEP_ALIVE", "ChatFrames"]

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


class ChatFrames:
    """See `surface.Frames`."""

    keep_alive = KEEP_ALIVE

    def __init__(self, opening: Opening, asking: Asking) -> None:
        head = {
            "id": f"chatcmpl-{opening.request_id}",
            "object": "chat.completion.chunk",
            "created": opening.created,
            "model": opening.model,
        }
        self._head = orjson.dumps(head)[:-1]
        self._include_usage = asking.include_usage
        self._role_sent = False

    def piece(self, delta: dict[str, Any]) -> bytes:
        if not self._role_sent:
            self._role_sent = True
            delta = {"role": "assistant", **delta}
        return self._chunk(delta) if delta else b""

    def end(self, body: dict[str, Any], response: Response) -> bytes:
        choices = body["choices"] or [{"message": {}, "finish_reason": "stop"}]
        out = [] if self._role_sent else [self.piece({})]
        for index, choice in enumerate(choices[1:], 1):
            out.append(self._chunk({"role": "assistant", **_whole(choice["message"])}, index=index))
        for index, choice in enumerate(choices):
            # Log probabilities come whole, with the end: the pieces of the answer do not carry theirs.
            said = {"finish": choice.get("finish_reason") or "stop", "logprobs": choice.get("logprobs")}
            out.append(self._chunk({}, index=index, **said))
        if self._include_usage:
            out.append(self._frame(b'"choices":[],"usage":' + orjson.dumps(usage_of(response, body))))
        return b"".join([*out, DONE])

    def fail(self, problem: Problem) -> bytes:
        return b"data: " + error_body(problem) + b"\n\n" + DONE

    def _chunk(
        self, delta: dict[str, Any], *, index: int = 0, finish: str | None = None, logprobs: Any = None
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        usage = b',"usage":null' if self._include_usage else b""
        return self._frame(b'"choices":[' + orjson.dumps(choice) + b"]" + usage)

    def _frame(self, rest: bytes) -> bytes:
        return b"data: " + self._head + b"," + one_line(rest) + b"}\n\n"


def _whole(message: dict[str, Any]) -> dict[str, Any]:
    """A message as one delta."""
    kept = ("reasoning_content", "content", "refusal", "annotations", "thinking_blocks")
    delta = {name: message[name] for name in kept if message.get(name)}
    if message.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(message["tool_calls"])]
    return delta


def _read(raw: bytes, body: dict[str, Any], _: Headers) -> Asking:
    options = body.get("stream_options")
    return Asking(raw, body, include_usage=isinstance(options, dict) and options.get("include_usage") is True)


def _answer(response: Response, _: Asking) -> bytes:
    return response.body or b""


CHAT = Surface("chat", _read, _answer, error_body, ChatFrames)
