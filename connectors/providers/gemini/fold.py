"""Folds Gemini's answers into a Completion.

A stream is a sequence of whole answers that each hold a piece, an unstreamed answer is one of them: both go through
`Answer`, so both end in the same Completion. What a caller may be sent comes back as deltas.

- Parts are text, thoughts (`thought: true`) or calls; anything else has no canonical form and is an error, never dropped.
- A call comes whole. Its signature goes out sealed, in its id and beside it; one on a text part is let go: the vendor wants
  it back as a courtesy only, and text of a plain client has no place for it.
- Without parallel calls being wanted only the first one is kept: Gemini has no knob for that.
- The last finish reason and the last usage stand: some models say `STOP` in every piece, and usage is cumulative.

Source: ai.google.dev/api/generate-content, provider_contracts.md section 5.
"""

from typing import Any

from connectors.providers.adapter import Delta, Estimate, ProviderCall
from connectors.providers.answer import ChoiceFold, made_id
from connectors.providers.error_bodies import malformed
from connectors.providers.gemini.finish import finished
from connectors.providers.gemini.request import owner_of
from connectors.providers.reply import MalformedReplyError, count, expect
from connectors.providers.wire_json import dumps
from schemas.completion import Choice, Completion, Usage
from schemas.errors import ErrorKind, ProviderError
from schemas.seals import seal, seal_id

__all__ = ["Answer", "usage_of"]

# What a part may hold beside its content; all else is content.
_ABOUT = frozenset({"text", "thought", "thoughtSignature", "partMetadata", "videoMetadata", "mediaResolution"})
_UNSAID = frozenset({"", "FINISH_REASON_UNSPECIFIED"})


class _Candidate:
    __slots__ = ("fold", "ids", "reason")

    def __init__(self, index: int) -> None:
        self.fold = ChoiceFold(index)
        self.ids: set[str] = set()
        self.reason = ""


class Answer:
    """One answer while it comes in."""

    def __init__(self, call: ProviderCall, estimate: Estimate) -> None:
        self._call = call
        self._estimate = estimate
        self._owner = owner_of(call)
        self._only_one_call = call.body.get("parallel_tool_calls") is False
        self._candidates: dict[int, _Candidate] = {}
        self._block_reason = ""
        self._usage: Usage | None = None
        self._vendor_id = ""
        self._vendor_model = ""

    def take(self, reply: Any) -> list[Delta]:
        """Takes a whole answer, or a piece of one, in.

        Raises:
            MalformedReplyError: it breaks the schema.
        """
        expect(reply, dict, "the answer")
        self._vendor_id = self._vendor_id or _text(reply.get("responseId"))
        self._vendor_model = self._vendor_model or _text(reply.get("modelVersion"))
        self._usage = usage_of(reply) or self._usage
        feedback = reply.get("promptFeedback")
        if isinstance(feedback, dict):
            self._block_reason = _text(feedback.get("blockReason")) or self._block_reason
        deltas: list[Delta] = []
        for candidate in expect(reply.get("candidates") or [], list, "candidates"):
            deltas += self._take_candidate(expect(candidate, dict, "a candidate"))
        return deltas

    @property
    def blocked(self) -> ProviderError | None:
        """The provider refused the prompt, before the first candidate or while one was coming."""
        if self.is_finished or not self._block_reason:
            return None
        code = self._block_reason if self._block_reason.isascii() else None
        return ProviderError(ErrorKind.CONTENT_FILTERED, code=code, message="the prompt was blocked by the provider")

    @property
    def is_finished(self) -> bool:
        """Every candidate that was seen has its reason: there is no other marker, and fewer than asked for may come."""
        return bool(self._candidates) and all(one.reason for one in self._candidates.values())

    def completion(self) -> Completion | ProviderError:
        if (blocked := self.blocked) is not None:
            return blocked
        choices = []
        for _, one in sorted(self._candidates.items()):
            choice = finished(one.fold, one.reason)
            if isinstance(choice, ProviderError):
                return choice
            choices.append(choice)
        if not choices:
            return malformed("the answer has no candidates")
        return Completion(choices, self._usage or self._counted(choices), self._vendor_id, self._vendor_model)

    def usage_so_far(self) -> Usage | None:
        choices = [one.fold.done("stop") for one in self._candidates.values() if one.fold.has_started]
        return self._usage or (self._counted(choices) if choices else None)

    def _counted(self, choices: list[Choice]) -> Usage:
        usage = self._estimate(self._call, choices)
        usage.estimated = True
        return usage

    def _take_candidate(self, candidate: dict[str, Any]) -> list[Delta]:
        index = expect(candidate.get("index") or 0, int, "a candidate's index")
        one = self._candidates.get(index)
        if one is None:
            one = self._candidates[index] = _Candidate(index)
        reason = _text(candidate.get("finishReason"))
        if reason not in _UNSAID:
            one.reason = reason
        content = expect(candidate.get("content") or {}, dict, "content")
        pieces = [self._part(part, one) for part in expect(content.get("parts") or [], list, "parts")]
        deltas = [Delta(index, piece) for piece in pieces if piece]
        logprobs = _logprobs(candidate.get("logprobsResult"), one.fold)
        if logprobs is not None:
            last = deltas.pop().delta if deltas else {}
            deltas.append(Delta(index, last, logprobs))
        return deltas

    def _part(self, part: Any, one: _Candidate) -> dict[str, Any]:
        content = expect(part, dict, "a part").keys() - _ABOUT
        if content == {"functionCall"}:
            return self._tool_call(expect(part["functionCall"], dict, "functionCall"), part, one)
        if content:
            raise MalformedReplyError(f"the answer holds {min(content)[:40]}, which cannot be passed on")
        text = expect(part.get("text") or "", str, "text")
        return one.fold.reasoning(text) if part.get("thought") is True else one.fold.text(text)

    def _tool_call(self, call: dict[str, Any], part: dict[str, Any], one: _Candidate) -> dict[str, Any]:
        if self._only_one_call and one.fold.calls:
            return {}
        name = expect(call.get("name"), str, "a function's name")
        arguments = expect(call.get("args") or {}, dict, "a function's arguments")
        if not name or call.get("partialArgs"):
            raise MalformedReplyError("a function call has no name, or comes in pieces")
        id, extra = self._id(_text(call.get("id")), one), None
        if signature := _text(part.get("thoughtSignature")):
            extra = {"google": {"thought_signature": seal(signature, self._owner)}}
            id = seal_id(id, self._owner, {"signature": signature})
        return one.fold.call(id, name, dumps(arguments).decode(), extra_content=extra)

    def _id(self, said: str, one: _Candidate) -> str:
        """The vendor's, unless it is missing or was given to another call before."""
        if not said or said in one.ids:
            turn = len(self._call.body.get("messages") or ())
            said = made_id(self._vendor_id, self._call.upstream, turn, one.fold.index, one.fold.calls)
        one.ids.add(said)
        return said


def usage_of(reply: dict[str, Any]) -> Usage | None:
    """`usageMetadata`; None where it does not count the prompt. Cached tokens are inside the prompt's already."""
    said = reply.get("usageMetadata")
    if not isinstance(said, dict) or not (prompt := count(said.get("promptTokenCount"))):
        return None
    thoughts = count(said.get("thoughtsTokenCount")) or 0
    return Usage(
        input_tokens=prompt + (count(said.get("toolUsePromptTokenCount")) or 0),
        output_tokens=(count(said.get("candidatesTokenCount")) or 0) + thoughts,
        cache_read_tokens=count(said.get("cachedContentTokenCount")) or 0,
        reasoning_tokens=thoughts,
    )


def _logprobs(result: Any, fold: ChoiceFold) -> dict[str, Any] | None:
    """The piece in OpenAI's form, kept as well. Google gives tokens as text, not as bytes."""
    if not isinstance(result, dict) or not result.get("chosenCandidates"):
        return None
    tops = expect(result.get("topCandidates") or [], list, "topCandidates")
    entries = []
    for at, chosen in enumerate(expect(result["chosenCandidates"], list, "chosenCandidates")):
        top = expect(tops[at], dict, "a step").get("candidates") if at < len(tops) else None
        others = [_token(other) for other in expect(top or [], list, "candidates of a step")]
        entries.append({**_token(chosen), "top_logprobs": others})
    if fold.logprobs is None:
        fold.logprobs = {"content": [], "refusal": None}
    fold.logprobs["content"] += entries
    return {"content": entries, "refusal": None}


def _token(candidate: Any) -> dict[str, Any]:
    expect(candidate, dict, "a candidate token")
    return {"token": _text(candidate.get("token")), "logprob": candidate.get("logProbability"), "bytes": None}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
