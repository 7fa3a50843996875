"""The pieces of an answer as an OpenAI client reads them, and their end. Pure: events in, SSE bytes out.

1. `feed` passes deltas on while they come in order and from one attempt; after a gap it waits for the whole answer.
2. `finish` sends what the whole answer holds beyond that, the finish reason, usage if asked, `[DONE]`. If what was sent
   is not how the whole answer begins, nothing can mend it: an error frame.

Source: provider_contracts.md section 6, "What the gateway sends".
"""

from typing import Any

import orjson

from connectors.gateway.problems import Problem, error_body
from connectors.gateway.wire import outcome_problem, usage_of
from schemas.errors import ErrorCode
from schemas.events import Delta, Response

__all__ = ["DONE", "KEEP_ALIVE", "Assembler"]

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_TEXTS = ("reasoning_content", "content", "refusal")
_INTERRUPTED = Problem(ErrorCode.STREAM_INTERRUPTED, "the rest of the answer does not continue what was sent")


class Assembler:
    """One stream. `created` in epoch seconds, `model` as callers know it."""

    def __init__(self, request_id: str, *, created: int, model: str, include_usage: bool) -> None:
        self._head = orjson.dumps(
            {"id": f"chatcmpl-{request_id}", "object": "chat.completion.chunk", "created": created, "model": model}
        )[:-1]
        self._include_usage = include_usage
        self._attempt: int | None = None
        self._next_seq = 0
        self._stopped = False
        self._role_sent = False
        self._texts: dict[str, list[str]] = {name: [] for name in _TEXTS}
        self._calls: dict[int, dict[str, Any]] = {}

    def feed(self, deltas: list[Delta]) -> bytes:
        """What to send now; maybe nothing."""
        out: list[bytes] = []
        for delta in deltas:
            if self._follows(delta):
                self._next_seq = delta.seq + 1
                self._pass_on(delta.data, out)
        return b"".join(out)

    def finish(self, response: Response) -> bytes:
        """The rest and the end."""
        problem = outcome_problem(response)
        if problem is not None:
            return self.fail(problem)
        body = orjson.loads(response.body or b"")
        choices = body["choices"] or [{"message": {}, "finish_reason": "stop"}]
        out: list[bytes] = []
        if not self._complete(choices[0]["message"], out):
            return self.fail(_INTERRUPTED)
        for index, choice in enumerate(choices[1:], 1):
            self._chunk({"role": "assistant", **_whole(choice["message"])}, out, index=index)
        for index, choice in enumerate(choices):
            self._chunk({}, out, index=index, finish=choice.get("finish_reason") or "stop")
        if self._include_usage:
            out.append(self._frame(b'"choices":[],"usage":' + orjson.dumps(usage_of(response, body))))
        out.append(DONE)
        return b"".join(out)

    def fail(self, problem: Problem) -> bytes:
        """The end of a stream that has none."""
        return b"data: " + error_body(problem) + b"\n\n" + DONE

    def _follows(self, delta: Delta) -> bool:
        if self._stopped or delta.kind != "chunk":
            return False
        if delta.attempt != self._attempt and not self._has_content:
            self._attempt, self._next_seq = delta.attempt, 0
        if delta.attempt == self._attempt and delta.seq < self._next_seq:
            return False  # repeated
        self._stopped = delta.attempt != self._attempt or delta.seq != self._next_seq
        return not self._stopped

    @property
    def _has_content(self) -> bool:
        return bool(self._calls) or any(self._texts.values())

    def _pass_on(self, data: bytes, out: list[bytes]) -> None:
        try:
            pieces = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._stopped = True
            return
        for piece in pieces:
            self._send(piece, out)

    def _send(self, piece: dict[str, Any], out: list[bytes]) -> None:
        """One delta, and what of the answer it was."""
        piece.pop("role", None)
        for name in _TEXTS:
            if piece.get(name):
                self._texts[name].append(piece[name])
        if piece.get("tool_calls"):
            piece["tool_calls"] = [self._seen_call(call) for call in piece["tool_calls"]]
        if not self._role_sent:
            self._role_sent = True
            piece = {"role": "assistant", **piece}
        if piece:
            self._chunk(piece, out)

    def _seen_call(self, call: dict[str, Any]) -> dict[str, Any]:
        """The piece of a tool call; id and name only the first time."""
        kind = "custom" if "custom" in call else "function"
        said = call.get(kind) or {}
        key = "input" if kind == "custom" else "arguments"
        known = self._calls.get(call["index"])
        if known is None:
            self._calls[call["index"]] = {"id": call.get("id"), "name": said.get("name"), "text": said.get(key) or ""}
            return call
        known["text"] += said.get(key) or ""
        return {"index": call["index"], kind: {key: said.get(key) or ""}}

    def _complete(self, message: dict[str, Any], out: list[bytes]) -> bool:
        """Sends what is missing of the first choice; False if what was sent is not its beginning."""
        rest: dict[str, Any] = {}
        for name in _TEXTS:
            sent, whole = "".join(self._texts[name]), message.get(name) or ""
            if not whole.startswith(sent):
                return False
            if len(whole) > len(sent):
                rest[name] = whole[len(sent) :]
        calls = message.get("tool_calls") or []
        if any(index >= len(calls) for index in self._calls):
            return False
        missing = [self._missing(index, call) for index, call in enumerate(calls)]
        if None in missing:
            return False
        if any(missing):
            rest["tool_calls"] = [call for call in missing if call]
        if message.get("annotations") and rest.get("content"):
            rest["annotations"] = message["annotations"]
        if rest or not self._role_sent:
            self._send(rest, out)
        return True

    def _missing(self, index: int, call: dict[str, Any]) -> dict[str, Any] | None:
        """The rest of a tool call, {} if it was sent whole, None if another was sent."""
        sent = self._calls.get(index)
        if sent is None:
            return {"index": index, **call}
        kind = call.get("type", "function")
        key = "input" if kind == "custom" else "arguments"
        whole = call[kind].get(key) or ""
        if (sent["id"], sent["name"]) != (call.get("id"), call[kind].get("name")) or not whole.startswith(sent["text"]):
            return None
        rest = whole[len(sent["text"]) :]
        return {"index": index, kind: {key: rest}} if rest else {}

    def _chunk(self, delta: dict[str, Any], out: list[bytes], *, index: int = 0, finish: str | None = None) -> None:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage = b',"usage":null' if self._include_usage else b""
        out.append(self._frame(b'"choices":[' + orjson.dumps(choice) + b"]" + usage))

    def _frame(self, rest: bytes) -> bytes:
        return b"data: " + self._head + b"," + _one_line(rest) + b"}\n\n"


def _one_line(text: bytes) -> bytes:
    """Readers that split lines as `str.splitlines` does (httpx `aiter_lines`) would cut the JSON at these characters."""
    for raw, escaped in ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085")):
        text = text.replace(raw, escaped)
    return text


def _whole(message: dict[str, Any]) -> dict[str, Any]:
    """A message as one delta."""
    delta = {name: message[name] for name in (*_TEXTS, "annotations") if message.get(name)}
    if message.get("tool_calls"):
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(message["tool_calls"])]
    return delta
