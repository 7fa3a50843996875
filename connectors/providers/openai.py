"""OpenAI: which of its surfaces a call goes to, and the adapter over them.

The surface is a pure function of the call, so that the answer is read as the question was put:

    embeddings                                        -> /embeddings
    the model has no other (`api: responses`)         -> /responses
    tools, and the model takes them there only
      (`tools_need_responses`) unless it does not think -> /responses
    else                                              -> /chat/completions
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from connectors.providers import openai_responses
from connectors.providers.adapter import Estimate, ProviderCall, StreamParser, WireRequest, rough_usage
from connectors.providers.knobs import effort_of
from connectors.providers.openai_chat import OPENAI_CHAT
from connectors.providers.openai_responses import EventParser
from schemas.completion import Answer
from schemas.errors import ProviderError

__all__ = ["OPENAI", "OpenAI", "surface_of"]

Surface = Literal["chat", "responses"]


def surface_of(call: ProviderCall) -> Surface:
    """Of OpenAI's two ways to chat; embeddings are read with the first."""
    if call.operation != "chat":
        return "chat"
    thinks = effort_of(call) != "none"  # unsaid counts as on
    tools_need_it = call.flags.get("tools_need_responses") and call.body.get("tools") and thinks
    return "responses" if call.flags.get("api") == "responses" or tools_need_it else "chat"


@dataclass(frozen=True, slots=True)
class OpenAI:
    """See `adapter.Adapter`."""

    credential: tuple[str, str] = OPENAI_CHAT.credential

    def to_wire(self, call: ProviderCall) -> WireRequest | ProviderError:
        return openai_responses.to_wire(call) if surface_of(call) == "responses" else OPENAI_CHAT.to_wire(call)

    def from_wire(self, body: bytes, call: ProviderCall, *, estimate: Estimate = rough_usage) -> Answer | ProviderError:
        read = openai_responses.from_wire if surface_of(call) == "responses" else OPENAI_CHAT.from_wire
        return read(body, call, estimate=estimate)

    def stream(self, call: ProviderCall, *, estimate: Estimate = rough_usage) -> StreamParser:
        if surface_of(call) == "responses":
            return EventParser(call, estimate)
        return OPENAI_CHAT.stream(call, estimate=estimate)

    def to_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return OPENAI_CHAT.to_error(status, headers, body)


OPENAI = OpenAI()
