"""The writer of one stream's `deltas`: the first piece at once, then micro-batches, in order, one record at a time."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from connectors.providers import Delta as Piece
from connectors.providers import WireRequest
from pipeline.core.continuation import Continuation, pieces_tokens
from pipeline.emit import Emit
from schemas.events import Call, Delta

BATCH_S = 0.02


class DeltaWriter:
    """`add` is called as pieces arrive and never blocks; `sent` tells whether anything goes out.

    Of a continuation only what is new goes out.
    """

    def __init__(self, call: Call, emit: Emit, continuation: Continuation | None = None) -> None:
        self._call = call
        self._emit = emit
        self._continuation = continuation
        self._waiting: list[Any] = []
        self._seq = 0
        self._writer: asyncio.Task[None] | None = None
        self._taken: list[Mapping[str, Any]] = []
        self._dropped: list[str] = []

    def begin(self, wire: WireRequest) -> None:
        """What goes to the provider: callers hear with the first piece what was left out."""
        self._dropped = list(wire.dropped)

    @property
    def sent(self) -> bool:
        return self._seq > 0 or bool(self._waiting)

    @property
    def tokens(self) -> int:
        """Of all that came, by our own count."""
        return pieces_tokens(self._taken)

    def add(self, pieces: Sequence[Piece]) -> None:
        self._taken += [piece.delta for piece in pieces]
        for piece in pieces:
            if piece.index == 0:  # further choices come whole, with the response
                self._wait(piece.delta)
        if self._waiting and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write())

    def _wait(self, delta: dict[str, Any]) -> None:
        new = self._continuation.piece(delta) if self._continuation is not None else delta
        if new:
            self._waiting.append(new)

    async def flush(self) -> None:
        """All that was taken stands on `deltas` or is lost for good: route continues a failed attempt from there."""
        if self._writer is not None:
            await asyncio.wait((self._writer,))

    def stop(self) -> None:
        """Send no more: the response record that follows is whole, so what still waits here is not needed."""
        self._waiting = []

    async def _write(self) -> None:
        while self._waiting:
            data, self._waiting = self._waiting, []
            first = self._seq == 0
            prefix = self._call.prefix if first else None
            self._seq += 1
            await self._emit.delta(
                Delta(
                    request_id=self._call.request_id,
                    tenant=self._call.tenant,
                    attempt=self._call.attempt,
                    seq=self._seq - 1,
                    kind="chunk",
                    data=orjson.dumps(data),
                    provider=self._call.provider,
                    model=self._call.model,
                    dropped=self._dropped if first else [],
                    continues_attempt=prefix.attempt if prefix else None,
                    continues_pieces=prefix.pieces if prefix else 0,
                )
            )
            await asyncio.sleep(BATCH_S)
