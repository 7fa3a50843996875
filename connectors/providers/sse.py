"""Server-sent events from bytes, in pieces of any size.

Follows html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream with one limit of our own, the
size of an event. Lines end at LF, CRLF and CR only: `str.splitlines` and with it httpx `aiter_lines` also split at
U+2028, U+2029 and U+0085, which stand raw inside JSON strings, and text is lost. `id` and `retry` fields mean nothing
to us.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MAX_EVENT_BYTES", "EventTooLargeError", "SSEParser", "SSEvent"]

MAX_EVENT_BYTES = 8 * 1024 * 1024

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class EventTooLargeError(ValueError):
    """An event, comments included, that is longer than the limit."""


@dataclass(frozen=True, slots=True)
class SSEvent:
    """One event; `event` is "" where the stream names none, `data` its data lines joined by LF."""

    event: str
    data: str


class SSEParser:
    """Turns bytes into events; the same events however the bytes are cut.

    Text is decoded a whole event at a time, so a character cut in two is never seen; broken UTF-8 becomes U+FFFD, as
    the standard says. What the end of the stream leaves unfinished is no event.
    """

    __slots__ = ("_data", "_event", "_first", "_max_bytes", "_pieces", "_size", "_skip_lf")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._first = True  # nothing of the first line was read yet: it may start with a byte order mark
        self._pieces: list[bytes] = []  # the line that has no end yet
        self._skip_lf = False  # the last byte was CR: an LF after it belongs to the same line end
        self._event = b""
        self._data: list[bytes] = []
        self._size = 0  # bytes of the event so far, all lines

    def feed(self, chunk: bytes) -> Iterator[SSEvent]:
        """Yields the events that are whole with this chunk; must be read to its end.

        Raises:
            EventTooLargeError: after the events before it; the stream cannot be read further.
        """
        if self._skip_lf and chunk:
            self._skip_lf = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return
        self._skip_lf = chunk.endswith(b"\r")
        *lines, rest = _LINE_END.split(chunk)
        for line in lines:
            event = self._line(self._joined(line))
            if event is not None:
                yield event
        if rest:
            self._pieces.append(rest)
            self._grow(len(rest))

    def _joined(self, last: bytes) -> bytes:
        """The whole line, counted; pieces are joined once, so that a long line in small pieces costs no square."""
        self._grow(len(last))
        if self._pieces:
            self._pieces.append(last)
            last = b"".join(self._pieces)
            self._pieces.clear()
        if self._first:
            self._first = False
            last = last.removeprefix(_BOM)
        return last

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._max_bytes:
            raise EventTooLargeError(f"an event of more than {self._max_bytes} bytes")

    def _line(self, line: bytes) -> SSEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value
        return None

    def _dispatch(self) -> SSEvent | None:
        event, data = self._event, self._data
        self._event, self._data, self._size = b"", [], 0
        if not data:
            return None
        whole = data[0] if len(data) == 1 else b"\n".join(data)
        return SSEvent(event.decode("utf-8", "replace"), whole.decode("utf-8", "replace"))
