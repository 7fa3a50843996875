"""Folds the pieces of an OpenAI-shaped answer into a Completion.

A streamed answer is many pieces, an unstreamed one is a single piece per choice: both go through `Answer`, so both
end in the same Completion. Each piece put in comes back cleaned, as what a caller may be sent. null means absent
throughout.

Read here because compatible servers do it (provider_contracts.md section 6): reasoning under two names, text as a
list of parts (Mistral), finish reasons under other names or `stop` after tool calls, usage on every chunk (the last
one stands).
"""

from typing import Any

from connectors.providers.adapter import Estimate, ProviderCall
from connectors.providers.openai_chat.calls import MalformedReplyError, ToolCalls, expect
from connectors.providers.openai_chat.errors import malformed
from connectors.providers.openai_chat.usage import read_usage
from schemas.completion import Choice, Completion, FinishReason, Usage
from schemas.errors import ErrorKind, ProviderError

__all__ = ["Answer"]

_FINISH: dict[str, FinishReason | ErrorKind] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",  # Zhipu
    "error": ErrorKind.PROVIDER_FAULT,  # OpenRouter, Mistral
    "abort": ErrorKind.PROVIDER_FAULT,  # vLLM
    "network_error": ErrorKind.PROVIDER_FAULT,  # Zhipu
    "insufficient_system_resource": ErrorKind.OVERLOADED,  # DeepSeek
}
# Content we have no canonical form for: an error, never dropped.
_UNMAPPABLE = ("audio", "images", "function_call")


class _ChoiceFold:
    __slots__ = ("annotations", "calls", "finish", "index", "logprobs", "reasoning", "refusal", "started", "text")

    def __init__(self, index: int, seed: str) -> None:
        self.index = index
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.calls = ToolCalls(f"{seed}/{index}")
        self.annotations: list[Any] = []
        self.logprobs: dict[str, Any] | None = None
        self.finish: str | None = None
        self.started = False

    def add(self, part: dict[str, Any], *, whole: bool) -> dict[str, Any]:
        """Takes in a message or delta; returns what of it is content, with the role at the first time."""
        for name in _UNMAPPABLE:
            if part.get(name):
                raise MalformedReplyError(f"the answer holds {name}, which cannot be passed on")
        delta: dict[str, Any] = {}
        text, thought = _text_and_thought(part.get("content"))
        thought += expect(part.get("reasoning_content") or part.get("reasoning") or "", str, "reasoning")
        refusal = expect(part.get("refusal") or "", str, "refusal")
        for key, piece, kept in (
            ("content", text, self.text),
            ("reasoning_content", thought, self.reasoning),
            ("refusal", refusal, self.refusal),
        ):
            if piece:
                kept.append(piece)
                delta[key] = piece
        if part.get("tool_calls"):
            pieces = expect(part["tool_calls"], list, "tool_calls")
            delta["tool_calls"] = [self.calls.add(piece, whole=whole) for piece in pieces]
        if part.get("annotations"):
            delta["annotations"] = expect(part["annotations"], list, "annotations")
            self.annotations += delta["annotations"]
        return self._with_role(delta)

    def add_logprobs(self, logprobs: dict[str, Any]) -> None:
        if self.logprobs is None:
            self.logprobs = {"content": None, "refusal": None}
        for key, entries in logprobs.items():
            if isinstance(entries, list):
                self.logprobs[key] = self.logprobs.get(key) or []
                self.logprobs[key].extend(entries)

    def end(self, reason: str) -> dict[str, Any]:
        """Notes the first finish reason; returns what is still to be said of the tool calls."""
        if self.finish is not None:
            return {}
        self.finish = reason
        pieces = self.calls.missing_arguments()
        return {"tool_calls": pieces} if pieces else {}

    def done(self) -> Choice:
        return Choice(
            index=self.index,
            text="".join(self.text),
            refusal="".join(self.refusal) or None,
            reasoning_content="".join(self.reasoning) or None,
            tool_calls=self.calls.done(),
            annotations=self.annotations,
            logprobs=self.logprobs,
        )

    def _with_role(self, delta: dict[str, Any]) -> dict[str, Any]:
        if not delta or self.started:
            return delta
        self.started = True
        return {"role": "assistant", **delta}


class Answer:
    """One answer while it comes in."""

    def __init__(self, call: ProviderCall, estimate: Estimate) -> None:
        self._call = call
        self._estimate = estimate
        self._choices: dict[int, _ChoiceFold] = {}
        self._usage: Usage | None = None
        self._vendor_id = ""
        self._vendor_model = ""
        self._service_tier: str | None = None

    def note(self, envelope: dict[str, Any]) -> None:
        """Takes what stands around the choices; blank is absent (Azure's first chunk), the last usage stands."""
        self._vendor_id = self._vendor_id or _text(envelope.get("id"))
        self._vendor_model = self._vendor_model or _text(envelope.get("model"))
        self._service_tier = _text(envelope.get("service_tier")) or self._service_tier
        if envelope.get("usage"):
            self._usage = read_usage(envelope["usage"]) or self._usage

    def add(self, choice: Any, *, part: str, whole: bool) -> tuple[int, dict[str, Any], dict[str, Any] | None]:
        """Takes one entry of `choices` in; returns index, cleaned piece (maybe empty), log probabilities.

        Raises:
            MalformedReplyError: it breaks the schema.
        """
        expect(choice, dict, "a choice")
        index = choice.get("index") or 0
        fold = self._choices.get(expect(index, int, "a choice's index"))
        if fold is None:
            fold = self._choices[index] = _ChoiceFold(index, self._seed())
        delta = fold.add(expect(choice.get(part) or {}, dict, part), whole=whole)
        logprobs = choice.get("logprobs")
        if logprobs:
            fold.add_logprobs(expect(logprobs, dict, "logprobs"))
        if choice.get("finish_reason"):
            rest = fold.end(_text(choice["finish_reason"]))
            if rest:
                delta = {**delta, "tool_calls": [*delta.get("tool_calls", ()), *rest["tool_calls"]]}
        return index, delta, logprobs or None

    def is_finished(self, *, told: bool) -> bool:
        """Every choice has its finish reason, and none is missing unless the vendor `told` that this was all."""
        wanted = self._call.body.get("n") or 1
        all_done = all(fold.finish is not None for fold in self._choices.values())
        return bool(self._choices) and all_done and (told or len(self._choices) >= wanted)

    def completion(self) -> Completion | ProviderError:
        choices = []
        for _, fold in sorted(self._choices.items()):
            choice = _finished(fold)
            if isinstance(choice, ProviderError):
                return choice
            choices.append(choice)
        if not choices:
            return malformed("the answer has no choices")
        usage = self._usage or self._counted(choices)
        usage.service_tier = self._service_tier
        return Completion(choices, usage, self._vendor_id, self._vendor_model)

    def usage_so_far(self) -> Usage | None:
        choices = [fold.done() for fold in self._choices.values() if fold.started]
        return self._usage or (self._counted(choices) if choices else None)

    def _counted(self, choices: list[Choice]) -> Usage:
        usage = self._estimate(self._call, choices)
        usage.estimated = True
        return usage

    def _seed(self) -> str:
        """Makes ids of tool calls for servers that give none: alike on every run, different in every turn."""
        return f"{self._vendor_id}/{self._call.upstream}/{len(self._call.body.get('messages') or ())}"


def _finished(fold: _ChoiceFold) -> Choice | ProviderError:
    """The choice under one of the four finish reasons; an unknown one counts as `stop` if there is content."""
    choice = fold.done()
    has_content = bool(choice.text or choice.tool_calls or choice.refusal)
    if fold.finish is None:
        return malformed("the answer has no finish reason")
    meant = _FINISH.get(fold.finish.lower()) or ("stop" if has_content else ErrorKind.PROVIDER_FAULT)
    if isinstance(meant, ErrorKind):
        return ProviderError(meant, code="bad_finish_reason", message="the provider gave up on the answer")
    if meant == "tool_calls" and not choice.tool_calls:
        if not has_content:
            return malformed("the answer promises tool calls and has none")
        meant = "stop"
    choice.finish_reason = "tool_calls" if meant == "stop" and choice.tool_calls else meant
    return choice


def _text_and_thought(content: Any) -> tuple[str, str]:
    """Text as a string, or as Mistral's list of `text` and `thinking` parts (docs.mistral.ai, reasoning)."""
    if content is None or isinstance(content, str):
        return content or "", ""
    text, thought = "", ""
    for part in expect(content, list, "content"):
        expect(part, dict, "a part of the content")
        if part.get("type") == "text":
            text += expect(part.get("text") or "", str, "text")
        elif part.get("type") == "thinking":
            thought += _text_and_thought(part.get("thinking"))[0]
        else:
            raise MalformedReplyError("the answer holds a part that cannot be passed on")
    return text, thought


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
