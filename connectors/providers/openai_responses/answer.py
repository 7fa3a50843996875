"""Reads an answer of OpenAI's Responses surface: output items into one choice.

A whole answer is fed item by item, a streamed one event by event (`stream`), both through `Reply`, so both end in the
same Completion:

- text, refusals, function calls as they come; citations in the form of Chat Completions; summaries of the reasoning are
  joined by a blank line;
- encrypted reasoning rides in the id of the call that follows it;
- after a stop sequence nothing counts any more but usage;
- `status` says how it ended; an item that asks something of us which was never offered cannot be passed on.
"""

from collections.abc import Callable
from typing import Any

from connectors.providers.adapter import Delta, Estimate, ProviderCall, rough_usage
from connectors.providers.answer import ChoiceFold, made_id
from connectors.providers.error_bodies import malformed
from connectors.providers.openai_chat.errors import error_in
from connectors.providers.openai_chat.usage import read_usage
from connectors.providers.openai_responses.request import owner_of
from connectors.providers.openai_responses.stops import StopCut, stops_of
from connectors.providers.reply import MalformedReplyError, expect
from connectors.providers.wire_json import loads
from schemas.completion import Completion, FinishReason, Usage
from schemas.errors import ErrorKind, ProviderError
from schemas.seals import seal_id

__all__ = ["Reply", "from_wire"]

_INCOMPLETE: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_SERVED_BY_VENDOR = "web_search_call"  # what it found is in the text


def from_wire(body: bytes, call: ProviderCall, *, estimate: Estimate = rough_usage) -> Completion | ProviderError:
    try:
        response = loads(body)
    except ValueError:
        return malformed("the answer is no JSON")
    error = error_in(response)
    if error is not None:
        return error
    reply = Reply(call, estimate)
    try:
        for item in expect(expect(response, dict, "the answer").get("output") or [], list, "output"):
            reply.whole_item(expect(item, dict, "an item"))
        reply.close(response)
    except MalformedReplyError as flaw:
        return malformed(str(flaw))
    return reply.completion()


class Reply:
    """One answer while it comes in; methods return what to pass on, and may raise MalformedReplyError."""

    def __init__(self, call: ProviderCall, estimate: Estimate) -> None:
        self._call = call
        self._estimate = estimate
        self._fold = ChoiceFold()
        self._cut = StopCut(stops_of(call.body.get("stop")))
        self._unsent: list[dict[str, Any]] = []  # encrypted reasoning that waits for its call
        self._logprobs: list[Any] = []
        self._summary: object = None
        self._usage: Usage | None = None
        self._vendor_id = ""
        self._vendor_model = ""
        self._service_tier: str | None = None
        self._ending: FinishReason | ProviderError | None = None

    # -- pieces

    def note(self, response: dict[str, Any]) -> None:
        """Takes what stands around the items; the last usage and tier stand."""
        self._vendor_id = self._vendor_id or _string(response.get("id"))
        self._vendor_model = self._vendor_model or _string(response.get("model"))
        self._service_tier = _string(response.get("service_tier")) or self._service_tier
        self._usage = read_usage(response.get("usage"), asked="input_tokens", said="output_tokens") or self._usage

    def text(self, piece: Any, logprobs: Any = None) -> Delta | None:
        if self._cut.is_cut:
            return None
        delta = self._fold.text(self._cut.feed(expect(piece, str, "text")))
        entries = [_logprob(entry) for entry in expect(logprobs or [], list, "logprobs")]
        self._logprobs += entries
        if not delta and not entries:
            return None
        return Delta(0, delta, {"content": entries, "refusal": None} if entries else None)

    def refusal(self, piece: Any) -> Delta | None:
        return self._piece(self._fold.refusal, expect(piece, str, "a refusal"))

    def summary(self, piece: Any, part: object) -> Delta | None:
        """`part` tells one part of a summary from the next."""
        said = expect(piece, str, "reasoning")
        if said and part != self._summary:
            said = said if self._summary is None else f"\n\n{said}"
            self._summary = part
        return self._piece(self._fold.reasoning, said)

    def annotation(self, annotation: Any) -> Delta | None:
        """Chat Completions cites addresses only."""
        said = expect(annotation, dict, "an annotation")
        if said.get("type") != "url_citation" or self._cut.is_cut:
            return None
        cited = {name: value for name, value in said.items() if name != "type"}
        return Delta(0, self._fold.annotation({"type": "url_citation", "url_citation": cited}))

    def reasoning(self, item: dict[str, Any]) -> None:
        """Keeps what the model wants back; the summary is ours to show and no part of it."""
        if isinstance(item.get("encrypted_content"), str) and isinstance(item.get("id"), str):
            kept = {"type": "reasoning", "id": item["id"], "summary": []}
            self._unsent.append({**kept, "encrypted_content": item["encrypted_content"]})

    def open_call(self, item: dict[str, Any]) -> tuple[int, Delta] | None:
        """Its number among the calls; None after a stop sequence."""
        name = expect(item.get("name"), str, "a tool's name")
        if self._cut.is_cut:
            return None
        at, id = self._fold.calls, _string(item.get("call_id")) or self._made_id()
        if self._unsent:
            id = seal_id(id, owner_of(self._call), {"reasoning": self._unsent})
            self._unsent = []
        return at, Delta(0, self._fold.call(id, name))

    def arguments(self, at: int, piece: Any) -> Delta | None:
        delta = self._fold.arguments(at, expect(piece or "", str, "a tool's arguments"))
        return Delta(0, delta) if delta else None

    def end_call(self, at: int) -> Delta | None:
        delta = self._fold.end_call(at)
        return Delta(0, delta) if delta else None

    def whole_item(self, item: dict[str, Any]) -> None:
        check_item(item)
        match item.get("type"):
            case "message":
                for part in expect(item.get("content") or [], list, "content"):
                    self._whole_part(expect(part, dict, "a part of the content"))
            case "reasoning":
                for index, part in enumerate(expect(item.get("summary") or [], list, "a summary")):
                    text = expect(part, dict, "a summary").get("text")
                    self.summary(text or "", (id(item), index))
                self.reasoning(item)
            case "function_call":
                if (opened := self.open_call(item)) is not None:
                    self.arguments(opened[0], item.get("arguments"))
                    self.end_call(opened[0])

    def _whole_part(self, part: dict[str, Any]) -> None:
        match part.get("type"):
            case "output_text":
                self.text(part.get("text") or "", part.get("logprobs"))
                for annotation in expect(part.get("annotations") or [], list, "annotations"):
                    self.annotation(annotation)
            case "refusal":
                self.refusal(part.get("refusal") or "")
            case _:
                raise MalformedReplyError("the answer holds a part that cannot be passed on")

    def _piece(self, put: Callable[[str], dict[str, Any]], said: str) -> Delta | None:
        delta = {} if self._cut.is_cut else put(said)
        return Delta(0, delta) if delta else None

    def _made_id(self) -> str:
        turn = len(self._call.body.get("messages") or ())
        return made_id(self._vendor_id, self._call.upstream, turn, self._fold.calls)

    # -- the end

    @property
    def is_closed(self) -> bool:
        return self._ending is not None

    def close(self, response: dict[str, Any]) -> Delta | None:
        """The vendor's last word; what was held back for a stop sequence goes out."""
        self.note(response)
        delta = self._fold.text(self._cut.rest())
        self._ending = self._ended(response)
        return Delta(0, delta) if delta else None

    def completion(self) -> Completion | ProviderError:
        if self._ending is None:
            return malformed("the answer has no end")
        if isinstance(self._ending, ProviderError):
            return self._ending
        choice = self._fold.done(self._ending)
        if self._logprobs:
            choice.logprobs = {"content": self._kept_logprobs(choice.text), "refusal": None}
        usage = self._usage or self._counted()
        usage.service_tier = self._service_tier
        return Completion([choice], usage, self._vendor_id, self._vendor_model)

    def usage_so_far(self) -> Usage | None:
        return self._usage or (self._counted() if self._fold.has_started else None)

    def _ended(self, response: dict[str, Any]) -> FinishReason | ProviderError:
        if self._cut.is_cut:
            return "stop"
        match response.get("status"):
            case "completed":
                return "tool_calls" if self._fold.calls else "stop"
            case "incomplete":
                return self._incomplete(response.get("incomplete_details"))
            case "failed" | "cancelled":
                gave_up = ProviderError(ErrorKind.PROVIDER_FAULT, code="failed", message="the provider gave up")
                return error_in(response) or gave_up
            case _:
                return malformed("the answer has no final status")

    def _incomplete(self, details: Any) -> FinishReason | ProviderError:
        reason = _string(details.get("reason")) if isinstance(details, dict) else ""
        meant = _INCOMPLETE.get(reason)
        if meant is None and self._fold.has_content:
            meant = "tool_calls" if self._fold.calls else "stop"
        return meant or ProviderError(
            ErrorKind.PROVIDER_FAULT, code="bad_finish_reason", message="the provider gave up on the answer"
        )

    def _kept_logprobs(self, text: str) -> list[Any]:
        """Those of the tokens that begin within the text, which a stop sequence may have cut."""
        if not self._cut.is_cut:
            return self._logprobs
        kept, at = [], 0
        for entry in self._logprobs:
            if at >= len(text):
                break
            kept.append(entry)
            at += len(_string(entry.get("token")))
        return kept

    def _counted(self) -> Usage:
        usage = self._estimate(self._call, [self._fold.done("stop")])
        usage.estimated = True
        return usage


def check_item(item: dict[str, Any]) -> None:
    """An item that we would have to act on, of a tool that was not offered."""
    kind = _string(item.get("type"))
    if kind.endswith("_call") and kind not in {"function_call", _SERVED_BY_VENDOR}:
        raise MalformedReplyError("the answer holds an item that cannot be passed on")


def _logprob(entry: Any) -> dict[str, Any]:
    """In the form of Chat Completions, where `bytes` and `top_logprobs` always stand."""
    return {"bytes": None, "top_logprobs": [], **expect(entry, dict, "a log probability")}


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
