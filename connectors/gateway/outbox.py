"""Sending while the broker may be away (DESIGN.md section 8).

    state    a send comes                      its acknowledgement comes
    open     written, waited for 0.9 s         the caller goes on
    stuck    503 at once, nothing is written   back to open; what nobody waits for any more is `late`

A send that takes too long is not cancelled: it stands in the producer's buffer, is the probe, and may still be written.
"""

import asyncio
import logging
from collections.abc import Callable

from connectors.gateway.ports import Delivered, Log
from connectors.gateway.problems import Problem
from schemas.errors import ErrorCode

__all__ = ["Outbox"]

_log = logging.getLogger(__name__)
_AWAY = Problem(ErrorCode.BROKER_UNAVAILABLE, "the log is not reachable at the moment", retry_after_s=1)
_UNREADY_AFTER_MS = 5_000


class Outbox:
    def __init__(self, log: Log, now_ms: Callable[[], int], *, patience_s: float = 0.9) -> None:
        self._log = log
        self._now_ms = now_ms
        self._patience_s = patience_s
        self._stuck: set[asyncio.Task[Delivered]] = set()
        self._aside: set[asyncio.Task[Delivered]] = set()
        self._away_since: int | None = None

    @property
    def is_ready(self) -> bool:
        """False once the broker has been away for 5 s."""
        return self._away_since is None or self._now_ms() - self._away_since < _UNREADY_AFTER_MS

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: str,
        headers: list[tuple[str, bytes]],
        partition: int | None = None,
        late: Callable[[Delivered], None] | None = None,
    ) -> Delivered | Problem:
        """Writes a record and waits for its acknowledgement, for a moment.

        `late` is called if the acknowledgement comes when nobody waits for it any more.
        """
        if self._stuck:
            return _AWAY
        task = asyncio.ensure_future(
            self._log.deliver(topic, value, key=key.encode(), headers=headers, partition=partition)
        )
        try:
            await asyncio.wait((task,), timeout=self._patience_s)
        except asyncio.CancelledError:
            self._leave(task, late)
            raise
        if task.done():
            return self._outcome(task)
        self._leave(task, late)
        return _AWAY

    def send_aside(
        self, topic: str, value: bytes, *, key: str, headers: list[tuple[str, bytes]], partition: int
    ) -> None:
        """Writes a record that nobody waits for."""
        task = asyncio.ensure_future(
            self._log.deliver(topic, value, key=key.encode(), headers=headers, partition=partition)
        )
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        task.add_done_callback(_note_failure)

    async def settle(self) -> None:
        """Waits until what was sent aside is written or lost."""
        while self._aside:
            await asyncio.wait(tuple(self._aside))

    def _leave(self, task: "asyncio.Task[Delivered]", late: Callable[[Delivered], None] | None) -> None:
        self._stuck.add(task)
        self._away_since = self._away_since or self._now_ms()

        def acknowledged(done: "asyncio.Task[Delivered]") -> None:
            self._stuck.discard(done)
            outcome = self._outcome(done)
            if late is not None and not isinstance(outcome, Problem):
                late(outcome)

        task.add_done_callback(acknowledged)

    def _outcome(self, task: "asyncio.Task[Delivered]") -> Delivered | Problem:
        if task.cancelled() or task.exception() is not None:
            self._away_since = self._away_since or self._now_ms()
            _note_failure(task)
            return _AWAY
        self._away_since = None
        return task.result()


def _note_failure(task: "asyncio.Task[Delivered]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("gateway send failed", extra={"error": type(error).__name__})
