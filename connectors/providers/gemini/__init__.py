"""Google's Gemini API, v1beta (ai.google.dev/api): generateContent, streamGenerateContent, batchEmbedContents.

Request: request, contents, tools, thinking. Answer: fold, finish, stream. embeddings and errors stand by themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.providers.adapter import Estimate, ProviderCall, WireRequest, rough_usage
from connectors.providers.error_bodies import malformed
from connectors.providers.gemini import embeddings, errors, request
from connectors.providers.gemini.fold import Answer as AnswerFold
from connectors.providers.gemini.stream import ResponseParser
from connectors.providers.reply import MalformedReplyError
from connectors.providers.wire_json import loads
from schemas.completion import Answer
from schemas.errors import ProviderError

__all__ = ["GEMINI", "GeminiAdapter"]


@dataclass(frozen=True, slots=True)
class GeminiAdapter:
    """See `adapter.Adapter`. The key never goes into the URL: that lands in logs."""

    credential: tuple[str, str] = ("x-goog-api-key", "")

    def to_wire(self, call: ProviderCall) -> WireRequest | ProviderError:
        return embeddings.to_wire(call) if call.operation == "embeddings" else request.to_wire(call)

    def from_wire(self, body: bytes, call: ProviderCall, *, estimate: Estimate = rough_usage) -> Answer | ProviderError:
        try:
            reply = loads(body)
        except ValueError:
            return malformed("the answer is no JSON")
        error = errors.error_in(reply)
        if error is not None:
            return error
        if call.operation == "embeddings":
            return embeddings.from_wire(reply, call, estimate)
        answer = AnswerFold(call, estimate)
        try:
            answer.take(reply)
        except MalformedReplyError as flaw:
            return malformed(str(flaw))
        return answer.completion()

    def stream(self, call: ProviderCall, *, estimate: Estimate = rough_usage) -> ResponseParser:
        return ResponseParser(call, estimate)

    def to_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return errors.to_error(status, headers, body)


GEMINI = GeminiAdapter()
