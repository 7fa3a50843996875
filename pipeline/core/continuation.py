"""Going on with an answer that broke off: what was delivered, what the next model is asked, how its words join on. Pure.

    delivered(deltas)             -> Prefix: exactly what a caller got, as the gateway put it together; None: not continuable
    continued(body, prefix, flags)-> the request with that beginning: as a prefill, or with the wish to go on
    Continuation                  -> its pieces and its answer, joined to the prefix at the seam

The seam (`Seam`): a model that begins its answer again, or repeats the last words, would be read twice. What it repeats is
cut: the whole prefix, or an overlap of at least `MIN_OVERLAP` characters; less may be chance. Text is held back only while
more of it could still be a repetition, so any split of it into pieces gives the same text.

White space at the end of a prefill is refused by some vendors and tokenised badly by the others, so it never goes out; but
the caller has it, so what the model says of it again is cut.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from pipeline.core.classify.tokens import count_tokens
from schemas.completion import Choice, Completion, Usage
from schemas.events import Delta, Prefix

__all__ = [
    "MIN_OVERLAP",
    "Continuation",
    "Seam",
    "continued",
    "delivered",
    "heard_tokens",
    "pieces_tokens",
    "prefix_tokens",
]

MIN_OVERLAP = 16

_GO_ON = (
    "Your answer above was cut off. Go on exactly where it stopped, in the middle of a word or sentence if it stopped "
    "there. Repeat nothing of it, and write no preamble and no remark about this: only what comes next."
)
_TEXTS = frozenset({"role", "content", "reasoning_content", "thinking_blocks"})


# --- what was delivered --------------------------------------------------------------------------------------------


def delivered(deltas: Iterable[Delta]) -> Prefix | None:
    """What the pieces of all attempts of a request, in the order of their topic, say to a reader without gaps.

    Without text where nothing was said yet; None if a piece is missing or is no text, so that nobody can go on from here.
    """
    reader = _Reader()
    return reader.prefix if all(reader.take(delta) for delta in deltas if delta.kind == "chunk") else None


class _Reader:
    """Follows attempts as the gateway does: another one takes over while nothing was said, or where it continues."""

    def __init__(self) -> None:
        self.prefix = Prefix(attempt=0, pieces=0, content="")
        self._blocks: list[Any] = []

    def take(self, delta: Delta) -> bool:
        """False: this cannot be continued."""
        prefix = self.prefix
        if delta.attempt < prefix.attempt or (delta.attempt == prefix.attempt and delta.seq < prefix.pieces):
            return True  # late, or repeated
        if delta.attempt > prefix.attempt:
            if not self._may_take_over(delta):
                return False
            prefix.attempt, prefix.pieces = delta.attempt, 0
        if delta.seq != prefix.pieces:
            return False
        prefix.pieces += 1
        return self._add(delta.data)

    def _may_take_over(self, delta: Delta) -> bool:
        if delta.continues_attempt is None:
            return self.prefix.is_empty
        return (delta.continues_attempt, delta.continues_pieces) == (self.prefix.attempt, self.prefix.pieces)

    def _add(self, data: bytes) -> bool:
        try:
            pieces: list[dict[str, Any]] = orjson.loads(data)
        except orjson.JSONDecodeError:
            return False
        for piece in pieces:
            if any(value for name, value in piece.items() if name not in _TEXTS):
                return False
            self.prefix.content += piece.get("content") or ""
            self.prefix.reasoning_content += piece.get("reasoning_content") or ""
            self._blocks += piece.get("thinking_blocks") or ()
        self.prefix.thinking_blocks = orjson.dumps(self._blocks)
        return True


def prefix_tokens(prefix: Prefix) -> int:
    """By our own count, for want of the vendor's word."""
    return count_tokens(prefix.content) + count_tokens(prefix.reasoning_content)


def heard_tokens(deltas: Iterable[Delta]) -> int:
    """The same of deltas, whatever they are pieces of."""
    return pieces_tokens(piece for delta in deltas for piece in _pieces(delta.data))


def pieces_tokens(pieces: Iterable[Mapping[str, Any]]) -> int:
    return count_tokens("".join(text for piece in pieces for text in _strings(piece)))


def _pieces(data: bytes) -> list[dict[str, Any]]:
    try:
        pieces: list[dict[str, Any]] = orjson.loads(data)
    except orjson.JSONDecodeError:
        return []
    return pieces


def _strings(piece: Mapping[str, Any]) -> Iterator[str]:
    yield from (piece[name] for name in ("reasoning_content", "content", "refusal") if piece.get(name))
    for call in piece.get("tool_calls") or ():
        yield (call.get("function") or call.get("custom") or {}).get("arguments") or ""


# --- what is asked -------------------------------------------------------------------------------------------------


def _is_prefilled(flags: Mapping[str, Any]) -> bool:
    """Whether the model goes on with a begun answer by itself."""
    return flags.get("prefill") is True


def continued(body: Mapping[str, Any], prefix: Prefix, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the beginning of its answer; as it was where only reasoning was delivered."""
    if not _is_prefilled(flags):
        if not prefix.content:
            return dict(body)
        asked = [{"role": "assistant", "content": prefix.content}, {"role": "user", "content": _GO_ON}]
        return {**body, "messages": [*body["messages"], *asked]}
    begun = prefix.content.rstrip()
    return _without_format({**body, "messages": _begun(body["messages"], begun)}) if begun else dict(body)


def _begun(messages: list[dict[str, Any]], begun: str) -> list[dict[str, Any]]:
    """A caller's own prefill and ours are one message: a vendor would read a break between two."""
    last = messages[-1]
    if last.get("role") == "assistant" and isinstance(last.get("content"), str) and not last.get("tool_calls"):
        return [*messages[:-1], {**last, "content": last["content"] + begun}]
    return [*messages, {"role": "assistant", "content": begun}]


def _without_format(body: dict[str, Any]) -> dict[str, Any]:
    """A vendor that enforces JSON would begin it again: in the middle of it the form is asked for in words."""
    form = body.pop("response_format", None)
    kind = form.get("type") if isinstance(form, Mapping) else None
    if kind not in ("json_object", "json_schema"):
        return body
    wish = "The whole answer is one JSON value and nothing else."
    if kind == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema") or {}
        wish += f" It satisfies this JSON Schema: {orjson.dumps(schema).decode()}"
    return {**body, "messages": [{"role": "system", "content": wish}, *body["messages"]]}


# --- how it joins on -----------------------------------------------------------------------------------------------


class Seam:
    """Where a continuation meets `said`; `spaces` is the end of it that the model did not see."""

    def __init__(self, said: str, spaces: str = "") -> None:
        self._said = said
        self._spaces = spaces
        self._held = ""
        self._is_open = True
        self._cut = 0

    def feed(self, text: str) -> str:
        """What of the text so far is new and may go out."""
        if not self._is_open or not text:
            return self._without_spaces(text)
        self._held += text
        return "" if self._may_repeat_more() else self.end()

    def end(self) -> str:
        """What was held back: no more is coming that it could be a repetition of."""
        if not self._is_open:
            return ""
        self._is_open, held = False, self._held
        self._cut = self._overlap(held)
        return self._without_spaces(held[self._cut :])

    def rest(self, text: str) -> str:
        """What is new of the whole continuation; says the same as `feed` and `end` together."""
        if self._is_open:
            self._held = text
            self.end()
        return text[self._cut :]

    def _may_repeat_more(self) -> bool:
        """Whether `said` holds what is held, with more after it."""
        said, held, least = len(self._said), len(self._held), self._least
        end = min(said - 1, said - least + held)
        return end > 0 and self._said.find(self._held, 0, end) >= 0

    def _overlap(self, text: str) -> int:
        """The longest beginning of the text that `said` ends with; 0 below the least."""
        least = self._least
        start = self._said.find(text[:least]) if least and len(text) >= least else -1
        while start >= 0:
            if text.startswith(self._said[start:]):
                return len(self._said) - start
            start = self._said.find(text[:least], start + 1)
        return 0

    @property
    def _least(self) -> int:
        return min(MIN_OVERLAP, len(self._said))

    def _without_spaces(self, text: str) -> str:
        """The model writes its own white space where `spaces` stand already."""
        same = 0
        while same < min(len(text), len(self._spaces)) and text[same] == self._spaces[same]:
            same += 1
        self._spaces = self._spaces[same:] if same == len(text) else ""
        self._cut += same
        return text[same:]


class Continuation:
    """The pieces and the answer of one call that goes on from `prefix`.

    Reasoning passes only while no content was delivered; signatures never: they belong to one vendor's whole turn.
    """

    def __init__(self, prefix: Prefix, flags: Mapping[str, Any]) -> None:
        self.prefix = prefix
        said = prefix.content.rstrip() if _is_prefilled(flags) else prefix.content
        self._seam = Seam(said, prefix.content[len(said) :])

    def piece(self, delta: Mapping[str, Any]) -> dict[str, Any]:
        """The piece without what the caller has; maybe nothing. A tool call ends the text in front of it."""
        kept = {name: value for name, value in delta.items() if name not in _TEXTS}
        if delta.get("reasoning_content") and not self.prefix.content:
            kept["reasoning_content"] = delta["reasoning_content"]
        text = self._seam.feed(delta["content"]) if delta.get("content") else ""
        if any(kept.get(name) for name in ("tool_calls", "refusal")):
            text += self._seam.end()
        return {"content": text, **kept} if text else kept

    def answer(self, completion: Completion) -> Completion:
        """The whole answer: prefix and continuation, and what both took."""
        choices = [self._whole(choice) for choice in completion.choices[:1]]
        return dataclasses.replace(completion, choices=choices, usage=self._usage(completion.usage))

    def _whole(self, choice: Choice) -> Choice:
        reasoning = self.prefix.reasoning_content
        if not self.prefix.content:
            reasoning += choice.reasoning_content or ""
        return dataclasses.replace(
            choice,
            text=self.prefix.content + self._seam.rest(choice.text),
            reasoning_content=reasoning or None,
            thinking_blocks=orjson.loads(self.prefix.thinking_blocks),
        )

    def _usage(self, usage: Usage) -> Usage:
        """The caller asked once and got one answer: the first input, all output. What vendors billed stands in the books."""
        return Usage(
            input_tokens=self.prefix.input_tokens,
            output_tokens=self.prefix.output_tokens + usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            estimated=True,
            service_tier=usage.service_tier,
        )
