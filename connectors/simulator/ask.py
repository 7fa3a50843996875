"""What a request asks for once its vendor's spelling is gone, and what the answer to it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from connectors.simulator.directives import Directive
from connectors.simulator.models import Model

Schema = Mapping[str, Any]
Finish = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, neutral of vendor.

    Attributes:
        canonical: What the model sees, in sorted JSON: the body without `stream` and without labels such as `user`.
        conversation: The messages alone; the same text for every model that a request is tried on.
        prompt: Tools, then messages: the order in which a provider's prompt cache sees them.
        last_user: The last user message without its directives.
        results: Tool results given after the last user message.
        system: Instructions that the vendor takes apart from the messages.
        thinking_budget: Most reasoning tokens; 0 for none at all, None for as many as the effort says.
        media: Images, files and sound in the order in which they came, as `media` describes them.
        forced_tool: The one tool that must be called, by name; empty when none is named.
        schema: The JSON Schema that the answer must satisfy; None when there is none.
    """

    model: Model
    stream: bool
    canonical: bytes
    conversation: bytes
    prompt: bytes
    prompt_tokens: int
    messages: int
    last_user: str
    results: tuple[str, ...]
    directive: Directive
    media: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] = "auto"
    forced_tool: str = ""
    parallel_tools: bool = True
    wants_json: bool = False
    schema: Schema | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    choices: int = 1
    effort: str = "none"
    system: str = ""
    thinking_budget: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One answer; `ids` are the tokens of `text`, and text is None when tools are called or the model refuses.

    Attributes:
        stopped_by: The stop sequence that ended the text; empty for another ending.
    """

    text: str | None
    ids: list[int]
    finish: Finish
    calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    output_tokens: int = 0
    reasoning_tokens: int = 0
    stopped_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All choices and what they cost; `output_tokens` includes the reasoning."""

    choices: tuple[Choice, ...]
    input_tokens: int
    cache_read_tokens: int

    @property
    def output_tokens(self) -> int:
        return sum(choice.output_tokens for choice in self.choices)

    @property
    def reasoning_tokens(self) -> int:
        return sum(choice.reasoning_tokens for choice in self.choices)
