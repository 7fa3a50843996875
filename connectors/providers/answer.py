"""One choice of an answer, put together from pieces: what every adapter but OpenAI's own wire folds its answer with.

A whole answer is fed piece by piece like a stream, so both end in the same `Choice`. Each method takes a piece in and
returns it as the delta that a caller may be sent, with the role at the first time; {} where there is nothing to send.
"""

import hashlib
from typing import Any

from schemas.completion import Choice, FinishReason, ToolCall

__all__ = ["ChoiceFold", "made_id"]


def made_id(*seed: object) -> str:
    """An id for a tool call that came without one: alike on every run, different for every seed."""
    said = "/".join(str(part) for part in seed).encode("utf-8", "replace")
    return f"call_{hashlib.blake2b(said, digest_size=12).hexdigest()}"


class ChoiceFold:
    __slots__ = (
        "_annotations",
        "_arguments",
        "_calls",
        "_reasoning",
        "_refusal",
        "_started",
        "_text",
        "_thinking",
        "index",
        "logprobs",
    )

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.logprobs: dict[str, Any] | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._thinking: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._calls: list[ToolCall] = []
        self._arguments: list[list[str]] = []
        self._started = False

    @property
    def has_content(self) -> bool:
        """Something that a caller can use: reasoning alone is no answer."""
        return bool(self._text or self._calls or self._refusal)

    @property
    def has_started(self) -> bool:
        return self._started

    @property
    def calls(self) -> int:
        return len(self._calls)

    def text(self, piece: str) -> dict[str, Any]:
        return self._kept(self._text, "content", piece)

    def reasoning(self, piece: str) -> dict[str, Any]:
        return self._kept(self._reasoning, "reasoning_content", piece)

    def refusal(self, piece: str) -> dict[str, Any]:
        return self._kept(self._refusal, "refusal", piece)

    def thinking_block(self, block: dict[str, Any]) -> dict[str, Any]:
        """A whole block whose signature is sealed; its text went out as reasoning before."""
        self._thinking.append(block)
        return self._delta({"thinking_blocks": [block]})

    def annotation(self, annotation: dict[str, Any]) -> dict[str, Any]:
        self._annotations.append(annotation)
        return self._delta({"annotations": [annotation]})

    def call(
        self, id: str, name: str, arguments: str = "", *, extra_content: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Opens a tool call; its index is ours, 0, 1, 2."""
        self._calls.append(ToolCall(id, name, "", extra_content=extra_content))
        self._arguments.append([arguments])
        piece: dict[str, Any] = {
            "index": len(self._calls) - 1,
            "id": id,
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        if extra_content is not None:
            piece["extra_content"] = extra_content
        return self._delta({"tool_calls": [piece]})

    def arguments(self, at: int, piece: str) -> dict[str, Any]:
        """More arguments of call `at`."""
        if not piece:
            return {}
        self._arguments[at].append(piece)
        return self._delta({"tool_calls": [{"index": at, "function": {"arguments": piece}}]})

    def end_call(self, at: int) -> dict[str, Any]:
        """A call that was given no arguments has `{}`, never ""."""
        return {} if any(self._arguments[at]) else self.arguments(at, "{}")

    def done(self, finish: FinishReason) -> Choice:
        for call, said in zip(self._calls, self._arguments, strict=True):
            call.arguments = "".join(said) or "{}"
        return Choice(
            index=self.index,
            text="".join(self._text),
            refusal="".join(self._refusal) or None,
            reasoning_content="".join(self._reasoning) or None,
            tool_calls=self._calls,
            annotations=self._annotations,
            thinking_blocks=self._thinking,
            logprobs=self.logprobs,
            finish_reason=finish,
        )

    def _kept(self, pieces: list[str], key: str, piece: str) -> dict[str, Any]:
        if not piece:
            return {}
        pieces.append(piece)
        return self._delta({key: piece})

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        if self._started:
            return delta
        self._started = True
        return {"role": "assistant", **delta}
