"""settle: what a finished attempt costs. Every one is booked, also failed, cancelled and orphaned ones.

Attempts are delivered again after a kill or a rebalance: a takeover reads which lines stand in the ledger already.
"""

import asyncio
from dataclasses import replace
from typing import Any

from pipeline.agents.ownership import Line, Partition
from pipeline.core.pricing import cost_nano_usd, is_estimate
from pipeline.emit import Emit
from pipeline.stage import StageApp
from pipeline.tools import Tools
from schemas.completion import Usage
from schemas.events import Attempt, Cost, Ref
from schemas.ids import cost_id
from schemas.roles import BULK_ROLES


def booked(event: Attempt, *, effective: bool) -> Cost | None:
    """The ledger's line; None for an event of the first version, which has no price. Booked twice it has the same id.

    Where nothing came it is zero: a fact if the vendor refused with a status, else an estimate.
    `effective`: the caller got this answer.
    """
    if event.price is None:
        return None
    is_refused = event.error is not None and event.error.status is not None
    usage = event.usage or Usage(estimated=not is_refused)
    return Cost(
        cost_id=cost_id(event.attempt_id, "charge", event.price.version),
        request_id=event.request_id,
        attempt=event.attempt,
        attempt_id=event.attempt_id,
        tenant=event.tenant,
        user=event.user,
        key_id=event.key_id,
        tags=event.tags,
        provider=event.provider,
        model=event.model,
        role=event.role,
        usage=usage,
        cost_nano_usd=cost_nano_usd(usage, event.price),
        price_version=event.price.version,
        estimated=is_estimate(usage, event.price),
        effective=effective,
        kind="charge",
        at=event.finished_at or event.started_at,
        accepted_at=event.accepted_at,
    )


def adjusted(cost: Cost, line: Line) -> Cost | None:
    """What is to be added to an estimate once the vendor's own figures come late; signed; None if there is nothing."""
    difference = cost.cost_nano_usd - line.cost_nano_usd
    if cost.estimated or not line.estimated or not difference:
        return None
    kind = "adjust"
    return replace(
        cost,
        cost_id=cost_id(cost.attempt_id, kind, cost.price_version),
        cost_nano_usd=difference,
        kind=kind,
        usage=Usage(),
        effective=False,
    )


class Ledger:
    """Books every finished attempt once, whatever is delivered again, and says which outcome stands."""

    def __init__(self, tools: Tools, emit: Emit, app: StageApp) -> None:
        self._tools = tools
        self._emit = emit
        self._app = app

    async def book(self, partition: Partition, event: Attempt, record: Any) -> None:
        """An answer that came beside another outcome is effective only if it stands first; else that one stays.

        Answers of bulk calls are nobody's.
        """
        key = record.key.decode() if record.key else event.tenant
        is_effective = False
        if event.response is not None and event.role not in BULK_ROLES:
            is_effective = await self._settle_outcome(partition, event, event.response, key)
        cost = booked(event, effective=is_effective)
        if cost is not None:
            first = partition.booked.get(cost.cost_id)
            await self._write(partition, cost, key)
            if first is not None and (more := adjusted(cost, first)) is not None:
                await self._write(partition, more, key)
        self._app.ack(record.topic, record.partition, record.offset)

    async def _write(self, partition: Partition, cost: Cost, key: str) -> None:
        """Once: a line that is being written already is waited for."""
        line = partition.booked.get(cost.cost_id)
        if line is None:
            written = asyncio.get_running_loop().create_future()
            partition.book(cost.cost_id, Line(cost.cost_nano_usd, cost.estimated, written))
            await self._emit.cost(cost, key)
            partition.book(cost.cost_id, Line(cost.cost_nano_usd, cost.estimated))
            written.set_result(None)
        elif line.written is not None:
            await line.written

    async def _settle_outcome(self, partition: Partition, event: Attempt, ref: Ref, partition_key: str) -> bool:
        key = (event.tenant, event.request_id)
        known = partition.answered.get(key)
        if known is None or known.offset == ref.offset:
            return True
        if known.offset < ref.offset:
            return False
        partition.answer(key, ref)
        stored = partition.stored(key, self._tools.now_ms())
        if stored is not None:
            stored.outcome = ref
            await self._emit.idempotency(stored, partition_key)
        return True
