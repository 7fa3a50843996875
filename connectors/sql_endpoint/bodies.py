"""A request's body as it comes in: decoded, in pieces; and the statement at its head."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import StreamReader

from connectors.sql_endpoint.encodings import Decoder
from connectors.sql_endpoint.errors import SqlError
from connectors.sql_endpoint.lexing import InsertHead, insert_head

__all__ = ["Body", "Text", "read_text"]

_HEAD_BYTES: Final = 64 * 1024
_STATEMENT_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 20
_IDLE_S: Final = 60.0


class Body:
    """Read once, from front to end."""

    def __init__(self, source: StreamReader, decoder: Decoder | None) -> None:
        self._pieces = _decoded(source, decoder)
        self._pending: list[bytes] = []

    def push_back(self, data: bytes) -> None:
        if data:
            self._pending.append(data)

    async def next(self) -> bytes | None:
        """None at the end. Raises SqlError: cut off, or nothing came for a minute."""
        if self._pending:
            return self._pending.pop()
        return await anext(self._pieces, None)

    async def blocks(self) -> AsyncIterator[bytes]:
        """What is left, in pieces of about a megabyte: a step into the engine's thread each."""
        gathered: list[bytes] = []
        size = 0
        while (piece := await self.next()) is not None:
            gathered.append(piece)
            size += len(piece)
            if size >= _PIECE_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
        if gathered:
            yield b"".join(gathered)


@dataclass(frozen=True, slots=True)
class Text:
    """A statement; `head` if it is an insert whose data is what is left of the body."""

    statement: str
    head: InsertHead | None = None


async def read_text(query: bytes, body: Body) -> Text:
    """The statement in the query string, the body, or both.

    Raises:
        SqlError: Longer than a megabyte, or not UTF-8.
    """
    if head := insert_head(query):
        body.push_back(query[head.data_at :])
        return _insert(head)
    text = query + b"\n" if query else b""
    is_whole = False
    while not is_whole and len(text) < _HEAD_BYTES:
        piece = await body.next()
        is_whole, text = piece is None, text + (piece or b"")
    if head := insert_head(text):
        body.push_back(text[head.data_at :])
        return _insert(head)
    while not is_whole:
        piece = await body.next()
        is_whole, text = piece is None, text + (piece or b"")
        if len(text) > _STATEMENT_BYTES:
            raise SqlError(62, f"Max query size exceeded: {_STATEMENT_BYTES} bytes")
    return Text(_decode(text).strip())


def _insert(head: InsertHead) -> Text:
    return Text(f"{_decode(head.target)} FORMAT {head.format}", head)


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise SqlError(62, "the statement is not UTF-8") from None


async def _decoded(source: StreamReader, decoder: Decoder | None) -> AsyncIterator[bytes]:
    while True:
        try:
            piece = await asyncio.wait_for(source.readany(), _IDLE_S)
        except TimeoutError:
            raise SqlError(209, "the request's body stopped coming", "SOCKET_TIMEOUT") from None
        if not piece:
            break
        if decoder is None:
            yield piece
            continue
        for plain in decoder.feed(piece):
            yield plain
    if decoder is not None:
        decoder.finish()
