"""OpenAI Chat Completions (platform.openai.com/docs/api-reference/chat), and the adapter of all that speak like it.

Request, answer, stream and errors have a module each: request, fold, stream, errors. Embeddings are `openai_embeddings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.providers import openai_embeddings
from connectors.providers.adapter import Estimate, ProviderCall, WireRequest, rough_usage
from connectors.providers.openai_chat import errors, request
from connectors.providers.openai_chat.calls import MalformedReplyError, expect
from connectors.providers.openai_chat.fold import Answer
from connectors.providers.openai_chat.request import Quirks
from connectors.providers.openai_chat.stream import ChunkParser
from connectors.providers.wire_json import loads
from schemas.completion import Answer as CallAnswer
from schemas.errors import ProviderError

__all__ = ["OPENAI_CHAT", "ChatAdapter"]


@dataclass(frozen=True, slots=True)
class ChatAdapter:
    """See `adapter.Adapter`; one instance per family of servers."""

    quirks: Quirks
    credential: tuple[str, str] = ("authorization", "Bearer ")

    def to_wire(self, call: ProviderCall) -> WireRequest | ProviderError:
        if call.operation == "embeddings":
            return openai_embeddings.to_wire(call, asks=self.quirks.embeddings_as, lacks=self.quirks.lacks)
        return request.to_wire(call, self.quirks)

    def from_wire(
        self, body: bytes, call: ProviderCall, *, estimate: Estimate = rough_usage
    ) -> CallAnswer | ProviderError:
        if call.operation == "embeddings":
            return openai_embeddings.from_wire(body, call, estimate=estimate)
        try:
            reply = loads(body)
        except ValueError:
            return errors.malformed("the answer is no JSON")
        error = errors.error_in(reply)
        if error is not None:
            return error
        answer = Answer(call, estimate)
        try:
            answer.note(expect(reply, dict, "the answer"))
            for choice in expect(reply.get("choices") or [], list, "choices"):
                answer.add(choice, part="message", whole=True)
        except MalformedReplyError as flaw:
            return errors.malformed(str(flaw))
        return answer.completion()

    def stream(self, call: ProviderCall, *, estimate: Estimate = rough_usage) -> ChunkParser:
        return ChunkParser(call, estimate)

    def to_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return errors.to_error(status, headers, body)


# Reasoning models refuse `max_tokens`; all chat models take the newer name.
OPENAI_CHAT = ChatAdapter(
    Quirks(
        max_tokens_name="max_completion_tokens",
        lacks=frozenset({"top_k", "cache_control"}),
        only_stored=frozenset({"metadata"}),  # tmc/langchaingo#1484
        rich_roles=frozenset({"user"}),
        max_id_chars=40,
    )
)
