"""Records of one tenant out of Kafka: what was said of answers first, then requests, then their outcomes.

Records of others are passed over by their headers, undecoded; what a value says of its tenant counts in any case.
"""

from typing import Any, Final

from pipeline.core.exporting import Answered, Asked, Place, Rating, Versus, Wanted
from pipeline.operations import records
from pipeline.operations.exporting.gathering import Gathered, judged
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t
from schemas.codec import decode
from schemas.events import Enriched, Feedback, Ref, Request, Response, ShadowComparison
from schemas.incoming import decode_feedback, decode_request

__all__ = ["are_there", "gather_topics"]

_SKEW_MS: Final = 5 * t.MINUTE_MS
"""Times of `enriched` are their producer's, times of acceptance the broker's."""


async def are_there(where: Connection, from_ms: int) -> bool:
    """Whether Kafka still has everything since then: nothing has expired, or only what is older."""
    names = [where.topic(topic.name) for topic in (t.ENRICHED, t.RESPONSES)]
    for topic, parts in (await records.spans(where, names)).items():
        if not parts:
            return False
        for partition, (begin, end) in parts.items():
            if begin == 0:
                continue
            first = await records.one(where, topic, partition, begin) if begin < end else None
            if first is None or first.timestamp > from_ms:
                return False
    return True


async def gather_topics(where: Connection, wanted: Wanted, gathered: Gathered) -> None:
    """Raises KafkaError."""
    since_ms = max(0, wanted.from_ms - _SKEW_MS)
    await _read(where, t.FEEDBACK, since_ms, wanted, lambda record: _rate(record, wanted, gathered))
    if wanted.format == "preference":
        await _read(where, t.SHADOW_COMPARISONS, since_ms, wanted, lambda record: _compare(record, wanted, gathered))
    large: list[tuple[Asked, Ref]] = []
    await _read(where, t.ENRICHED, since_ms, wanted, lambda record: _ask(record, wanted, gathered, large))
    for asked, ref in large:
        gathered.ask(asked, await _fetched(where, ref))
    shadows = gathered.shadow_ids
    await _read(where, t.RESPONSES, since_ms, wanted, lambda record: _answer(record, wanted, gathered, shadows))


async def _read(where: Connection, topic: t.Topic, since_ms: int, wanted: Wanted, take: Any) -> None:
    async for record in records.scan(where, [where.topic(topic.name)], since_ms):
        if h.text(record.headers, h.TENANT) in (None, wanted.tenant):
            take(record)


def _place(record: Any) -> Place:
    return Place(record.partition, record.offset)


def _rate(record: Any, wanted: Wanted, gathered: Gathered) -> None:
    said = decode_feedback(record.value, record.timestamp)
    if isinstance(said, Feedback) and said.tenant == wanted.tenant:
        gathered.ratings.append(Rating(_place(record), said))


def _compare(record: Any, wanted: Wanted, gathered: Gathered) -> None:
    said = decode(ShadowComparison, record.value)
    if isinstance(said, ShadowComparison) and said.tenant == wanted.tenant and judged(said.status, said.winner):
        gathered.versus.append(Versus(_place(record), said))


def _ask(record: Any, wanted: Wanted, gathered: Gathered, large: list[tuple[Asked, Ref]]) -> None:
    event = decode(Enriched, record.value)
    if not isinstance(event, Enriched) or event.tenant != wanted.tenant or not wanted.is_in_range(event.accepted_at):
        return
    features = event.features
    asked = Asked(
        request_id=event.request_id, place=_place(record), accepted_at=event.accepted_at, target=event.model,
        operation=event.operation, role=event.role, user=event.user or "", conversation_id=event.conversation_id or "",
        language=features.language, task=features.task, complexity=features.complexity, band=features.band,
        sensitivity=features.sensitivity, tags=event.tags,
    )  # fmt: skip
    if event.body is None and event.body_ref is not None and wanted.has_consent:
        large.append((asked, event.body_ref))
    else:
        gathered.ask(asked, event.body if wanted.has_consent else None)


async def _fetched(where: Connection, ref: Ref) -> bytes | None:
    """A body that was too large for `enriched`; None past its retention."""
    record = await records.one(where, ref.topic, ref.partition, ref.offset)
    request = decode_request(record.value) if record is not None else None
    return request.body if isinstance(request, Request) else None


def _answer(record: Any, wanted: Wanted, gathered: Gathered, shadows: set[str]) -> None:
    said = h.text(record.headers, h.REQUEST_ID)
    if said is not None and said not in gathered.asked and said not in shadows:
        return
    event = decode(Response, record.value)
    if not isinstance(event, Response) or event.tenant != wanted.tenant:
        return
    usage, timings = event.usage, event.timings_ms
    answered = Answered(
        request_id=event.request_id, place=_place(record), outcome=event.outcome, finished_at=event.finished_at,
        provider=event.provider or "", model=event.model or "", region=event.region or "",
        finish_reason=event.finish_reason or "", cost_nano_usd=event.cost_nano_usd, attempts=event.attempts,
        cached=event.cached, input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        cache_read_tokens=usage.cache_read_tokens if usage else None, queue_ms=timings.queue,
        first_token_ms=timings.first_token, total_ms=timings.total,
    )  # fmt: skip
    body = event.body if wanted.has_consent else None
    if event.request_id in shadows:
        gathered.answer(answered, body, is_shadow=True)
    elif event.request_id in gathered.asked:
        gathered.answer(answered, body)
