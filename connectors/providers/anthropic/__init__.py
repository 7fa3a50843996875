"""Anthropic's Messages API (platform.claude.com/docs/en/api/messages); the base URL ends before `/v1`.

request      the parameters, and what goes where;   messages   the conversation as blocks
tools        tools and who must call them;          thinking   efforts and budgets
formats      structured output;                     fold       an answer out of blocks, whole or in pieces
stream       the events of a stream;                usage, errors
"""

from collections.abc import Mapping
from dataclasses import dataclass

from connectors.providers.adapter import Estimate, ProviderCall, WireRequest, rough_usage
from connectors.providers.anthropic import errors, request
from connectors.providers.anthropic.fold import MessageFold
from connectors.providers.anthropic.stream import EventParser
from connectors.providers.error_bodies import malformed
from connectors.providers.reply import MalformedReplyError, expect
from connectors.providers.wire_json import loads
from schemas.completion import Completion
from schemas.errors import ProviderError

__all__ = ["ANTHROPIC", "AnthropicAdapter"]


@dataclass(frozen=True, slots=True)
class AnthropicAdapter:
    """See `adapter.Adapter`."""

    credential: tuple[str, str] = ("x-api-key", "")

    def to_wire(self, call: ProviderCall) -> WireRequest | ProviderError:
        return request.to_wire(call)

    def from_wire(
        self, body: bytes, call: ProviderCall, *, estimate: Estimate = rough_usage
    ) -> Completion | ProviderError:
        try:
            reply = loads(body)
        except ValueError:
            return malformed("the answer is no JSON")
        error = errors.error_in(reply)
        if error is not None:
            return error
        fold = MessageFold(call, estimate)
        try:
            fold.whole(expect(reply, dict, "the answer"))
        except MalformedReplyError as flaw:
            return malformed(str(flaw))
        return fold.completion()

    def stream(self, call: ProviderCall, *, estimate: Estimate = rough_usage) -> EventParser:
        return EventParser(call, estimate)

    def to_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        return errors.to_error(status, headers, body)


ANTHROPIC = AnthropicAdapter()
