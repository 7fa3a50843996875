"""One truth: who waits here, and what `responses`, `deltas` and `requests` say about it.

    responses.v1   the first record per (tenant, request id) is the outcome: to its waiters, and into the index
    deltas.v1      chunks to waiters that stream, notes to the waiter with that ticket
    requests.v1    what is open

Headers are read first; values of records nobody here waits for stay undecoded. Replays and shadows are not ours.
The index knows 15 minutes, or the newest `most` requests.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from connectors.gateway.ports import Record
from schemas import headers as names
from schemas.codec import decode
from schemas.events import Delta, Ref, Response
from schemas.topics import DELTAS, MINUTE_MS, REQUESTS, RESPONSES

__all__ = ["Note", "Standing", "Waiter", "Waiting"]

_TTL_MS = 15 * MINUTE_MS
_FOREIGN_ROLES = frozenset({"replay", "shadow"})


@dataclass(slots=True, frozen=True)
class Note:
    """An answer to a duplicate: where the stored outcome stands, or why there is none."""

    ref: Ref | None = None
    code: str = ""
    message: str = ""


@dataclass(slots=True)
class Standing:
    """What is known of a request: `partition` it lives on, `outcome` once it is there."""

    status: Literal["queued", "running", "done"]
    partition: int | None
    outcome: Ref | None
    since_ms: int


@dataclass(slots=True, eq=False)
class Waiter:
    """One caller who waits. Filled by `Waiting.handle` and by the watch for hang-ups, read by one task.

    `notes_only`: another body came under the same Idempotency-Key: the open request's answer is not for this one.
    """

    ticket: str
    wants_deltas: bool = False
    notes_only: bool = False
    fingerprint: str = ""
    response: Response | None = None
    note: Note | None = None
    deltas: list[Delta] = field(default_factory=list)
    hung_up: bool = False
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        self._bell.set()

    def hang_up(self) -> None:
        self.hung_up = True
        self._bell.set()

    async def wait(self, timeout_s: float) -> bool:
        """Waits until something came; False after the time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True

    def take_deltas(self) -> list[Delta]:
        taken, self.deltas = self.deltas, []
        return taken


class Waiting:
    """Fed by a tail (`handle`), asked by handlers (`register`, `standing`). All in one event loop."""

    def __init__(self, topic_prefix: str, now_ms: Callable[[], int], *, most: int = 200_000) -> None:
        self._now_ms = now_ms
        self._most = most
        self._waiters: dict[tuple[str, str], list[Waiter]] = {}
        self._index: OrderedDict[tuple[str, str], Standing] = OrderedDict()
        self._responses = topic_prefix + RESPONSES.name
        self._deltas = topic_prefix + DELTAS.name
        self._requests = topic_prefix + REQUESTS.name

    @property
    def topics(self) -> tuple[str, str, str]:
        """What the tail has to read."""
        return self._responses, self._deltas, self._requests

    @property
    def waiting(self) -> int:
        return sum(len(waiters) for waiters in self._waiters.values())

    def register(self, tenant: str, request_id: str, ticket: str, *, deltas: bool = False, body: str = "") -> Waiter:
        """Starts to wait; do it before the request is sent. `body`: fingerprint of what is asked, for equal ids."""
        waiters = self._waiters.setdefault((tenant, request_id), [])
        differs = any(other.fingerprint != body for other in waiters if other.fingerprint and body)
        waiter = Waiter(ticket, deltas, differs, "" if differs else body)
        waiters.append(waiter)
        return waiter

    def release(self, tenant: str, request_id: str, waiter: Waiter) -> None:
        waiters = self._waiters.get((tenant, request_id), [])
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            self._waiters.pop((tenant, request_id), None)

    def standing(self, tenant: str, request_id: str) -> Standing | None:
        standing = self._index.get((tenant, request_id))
        if standing is None or standing.since_ms < self._now_ms() - _TTL_MS:
            return None
        return standing

    def opened(self, tenant: str, request_id: str, partition: int | None) -> None:
        """A request is on its way; `handle` learns the same from `requests.v1`, later."""
        self._enter((tenant, request_id), Standing("queued", partition, None, self._now_ms()))

    def handle(self, record: Record) -> None:
        """Takes one record of the three topics; never raises on what it holds."""
        found = {key: value for key, value in record.headers if value is not None}
        try:
            identity = (found[names.TENANT].decode(), found[names.REQUEST_ID].decode())
            role = found.get(names.ROLE, b"primary").decode()
        except (KeyError, UnicodeDecodeError):
            return
        if role in _FOREIGN_ROLES:
            return
        if record.topic == self._deltas:
            self._handle_delta(identity, record, found.get(names.KIND))
        elif record.topic == self._responses:
            self._handle_response(identity, record)
        elif record.topic == self._requests and identity not in self._index:
            self._enter(identity, Standing("queued", record.partition, None, record.timestamp))

    def _handle_response(self, identity: tuple[str, str], record: Record) -> None:
        standing = self._index.get(identity)
        is_first = standing is None or standing.outcome is None
        if is_first:
            ref = Ref(record.topic, record.partition, record.offset)
            self._enter(identity, Standing("done", record.partition, ref, record.timestamp))
        waiters = [waiter for waiter in self._waiters.get(identity, ()) if not waiter.notes_only]
        if not waiters or not is_first:
            return
        response = decode(Response, record.value)
        if isinstance(response, Response):
            for waiter in waiters:
                waiter.response = waiter.response or response
                waiter.ring()

    def _handle_delta(self, identity: tuple[str, str], record: Record, kind: bytes | None) -> None:
        standing = self._index.get(identity)
        if standing is not None and standing.status == "queued" and kind != b"note":
            standing.status = "running"
        waiters = self._waiters.get(identity)
        if not waiters or (kind == b"chunk" and not any(waiter.wants_deltas for waiter in waiters)):
            return
        delta = decode(Delta, record.value)
        if not isinstance(delta, Delta):
            return
        if delta.kind == "note":
            _pass_note(waiters, delta.data)
            return
        for waiter in waiters:
            if waiter.wants_deltas and not waiter.notes_only:
                waiter.deltas.append(delta)
                waiter.ring()

    def _enter(self, identity: tuple[str, str], standing: Standing) -> None:
        old = self._index.get(identity)
        if old is not None and old.outcome is not None and standing.outcome is None:
            return
        self._index[identity] = standing
        self._index.move_to_end(identity)
        horizon = self._now_ms() - _TTL_MS
        while self._index:
            oldest = next(iter(self._index.values()))
            if len(self._index) <= self._most and oldest.since_ms >= horizon:
                return
            self._index.popitem(last=False)


def _pass_note(waiters: list[Waiter], data: bytes) -> None:
    try:
        said: dict[str, Any] = orjson.loads(data)
        ref = Ref(**said["ref"]) if said.get("ref") else None
        note = Note(ref, str(said.get("code", "")), str(said.get("message", "")))
        ticket = said["ticket"]
    except (ValueError, TypeError, KeyError, AttributeError):
        return
    for waiter in waiters:
        if waiter.ticket == ticket and waiter.note is None:
            waiter.note = note
            waiter.ring()
