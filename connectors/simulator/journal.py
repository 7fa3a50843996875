"""What arrived, what became of it, and who hung up: the log that tests assert on."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.simulator.config import Clock

_SECRET_HEADERS = frozenset(
    {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"}
)

OPEN = "open"
HUNG_UP = "hung_up"


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request as received.

    Attributes:
        phase: How far the answer got: `received`, `waiting` (before the first byte), `streaming` (after it), `done`.
        outcome: `open` while it runs; then `ok`, `refused`, `rate_limited`, the fault's name, `hung_up`
            or, when the server is shut down, `closed`.
        hung_up_at: When the caller closed the connection before the answer was complete.
    """

    index: int
    method: str
    path: str
    headers: dict[str, str]
    arrived_at: float
    body: bytes = b""
    model: str = ""
    request_id: str = ""
    attempt: int = 0
    stream: bool = False
    fault: str = ""
    status: int = 0
    phase: str = "received"
    outcome: str = OPEN
    first_byte_at: float | None = None
    finished_at: float | None = None
    hung_up_at: float | None = None

    def public(self, *, bodies: bool = True) -> dict[str, Any]:
        """The entry as JSON; the body parsed where it is JSON, else as text."""
        shown = {name: getattr(self, name) for name in self.__slots__ if name != "body"}
        return shown | ({"body": self.parsed_body()} if bodies else {})

    def parsed_body(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return self.body.decode(errors="replace")


class Journal:
    """The last requests, counters over all of them, and a way to wait for more."""

    def __init__(self, clock: Clock, size: int) -> None:
        self._clock = clock
        self.entries: deque[Entry] = deque(maxlen=size)
        self.counters: Counter[str] = Counter()
        self.in_flight = 0
        self._total = 0
        self._waiting: set[asyncio.Event] = set()

    def open(self, method: str, path: str, headers: Mapping[str, str]) -> Entry:
        """Notes an arrival."""
        shown = {name: value for name, value in _lower(headers) if name not in _SECRET_HEADERS}
        entry = Entry(index=self._total, method=method, path=path, headers=shown, arrived_at=self._clock.now())
        self._total += 1
        self.in_flight += 1
        self.entries.append(entry)
        self._tell()
        return entry

    def first_byte(self, entry: Entry) -> None:
        entry.phase = "streaming"
        entry.first_byte_at = self._clock.now()

    def close(self, entry: Entry, outcome: str) -> None:
        """Notes how a request ended; the first word counts."""
        if entry.outcome != OPEN:
            return
        entry.outcome = outcome
        entry.finished_at = self._clock.now()
        if outcome == HUNG_UP:
            entry.hung_up_at = entry.finished_at
        else:
            entry.phase = "done"
        self.counters[outcome] += 1
        self.in_flight -= 1
        self._tell()

    def clear(self) -> None:
        """Forgets the entries and counters; requests in flight go on uncounted in the log."""
        self.entries.clear()
        self.counters.clear()

    async def wait(self, wanted: Callable[[Entry], bool], *, count: int = 1, timeout_s: float = 10.0) -> list[Entry]:
        """The entries that `wanted` accepts, as soon as there are `count`; fewer when the time is over."""
        news = asyncio.Event()
        self._waiting.add(news)
        try:
            async with asyncio.timeout(timeout_s):
                while len(found := list(filter(wanted, self.entries))) < count:
                    await news.wait()
                    news.clear()
        except TimeoutError:
            return list(filter(wanted, self.entries))
        finally:
            self._waiting.discard(news)
        return found

    def _tell(self) -> None:
        for news in self._waiting:
            news.set()


def _lower(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers.items()]
