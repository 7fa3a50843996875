"""What an export has read. Facts are kept in memory, some 500 bytes a request; bodies lie in a file that nobody else sees."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pipeline.core.exporting import Answered, Asked, Bodies, Exchange, Rating, Versus

__all__ = ["Gathered", "Spool"]

Slot = tuple[int, int]
"""Position and length in the spool."""


class Spool:
    """Bytes put aside; gone with the process, whatever happens."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the export
        self._end = 0

    def put(self, data: bytes) -> Slot:
        self._file.seek(self._end)
        self._file.write(data)
        slot = (self._end, len(data))
        self._end += len(data)
        return slot

    def get(self, slot: Slot) -> bytes:
        self._file.seek(slot[0])
        return self._file.read(slot[1])

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True)
class Gathered:
    """By request id; of equal ids the record at the lower place is the first, and counts."""

    spool: Spool
    asked: dict[str, Asked] = field(default_factory=dict)
    answered: dict[str, Answered] = field(default_factory=dict)
    shadows: dict[str, Answered] = field(default_factory=dict)
    ratings: list[Rating] = field(default_factory=list)
    versus: list[Versus] = field(default_factory=list)
    _bodies: dict[tuple[str, str], Slot] = field(default_factory=dict)

    @property
    def shadow_ids(self) -> set[str]:
        return {one.said.shadow_request_id for one in self.versus if one.said.shadow_request_id}

    def ask(self, asked: Asked, body: bytes | None) -> None:
        known = self.asked.get(asked.request_id)
        if known is None or asked.place < known.place:
            self.asked[asked.request_id] = asked
            self._keep("asked", asked.request_id, body)

    def answer(self, answered: Answered, body: bytes | None, *, is_shadow: bool = False) -> None:
        kind, known = ("shadow", self.shadows) if is_shadow else ("answered", self.answered)
        first = known.get(answered.request_id)
        if first is None or answered.place < first.place:
            known[answered.request_id] = answered
            self._keep(kind, answered.request_id, body)

    def bodies(self, exchange: Exchange) -> Bodies:
        request_id = exchange.asked.request_id
        wanted = {one.said.shadow_request_id or "" for one in exchange.versus}
        shadows = {id: body for id in wanted if (body := self._body("shadow", id)) is not None and self._is_ok(id)}
        return Bodies(self._body("asked", request_id), self._body("answered", request_id), shadows)

    def _is_ok(self, shadow_id: str) -> bool:
        return self.shadows[shadow_id].outcome == "ok"

    def _keep(self, kind: str, request_id: str, body: bytes | None) -> None:
        self._bodies.pop((kind, request_id), None)
        if body:
            self._bodies[kind, request_id] = self.spool.put(body)

    def _body(self, kind: str, request_id: str) -> bytes | None:
        slot = self._bodies.get((kind, request_id))
        return None if slot is None else self.spool.get(slot)


def judged(status: str, winner: str | None) -> bool:
    """Whether a comparison says which answer is better."""
    return status == "compared" and winner in ("primary", "shadow")
