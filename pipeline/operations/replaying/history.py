"""The requests of a range as `enriched` logged them: from Kafka, and from ClickHouse what Kafka has no more."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal

from connectors.clickhouse.past import PastRequests
from connectors.clickhouse.reader import Reader
from connectors.kafka.scan import Scanner
from pipeline.operations import records
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t
from schemas.codec import Undecodable, decode
from schemas.events import Enriched, Request
from schemas.events.ref import TimestampMs
from schemas.incoming import decode_request

__all__ = ["Bodies", "Progress", "Source", "Span", "history"]

Source = Literal["kafka", "clickhouse"]

_SLACK_MS = 60_000
"""Records of the log carry the clock of the stage that wrote them."""


@dataclass(slots=True, frozen=True)
class Span:
    """By when requests were accepted: `from_ms` inclusive, `to_ms` exclusive; `tenant` empty for all."""

    from_ms: TimestampMs
    to_ms: TimestampMs
    tenant: str = ""


@dataclass(slots=True)
class Progress:
    """Records looked at, of how many."""

    done: int = 0
    total: int = 0
    began: float = 0.0

    def expects(self, number: int) -> None:
        self.total += number
        self.began = self.began or time.monotonic()


async def history(
    where: Connection, reader: Reader | None, span: Span, source: Source | None, progress: Progress
) -> AsyncGenerator[Enriched, None]:
    """Requests of callers, copies too (a record may have been logged twice).

    Without a `source` Kafka, and before what Kafka keeps ClickHouse if a `reader` is there.
    """
    topic = where.topic(t.ENRICHED.name)
    kept = {partition: begin for partition, (begin, _) in (await records.spans(where, [topic]))[topic].items()}
    if reader is not None and source != "kafka" and (source == "clickhouse" or any(kept.values())):
        past = PastRequests(
            reader, from_ms=span.from_ms, to_ms=span.to_ms, tenant=span.tenant,
            kept_from=None if source == "clickhouse" else kept,
        )  # fmt: skip
        progress.expects(await past.count())
        async for request in past:
            progress.done += 1
            yield request
    if source != "clickhouse":
        async for request in _logged(where, topic, span, progress):
            yield request


async def _logged(where: Connection, topic: str, span: Span, progress: Progress) -> AsyncGenerator[Enriched, None]:
    since_ms = max(0, span.from_ms - _SLACK_MS)
    async for record in records.scan(where, [topic], since_ms, progress.expects):
        progress.done += 1
        if (h.text(record.headers, h.ROLE) or "primary") != "primary":
            continue
        if span.tenant and h.text(record.headers, h.TENANT) != span.tenant:
            continue
        request = decode(Enriched, record.value)
        if not isinstance(request, Undecodable) and span.from_ms <= request.accepted_at < span.to_ms:
            yield request


class Bodies:
    """Fetches large ones from where they stand. For one loop; close it."""

    def __init__(self, where: Connection) -> None:
        self._scanner = Scanner(where.bootstrap, security=where.client_options)
        self._is_started = False

    async def of(self, request: Enriched) -> bytes | None:
        """None: it has expired."""
        if request.body is not None or request.body_ref is None:
            return request.body
        if not self._is_started:
            await self._scanner.start()
            self._is_started = True
        ref = request.body_ref
        record = await self._scanner.fetch(ref.topic, ref.partition, ref.offset)
        found = None if record is None else decode_request(record.value)
        return found.body if isinstance(found, Request) and found.tenant == request.tenant else None

    async def close(self) -> None:
        await self._scanner.stop()
