"""The writer of one stream's `deltas`: the first piece at once, then micro-batches, in order, one record at a time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from connectors.providers import Delta as Piece
from connectors.providers import WireRequest
from pipeline.emit import Emit
from schemas.events import Call, Delta

BATCH_S = 0.02


class DeltaWriter:
    """`add` is called as pieces arrive and never blocks; `sent` tells whether anything went out."""

    def __init__(self, call: Call, emit: Emit) -> None:
        self._call = call
        self._emit = emit
        self._waiting: list[Any] = []
        self._seq = 0
        self._writer: asyncio.Task[None] | None = None
        self.pieces = 0
        self._dropped: list[str] = []

    def begin(self, wire: WireRequest) -> None:
        """What goes to the provider: callers hear with the first piece what was left out."""
        self._dropped = list(wire.dropped)

    @property
    def sent(self) -> bool:
        return self.pieces > 0

    def add(self, pieces: Sequence[Piece]) -> None:
        self.pieces += len(pieces)
        for piece in pieces:
            if piece.index == 0:  # further choices come whole, with the response
                self._waiting.append(piece.delta)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    def stop(self) -> None:
        """Send no more: the response record that follows is whole, so what still waits here is not needed."""
        self._waiting = []

    async def _write(self) -> None:
        while self._waiting:
            data, self._waiting = self._waiting, []
            await self._emit.delta(
                Delta(
                    request_id=self._call.request_id,
                    tenant=self._call.tenant,
                    attempt=self._call.attempt,
                    seq=self._seq,
                    kind="chunk",
                    data=orjson.dumps(data),
                    provider=self._call.provider,
                    model=self._call.model,
                    dropped=self._dropped if self._seq == 0 else [],
                )
            )
            self._seq += 1
            await asyncio.sleep(BATCH_S)
