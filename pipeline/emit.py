"""Emit: the one place that turns outcomes into records, on the right producer, and counts them.

Every method returns when the broker has acked: only then may the input be acked. What somebody waits for goes out at once,
books, logs and all that belongs to bulk calls (`soon`) in batches of 25 ms.
"""

import time
from collections import deque
from typing import Any

import orjson

from connectors.kafka.partition import partition_of
from connectors.kafka.producers import Delivered
from pipeline.tools import Tools
from schemas import headers as h
from schemas import topics as t
from schemas.avro_schema import schema_name
from schemas.codec import encode
from schemas.events import (
    Alert,
    Attempt,
    Breaker,
    Call,
    Cancel,
    CatalogInForce,
    Cost,
    Decision,
    Delta,
    Enriched,
    Idempotency,
    Parked,
    Ref,
    Response,
    ShadowComparison,
    ShadowProgress,
    Signal,
)
from schemas.roles import BULK_ROLES

INTERNAL = "internal"
"""The reason of a dead letter that is our own mistake."""

CEILING = 50
CEILING_S = 10.0


class TooManyDeadLetters(Exception):
    """So many mistakes of our own in so short a time are a bug, not bad input: stop, lose nothing."""


class Emit:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._deliver = tools.producers.deliver
        self._mistakes: deque[float] = deque(maxlen=CEILING)

    async def enriched(self, event: Enriched) -> None:
        run = h.run_of(event.role, event.tags)
        await self._log(
            t.ENRICHED, event, event.partition_key, event.request_id, event.tenant, role=event.role, run_id=run
        )

    async def decision(self, event: Decision, key: str) -> None:
        await self._log(t.DECISIONS, event, key, event.request_id, event.tenant, attempt=event.attempt)

    async def cost(self, event: Cost, key: str) -> None:
        self._tools.metrics.count("spend_nano_usd_total", event.cost_nano_usd, tenant=event.tenant, model=event.model)
        run = h.run_of(event.role, event.tags)
        await self._log(
            t.COSTS, event, key, event.request_id, event.tenant, attempt=event.attempt, role=event.role, run_id=run
        )

    async def idempotency(self, event: Idempotency, key: str) -> None:
        await self._deliver(
            self._tools.topic(t.IDEMPOTENCY.name),
            encode(event),
            key=f"{event.tenant}/{event.request_id}".encode(),
            headers=h.build(request_id=event.request_id, tenant=event.tenant, schema=schema_name("idempotency")),
            partition=partition_of(key.encode(), self._tools.partitions),
            soon=True,
        )

    async def call(self, event: Call) -> None:
        is_bulk = event.role in BULK_ROLES
        lane = t.CALLS_BULK if is_bulk else t.CALLS
        await self._deliver(
            self._tools.topic(lane.named(provider=event.provider)),
            encode(event),
            key=event.request_id.encode(),
            headers=h.build(
                request_id=event.request_id,
                tenant=event.tenant,
                attempt=event.attempt,
                deadline_ms=event.deadline_at,
                schema=schema_name("call"),
            ),
            soon=is_bulk,
        )

    async def attempt(self, event: Attempt, key: str) -> None:
        if event.phase == "finished":
            self._count_attempt(event)
        await self._deliver(
            self._tools.topic(t.ATTEMPTS.name),
            encode(event),
            key=key.encode(),
            headers=h.build(
                request_id=event.request_id,
                tenant=event.tenant,
                attempt=event.attempt,
                role=event.role,
                schema=schema_name("attempt"),
            ),
            soon=event.role in BULK_ROLES,
        )

    async def signal(self, event: Signal) -> None:
        await self._deliver(
            self._tools.topic(t.SIGNALS.name),
            encode(event),
            key=event.endpoint.encode(),
            headers=h.build(schema=schema_name("signal")),
        )

    async def breaker(self, event: Breaker) -> None:
        await self._deliver(
            self._tools.topic(t.BREAKERS.name),
            encode(event),
            key=event.endpoint.encode(),
            headers=h.build(schema=schema_name("breaker")),
        )

    async def catalog(self, event: CatalogInForce) -> None:
        await self._deliver(
            self._tools.topic(t.CATALOGS.name),
            encode(event),
            key=event.hash.encode(),
            headers=h.build(schema=schema_name("catalog")),
        )

    async def alert(self, event: Alert) -> None:
        await self._deliver(
            self._tools.topic(t.ALERTS.name),
            encode(event),
            key=event.alert_id.encode(),
            headers=h.build(schema=schema_name("alert")),
        )

    async def comparison(self, event: ShadowComparison, key: str) -> None:
        await self._log(t.SHADOW_COMPARISONS, event, key, event.request_id, event.tenant, experiment=event.experiment)

    async def cancel(self, request_id: str, tenant: str, key: str, now_ms: int) -> None:
        await self._deliver(
            self._tools.topic(t.CANCELS.name),
            encode(Cancel(request_id, tenant, "experiment stopped", now_ms)),
            key=key.encode(),
            headers=h.build(request_id=request_id, tenant=tenant, schema=schema_name("cancel")),
        )

    async def shadow_progress(self, event: ShadowProgress) -> None:
        await self._deliver(
            self._tools.topic(t.SHADOW_PROGRESS.name),
            encode(event),
            key=event.experiment.encode(),
            headers=h.build(experiment=event.experiment, schema=schema_name("shadow-progress")),
        )

    async def response(self, event: Response, key: str) -> Delivered:
        if event.role not in BULK_ROLES:
            code = event.error.code if event.error else "ok"
            self._tools.metrics.count("outcomes_total", code=code, route=event.route.policy)
        return await self._deliver(
            self._tools.topic(t.RESPONSES.name),
            encode(event),
            key=key.encode(),
            headers=h.build(
                request_id=event.request_id,
                tenant=event.tenant,
                attempt=event.attempts,
                role=event.role,
                run_id=h.run_of(event.role, event.tags),
                schema=schema_name("response"),
            ),
            soon=event.role in BULK_ROLES,
        )

    async def delta(self, event: Delta) -> None:
        await self._deliver(
            self._tools.topic(t.DELTAS.name),
            encode(event),
            key=event.request_id.encode(),
            headers=h.build(
                request_id=event.request_id,
                tenant=event.tenant,
                attempt=event.attempt,
                kind=event.kind,
                schema=schema_name("delta"),
            ),
        )

    async def note(self, request_id: str, tenant: str, ticket: str, *, ref: Ref | None = None, **facts: str) -> None:
        """Answer a duplicate of one waiting caller: the stored outcome, or a refusal."""
        data: dict[str, Any] = {"ticket": ticket, **facts}
        if ref is not None:
            data["ref"] = {"topic": ref.topic, "partition": ref.partition, "offset": ref.offset}
        await self.delta(Delta(request_id, tenant, attempt=0, seq=0, kind="note", data=orjson.dumps(data)))

    async def park(self, event: Parked, now_ms: int) -> None:
        """To the largest tier that ends before the due time (waypoints), or the smallest."""
        delays = sorted(self._tools.loaded.catalog.retry.delays_s)
        left_s = (event.due_at - now_ms) / 1000
        delay = max((d for d in delays if d <= left_s), default=delays[0])
        await self._send_parked(t.RETRIES.named(delay=delay), event, min(now_ms + delay * 1000, event.due_at))

    async def carry(self, event: Parked) -> None:
        """Straight to `retries.due`: the request stays open, only the record that stands for it is a new one."""
        await self._send_parked(t.RETRIES_DUE.name, event, None)

    async def _send_parked(self, topic: str, event: Parked, not_before_ms: int | None) -> None:
        await self._deliver(
            self._tools.topic(topic),
            encode(event),
            key=event.request.partition_key.encode(),
            headers=h.build(
                request_id=event.request.request_id,
                tenant=event.request.tenant,
                not_before_ms=not_before_ms,
                schema=schema_name("parked"),
            ),
        )

    async def dead_letter(self, stage: str, record: Any, reason: str, detail: str) -> None:
        """Key, value and headers byte for byte, plus one set of `dlq-*` headers."""
        self._tools.metrics.count("dead_letters_total", stage=stage, reason=reason)
        if reason == INTERNAL:
            self._note_mistake()
        origin = h.build(
            dlq_stage=stage,
            dlq_reason=reason,
            dlq_topic=record.topic,
            dlq_partition=record.partition,
            dlq_offset=record.offset,
            dlq_error=detail[:500],
        )
        kept = [(name, value) for name, value in record.headers if not name.startswith(h.DLQ_PREFIX)]
        await self._deliver(
            self._tools.topic(t.DEAD_LETTERS.name), record.value, key=record.key, headers=[*kept, *origin]
        )

    def _note_mistake(self) -> None:
        now = time.monotonic()
        if len(self._mistakes) == CEILING and now - self._mistakes[0] < CEILING_S:
            raise TooManyDeadLetters(f"{CEILING} in {CEILING_S:.0f} s")
        self._mistakes.append(now)

    async def again(self, record: Any, key: str, *, request_id: str, deadline_at: int | None) -> None:
        """Re-produce a request that stood in the wrong partition, once, with its right key."""
        replaced = {h.REQUEST_ID, h.DEADLINE_MS, h.REKEYED}
        kept = [(name, value) for name, value in record.headers if name not in replaced]
        added = h.build(request_id=request_id, deadline_ms=deadline_at, rekeyed=1)
        await self._deliver(record.topic, record.value, key=key.encode(), headers=[*kept, *added])

    async def _log(
        self, topic: t.Topic, event: Any, key: str, request_id: str, tenant: str, **more: str | int | None
    ) -> None:
        await self._deliver(
            self._tools.topic(topic.name),
            encode(event),
            key=key.encode(),
            headers=h.build(request_id=request_id, tenant=tenant, schema=schema_name(topic.event), **more),
            soon=True,
        )

    def _count_attempt(self, event: Attempt) -> None:
        metrics = self._tools.metrics
        metrics.count(
            "attempts_total",
            provider=event.provider,
            model=event.model,
            result=event.result or "unknown",
            role=event.role,
        )
        if event.duration_ms is not None:
            metrics.observe(
                "attempt_seconds", event.duration_ms / 1000, provider=event.provider, model=event.model, role=event.role
            )
        if event.first_event_ms is not None:
            metrics.observe(
                "first_token_seconds", event.first_event_ms / 1000, provider=event.provider, model=event.model
            )
