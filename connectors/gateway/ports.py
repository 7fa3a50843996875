"""What the gateway needs from outside; bootstrap hands it in."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal, Protocol

from schemas.events import InvalidRequest, Ref
from schemas.usage import UsageQuestion, UsageRow

__all__ = [
    "AskUsage", "CheckBody", "CountTokens", "Delivered", "Fetch", "KnowsConversation", "Log", "Lookup", "Metrics", "Record",
    "Scan", "Unfound",
]  # fmt: skip

Unfound = Literal["open", "unknown", "unavailable"]
"""It has no outcome yet; no such request of this tenant; no index answers at the moment."""

RecordHeaders = Sequence[tuple[str, bytes | None]]


class Delivered(Protocol):
    """Where a record stands, once the broker has acknowledged it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...


class Record(Protocol):
    """A record as read."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def headers(self) -> RecordHeaders: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...


class Stored(Protocol):
    """What `Fetch` finds."""

    @property
    def headers(self) -> RecordHeaders: ...
    @property
    def value(self) -> bytes | None: ...


class Log(Protocol):
    async def deliver(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        partition: int | None = None,
    ) -> Delivered:
        """Returns when the broker has acknowledged; raises if it never will."""
        ...


class Fetch(Protocol):
    async def __call__(self, ref: Ref, /) -> Stored | None:
        """The record, None past its retention."""
        ...


class Lookup(Protocol):
    async def __call__(self, tenant: str, request_id: str, /) -> Ref | Unfound:
        """Where the outcome of an older request stands."""
        ...


class KnowsConversation(Protocol):
    async def __call__(self, tenant: str, conversation_id: str, /) -> Literal["known", "unknown", "unavailable"]:
        """Whether a request of this tenant belongs to it."""
        ...


class AskUsage(Protocol):
    async def __call__(self, question: UsageQuestion, /) -> Sequence[UsageRow] | Literal["unavailable"]:
        """The rows; waits a few seconds at most."""
        ...


class Scan(Protocol):
    def __call__(self, topic: str, partition: int, since_ms: int, /) -> AsyncIterator[Record]:
        """The records from that time to the present end."""
        ...


CheckBody = Callable[[str, dict[str, object]], InvalidRequest | None]
"""Operation and body -> its first fault."""
CountTokens = Callable[[dict[str, object]], int]
"""Input tokens of a chat body, by our own tokenizer."""
Metrics = Callable[[str, int, float], None]
"""Called per answered request: route template, status, seconds."""
