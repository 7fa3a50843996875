"""The shape of a provider adapter: how one vendor's API is spelled, without I/O.

    to_wire(call)                   -> WireRequest                  without credentials
    from_wire(body, call)           -> Completion | Embeddings | ProviderError
    stream(call)                    -> parser: feed(event) -> deltas, finish() -> Completion | ProviderError
    to_error(status, headers, body) -> ProviderError

Who a provider is (URL, key) the driver knows, what a model can do stands in the catalogue's flags, how it is spelled
stands in an adapter: three places, never mixed. Failures are values in every function; `provider` and `model` of an
error are filled in by the driver, and so is what only headers say about waiting.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from connectors.providers.sse import SSEvent
from connectors.providers.wire_json import dumps
from schemas.completion import Answer, Choice, Completion, Usage
from schemas.errors import ProviderError

__all__ = ["Adapter", "Delta", "Estimate", "ProviderCall", "StreamParser", "WireRequest", "rough_usage"]


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """One order to a provider.

    Attributes:
        body: a validated OpenAI chat completions request as parsed JSON; never changed.
        upstream: the vendor's name of the model; `body["model"]` is the caller's and stays here.
        stream: whether we ask for a stream, whatever the caller asked for.
        max_tokens: what may be generated at most; None leaves the caller's number.
        flags: the model's resolved flags (provider_contracts.md section 3, `schemas.catalog.Flags`).
        operation: `chat`, or `embeddings` with the body of an OpenAI embeddings request.
        keep_state: signatures and thinking of earlier turns go back to the vendor; false after it has refused them.
    """

    body: Mapping[str, Any]
    upstream: str
    stream: bool = False
    max_tokens: int | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    operation: str = "chat"
    keep_state: bool = True


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What goes out; `path` is appended to the base URL, `dropped` names the parameters that were left out.

    `stream`: the answer comes as a stream, even if the caller did not ask for one.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    json: dict[str, Any]
    dropped: tuple[str, ...] = ()
    stream: bool = False

    def content(self) -> bytes:
        return dumps(self.json)


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of choice `index` as OpenAI's `choices[].delta`.

    The first of a choice has the role; id, type and name of a tool call come once, in its first piece. It never
    carries a finish reason: that is said only with the whole answer.
    """

    index: int
    delta: dict[str, Any]
    logprobs: dict[str, Any] | None = None


Estimate = Callable[[ProviderCall, Sequence[Choice]], Usage]
"""Counts the tokens of a call whose vendor did not; may be called with a part of an answer."""


def rough_usage(call: ProviderCall, choices: Sequence[Choice]) -> Usage:
    """Four bytes a token, the rule of thumb for English; for want of a tokenizer."""
    asked = len(dumps([call.body.get("messages") or call.body.get("input"), call.body.get("tools")]))
    said = sum(
        len((c.text + (c.reasoning_content or "") + (c.refusal or "")).encode("utf-8", "replace"))
        + sum(len(call.name) + len(call.arguments) for call in c.tool_calls)
        for c in choices
    )
    return Usage(input_tokens=asked // 4 + 1, output_tokens=-(-said // 4), estimated=True)


class StreamParser(Protocol):
    """Reads one stream."""

    @property
    def ended(self) -> bool:
        """The vendor said that nothing more comes, or what came makes reading on pointless."""

    def feed(self, event: SSEvent) -> list[Delta]: ...

    def finish(self) -> Completion | ProviderError:
        """The whole answer, whyever the stream ended; an error if the vendor did not say that it was finished."""

    def usage_so_far(self) -> Usage | None:
        """What to book if the stream breaks here; None if nothing was generated yet."""


class Adapter(Protocol):
    @property
    def credential(self) -> tuple[str, str]:
        """Header that holds the key, and what stands before it."""

    def to_wire(self, call: ProviderCall) -> WireRequest | ProviderError:
        """An error where the vendor cannot take a part of the request: nothing is dropped silently."""

    def from_wire(self, body: bytes, call: ProviderCall, *, estimate: Estimate = rough_usage) -> Answer | ProviderError:
        """The body of a 2xx answer, which may still be an error."""

    def stream(self, call: ProviderCall, *, estimate: Estimate = rough_usage) -> StreamParser: ...

    def to_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Any answer outside 2xx. Names of headers are in lower case."""
