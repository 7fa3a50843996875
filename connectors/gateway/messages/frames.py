"""A stream as Anthropic's events: one block at a time, each opened, filled and closed. Pure.

    piece               block                               closed by
    reasoning_content   thinking                            its signature (`thinking_blocks`), or whatever else comes
    content, refusal    text, one each                      whatever else comes
    tool_calls          tool_use, one per call              the next call, or the end

Anthropic's form cannot go back to a closed block. A server that takes turns between two calls makes a stream that has no
spelling here: it ends in an error, never in half a call. Source: platform.claude.com/docs/en/build-with-claude/streaming
"""

from typing import Any

import orjson

from connectors.gateway.messages.answer import NO_SIGNATURE, stop_reason, usage
from connectors.gateway.messages.errors import error_body
from connectors.gateway.problems import Problem
from connectors.gateway.surface import Asking, Opening
from connectors.gateway.wire import one_line
from schemas.errors import ErrorCode
from schemas.events import Response

__all__ = ["MessageFrames"]

_TANGLED = Problem(ErrorCode.STREAM_INTERRUPTED, "the provider mixed the pieces of two tool calls")


class MessageFrames:
    """See `surface.Frames`."""

    keep_alive = b'event: ping\ndata: {"type": "ping"}\n\n'

    def __init__(self, opening: Opening, asking: Asking) -> None:
        self._opening = opening
        self._out: list[bytes] = []
        self._has_begun = False
        self._index = -1
        self._open = ""  # what the open block holds
        self._thinking = ""  # what was said in it, if it is thinking
        self._call = -1  # which call the open block is
        self._is_tangled = False

    def piece(self, delta: dict[str, Any]) -> bytes:
        self._begin()
        reasoning = delta.get("reasoning_content") or ""
        for block in delta.get("thinking_blocks") or ():
            reasoning = self._thought(block, reasoning)
        if reasoning:
            self._think(reasoning)
        for name in ("content", "refusal"):
            if delta.get(name):
                self._enter(name, {"type": "text", "text": ""})
                self._fill({"type": "text_delta", "text": delta[name]})
        for call in delta.get("tool_calls") or ():
            self._called(call)
        return self._taken()

    def end(self, body: dict[str, Any], response: Response) -> bytes:
        self._begin()
        if self._is_tangled:
            return self._taken() + self.fail(_TANGLED)
        self._close()
        choice = body["choices"][0] if body["choices"] else {"message": {}}
        ending = {"stop_reason": stop_reason(choice), "stop_sequence": None}
        self._say({"type": "message_delta", "delta": ending, "usage": usage(body.get("usage") or {})})
        self._say({"type": "message_stop"})
        return self._taken()

    def fail(self, problem: Problem) -> bytes:
        return b"event: error\ndata: " + one_line(error_body(problem)) + b"\n\n"

    def _begin(self) -> None:
        """Usage is known at the end; the numbers of `message_delta` are cumulative and win."""
        if self._has_begun:
            return
        self._has_begun = True
        start: dict[str, Any] = {
            "id": f"msg_{self._opening.request_id}",
            "type": "message",
            "role": "assistant",
            "model": self._opening.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage({}),
        }
        self._say({"type": "message_start", "message": start})

    def _think(self, text: str) -> None:
        self._enter("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if text:
            self._thinking += text
            self._fill({"type": "thinking_delta", "thinking": text})

    def _thought(self, block: dict[str, Any], reasoning: str) -> str:
        """A whole block: its text went out before or does now, its signature ends it; returns `reasoning` without it."""
        if block.get("type") != "thinking":
            self._enter("", block)
            self._close()
            return reasoning
        rest = (block.get("thinking") or "").removeprefix(self._thinking if self._open == "thinking" else "")
        self._think(rest)
        self._close(signature=block.get("signature") or NO_SIGNATURE)
        return reasoning.removeprefix(rest)

    def _called(self, call: dict[str, Any]) -> None:
        function, at = call.get("function") or {}, call["index"]
        if at < self._call or (at == self._call and self._open != "tool_use"):
            # `{}` alone says late that there were no arguments; as a piece of some, more of them would follow.
            self._is_tangled |= function.get("arguments") not in (None, "", "{}")
            return
        if at > self._call:
            self._close()
            self._call = at
            self._enter(
                "tool_use", {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
            )
        if function.get("arguments"):
            self._fill({"type": "input_json_delta", "partial_json": function["arguments"]})

    def _enter(self, kind: str, block: dict[str, Any]) -> None:
        if self._open == kind and kind:
            return
        self._close()
        self._open, self._index = kind or "redacted_thinking", self._index + 1
        self._say({"type": "content_block_start", "index": self._index, "content_block": block})

    def _fill(self, delta: dict[str, Any]) -> None:
        self._say({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self, signature: str = NO_SIGNATURE) -> None:
        if not self._open:
            return
        if self._open == "thinking":
            self._fill({"type": "signature_delta", "signature": signature})
        self._open = self._thinking = ""
        self._say({"type": "content_block_stop", "index": self._index})

    def _say(self, event: dict[str, Any]) -> None:
        self._out.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), one_line(orjson.dumps(event))))

    def _taken(self) -> bytes:
        taken, self._out = b"".join(self._out), []
        return taken
