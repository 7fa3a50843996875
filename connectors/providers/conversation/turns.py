"""What a conversation consists of: turns, typed parts, calls and results; and the error for what cannot be one of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import ErrorKind, ProviderError

__all__ = [
    "Assistant", "Audio", "CacheHint", "Conversation", "Document", "Image", "Inline", "Linked", "Part", "System", "Text",
    "ToolResult", "ToolUse", "Turn", "UnmappableError", "User", "unmappable",
]  # fmt: skip

CacheHint = Mapping[str, Any]
"""Anthropic's `cache_control`; other vendors cache by themselves."""


@dataclass(frozen=True, slots=True)
class Inline:
    """Content inside the request; `data` is base64 without `data:`."""

    media_type: str
    data: str


@dataclass(frozen=True, slots=True)
class Linked:
    url: str


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    cache: CacheHint | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """`detail` is OpenAI's: how closely to look."""

    source: Inline | Linked
    path: str
    cache: CacheHint | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    source: Inline
    path: str
    name: str | None = None
    cache: CacheHint | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """`source.media_type` is `audio/wav`, `audio/mp3` and so on."""

    source: Inline
    path: str


Part = Text | Image | Document | Audio
"""`path` is where it stands in the request, for errors."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """`signature` is what the vendor wants back with the call.

    `text` is the arguments as the caller wrote them: a prompt cache matches letters. `state` is what rode in the id;
    callers can forge it.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    signature: str | None = None
    text: str = "{}"
    state: Mapping[str, Any] | None = None
    cache: CacheHint | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    id: str
    name: str
    parts: tuple[Part, ...]
    is_error: bool = False
    cache: CacheHint | None = None

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(slots=True)
class User:
    results: list[ToolResult] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)


@dataclass(slots=True)
class Assistant:
    """`thinking` holds Anthropic's thinking blocks as it wrote them, in order."""

    thinking: list[dict[str, Any]] = field(default_factory=list)
    parts: list[Text] = field(default_factory=list)
    calls: list[ToolUse] = field(default_factory=list)


@dataclass(slots=True)
class System:
    """A system message in the middle."""

    parts: list[Text] = field(default_factory=list)


Turn = User | Assistant | System


@dataclass(slots=True)
class Conversation:
    system: list[Text] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)


class UnmappableError(ValueError):
    """A part that this vendor or model cannot be given; never leaves the adapter."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"`{path}`: {why}")


def unmappable(flaw: UnmappableError) -> ProviderError:
    return ProviderError(ErrorKind.INVALID_REQUEST, code="unsupported_content", message=str(flaw))
