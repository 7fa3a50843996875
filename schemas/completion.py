"""The canonical answer of a model: what every adapter ends in, streamed or not.

Its form is that of an OpenAI chat completion (platform.openai.com/docs/api-reference/chat/object), so `to_openai` only
writes down what is there. The ids that callers see are ours; the vendor's stay in the record.

Beyond OpenAI's form stand `reasoning_content`, `thinking_blocks` and a tool call's `extra_content`: what a vendor wants
back in the next turn, for clients that echo the whole message (provider_contracts.md section 5, "Opaque state").
"""

import sys
from array import array
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Answer", "Choice", "Completion", "EmbeddingFormat", "Embeddings", "FinishReason", "ToolCall", "Usage"]

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(slots=True)
class Usage:
    """Tokens of one call.

    `input_tokens` holds the cached ones (read and written) and `output_tokens` the reasoning ones: prices subtract,
    nobody adds. `estimated` means that the vendor said nothing and we counted ourselves. `cache_write_1h_tokens` are
    those of `cache_write_tokens` that are kept for an hour; `service_tier` is the tier that answered, which sets the price.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cache_write_1h_tokens: int = 0
    service_tier: str | None = None

    def to_openai(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": self.cache_read_tokens,
                "cache_write_tokens": self.cache_write_tokens,
            },
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }


@dataclass(slots=True)
class ToolCall:
    """One call of a tool; `arguments` is JSON text, `{}` where the model gave none; for a custom tool its free text."""

    id: str
    name: str
    arguments: str
    type: Literal["function", "custom"] = "function"
    extra_content: dict[str, Any] | None = None

    def to_openai(self) -> dict[str, Any]:
        said = "arguments" if self.type == "function" else "input"
        call = {"id": self.id, "type": self.type, self.type: {"name": self.name, said: self.arguments}}
        return call if self.extra_content is None else {**call, "extra_content": self.extra_content}


@dataclass(slots=True)
class Choice:
    """One answer; `text` is "" where the model said nothing."""

    index: int = 0
    text: str = ""
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)
    thinking_blocks: list[dict[str, Any]] = field(default_factory=list)
    logprobs: dict[str, Any] | None = None
    finish_reason: FinishReason = "stop"

    def to_openai(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "message": self._message(),
            "logprobs": self.logprobs,
            "finish_reason": self.finish_reason,
        }

    def _message(self) -> dict[str, Any]:
        says_nothing = not self.text and (self.tool_calls or self.refusal is not None)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if says_nothing else self.text,
            "refusal": self.refusal,
        }
        if self.reasoning_content is not None:
            message["reasoning_content"] = self.reasoning_content
        if self.thinking_blocks:
            message["thinking_blocks"] = self.thinking_blocks
        if self.annotations:
            message["annotations"] = self.annotations
        if self.tool_calls:
            message["tool_calls"] = [call.to_openai() for call in self.tool_calls]
        return message


@dataclass(slots=True)
class Completion:
    """A whole answer; the tier that answered stands in its usage and may differ from the one that was asked for."""

    choices: list[Choice]
    usage: Usage
    vendor_id: str = ""
    vendor_model: str = ""

    def to_openai(self, id: str, created: int, model: str) -> dict[str, Any]:
        """As the JSON of a `chat.completion`; `created` in epoch seconds, `model` is the name that callers know."""
        answer = {
            "id": id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [choice.to_openai() for choice in self.choices],
            "usage": self.usage.to_openai(),
        }
        if self.usage.service_tier is not None:
            answer["service_tier"] = self.usage.service_tier
        return answer


EmbeddingFormat = Literal["float", "base64"]


@dataclass(slots=True)
class Embeddings:
    """The vectors of an embeddings call, in the order of the input, each as little-endian float32."""

    vectors: list[bytes]
    usage: Usage
    vendor_model: str = ""
    format: EmbeddingFormat = "float"
    """How the caller wants them."""

    def to_openai(self, id: str, created: int, model: str) -> dict[str, Any]:
        """As the JSON of an embeddings `list`, which has neither id nor time."""
        write = _as_base64 if self.format == "base64" else _as_floats
        return {
            "object": "list",
            "model": model,
            "data": [{"object": "embedding", "index": at, "embedding": write(v)} for at, v in enumerate(self.vectors)],
            "usage": {"prompt_tokens": self.usage.input_tokens, "total_tokens": self.usage.input_tokens},
        }


def _as_base64(vector: bytes) -> str:
    return b64encode(vector).decode()


def _as_floats(vector: bytes) -> list[float]:
    floats = array("f")
    floats.frombytes(vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()


Answer = Completion | Embeddings
"""What a call brings; both have `usage`, and `to_openai` with the same arguments."""
