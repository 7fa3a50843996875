"""Closes the books of calls whose worker died: looks for what they had written, and writes the `finished` they owe."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from pipeline.agents.recovery import Recovery
from pipeline.core import lost
from pipeline.core.continuation import heard_tokens
from pipeline.emit import Emit
from pipeline.tools import Tools
from schemas.completion import Usage
from schemas.events import Attempt, Ref

__all__ = ["Found", "LostCalls"]

GRACE_S = 10.0
_TOTAL_S = 300.0
"""Of a provider that is not in the catalogue any more."""


@dataclass(slots=True, frozen=True)
class Found:
    """The outcome that stands, if one does; else whether pieces of the attempt went out, and how many tokens."""

    outcome: Ref | None
    streamed: bool = False
    output_tokens: int = 0


class LostCalls:
    def __init__(self, tools: Tools, emit: Emit, recovery: Recovery) -> None:
        self._tools = tools
        self._emit = emit
        self._recovery = recovery
        self._kept: dict[str, asyncio.Event] = {}

    async def find(self, started: Attempt, key: str, partition: int, *, input_tokens: int, streams: bool) -> Found:
        """What stands of a lost call. Where its request has an outcome, the call is booked here; else that is up to others."""
        outcome = await self._recovery.answer(started, partition)
        finished = lost.answered(started, *outcome) if outcome else None
        if finished is not None:
            await self._emit.attempt(finished, key)
            return Found(finished.response)
        pieces = await self._recovery.pieces(started.tenant, started.request_id, started.started_at) if streams else []
        of_it = [piece for piece in pieces or () if piece.attempt == started.attempt]
        found = Found(outcome[0] if outcome else None, pieces is None or bool(of_it), heard_tokens(of_it))
        if outcome is not None:
            await self.give_up(started, key, found, input_tokens=input_tokens)
        return found

    async def give_up(self, started: Attempt, key: str, found: Found, *, input_tokens: int) -> None:
        usage = Usage(input_tokens, found.output_tokens)
        await self._emit.attempt(lost.orphaned(started, usage, self._tools.now_ms(), streamed=found.streamed), key)

    def finished(self, event: Attempt) -> None:
        """Whoever watches it need not any longer."""
        if (ended := self._kept.get(event.attempt_id)) is not None:
            ended.set()

    async def watch(self, kept: Attempt, record: Any) -> None:
        """A call that goes on without its partition: if its worker dies too, no `returned` tells of it. Until it has ended."""
        provider = self._tools.loaded.catalog.providers.get(kept.provider)
        longest_s = (provider.timeouts.total_s if provider else _TOTAL_S) + GRACE_S
        ended = self._kept.setdefault(kept.attempt_id, asyncio.Event())
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(longest_s - (self._tools.now_ms() - record.timestamp) / 1000):
                    await ended.wait()
                    return
        finally:
            self._kept.pop(kept.attempt_id, None)
        await self.close(kept, record)

    async def close(self, event: Attempt, record: Any) -> None:
        """A call that came back though its request is over, or was kept for too long: no journey asks any more."""
        started = lost.lost_call(event, await self._recovery.events(event, record.partition))
        if started is None:
            return
        key, sent = record.key.decode(), event.usage.input_tokens if event.usage else 0
        found = await self.find(started, key, record.partition, input_tokens=sent, streams=True)
        if found.outcome is None:
            await self.give_up(started, key, found, input_tokens=sent)
