"""The pieces of an answer and their end, in order and without gaps, whatever surface spells them. Pure.

1. `feed` passes deltas on while they come in order and from one attempt, or from one that continues it from exactly what
   was passed on; after a gap it waits for the whole answer.
2. `finish` sends what the whole answer holds beyond that, then the end. If what was sent is not how the whole answer
   begins, nothing can mend it: an error frame.
"""

from typing import Any

import orjson

from connectors.gateway.problems import Problem
from connectors.gateway.surface import Frames
from connectors.gateway.wire import outcome_problem
from schemas.errors import ErrorCode
from schemas.events import Delta, Response

__all__ = ["Assembler"]

_TEXTS = ("reasoning_content", "content", "refusal")
_INTERRUPTED = Problem(ErrorCode.STREAM_INTERRUPTED, "the rest of the answer does not continue what was sent")


class Assembler:
    """One stream."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._attempt: int | None = None
        self._next_seq = 0
        self._stopped = False
        self._texts: dict[str, list[str]] = {name: [] for name in _TEXTS}
        self._calls: dict[int, dict[str, Any]] = {}
        self._blocks = 0
        self._annotations = 0

    @property
    def keep_alive(self) -> bytes:
        return self._frames.keep_alive

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
        rest = self._rest(body["choices"][0]["message"] if body["choices"] else {})
        if rest is None:
            return self.fail(_INTERRUPTED)
        return (self._send(rest) if rest else b"") + self._frames.end(body, response)

    def fail(self, problem: Problem) -> bytes:
        """The end of a stream that has none."""
        return self._frames.fail(problem)

    def _follows(self, delta: Delta) -> bool:
        if self._stopped or delta.kind != "chunk":
            return False
        if self._attempt is not None and (delta.attempt, delta.seq) < (self._attempt, self._next_seq):
            return False  # repeated, or of an attempt that was given up
        if delta.attempt != self._attempt and self._takes_over(delta):
            self._attempt, self._next_seq = delta.attempt, 0
        self._stopped = delta.attempt != self._attempt or delta.seq != self._next_seq
        return not self._stopped

    def _takes_over(self, delta: Delta) -> bool:
        if delta.continues_attempt is None:
            return not self._has_content
        return (delta.continues_attempt, delta.continues_pieces) == (self._attempt, self._next_seq)

    @property
    def _has_content(self) -> bool:
        return bool(self._calls or self._blocks) or any(self._texts.values())

    def _pass_on(self, data: bytes, out: list[bytes]) -> None:
        try:
            pieces = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._stopped = True
            return
        out += [self._send(piece) for piece in pieces]

    def _send(self, piece: dict[str, Any]) -> bytes:
        """One delta; remembers what of the answer it was."""
        piece.pop("role", None)
        for name in _TEXTS:
            if piece.get(name):
                self._texts[name].append(piece[name])
        self._blocks += len(piece.get("thinking_blocks") or ())
        self._annotations += len(piece.get("annotations") or ())
        if piece.get("tool_calls"):
            piece["tool_calls"] = [self._seen_call(call) for call in piece["tool_calls"]]
        return self._frames.piece(piece)

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

    def _rest(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """What was not yet sent of the first choice; None if what was sent is not its beginning."""
        rest: dict[str, Any] = {}
        for name in _TEXTS:
            sent, whole = "".join(self._texts[name]), message.get(name) or ""
            if not whole.startswith(sent):
                return None
            if len(whole) > len(sent):
                rest[name] = whole[len(sent) :]
        calls = message.get("tool_calls") or []
        missing = [self._missing(index, call) for index, call in enumerate(calls)]
        if None in missing or any(index >= len(calls) for index in self._calls):
            return None
        if any(missing):
            rest["tool_calls"] = [call for call in missing if call]
        if blocks := (message.get("thinking_blocks") or [])[self._blocks :]:
            rest["thinking_blocks"] = blocks
        if notes := (message.get("annotations") or [])[self._annotations :]:
            rest["annotations"] = notes
        return rest

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
