"""One segment out of Kafka: its requests, what became of them, what people said, then its decisions.

Each topic is read from the beginning of the segment on, as far as something of the segment can stand:

    enriched    accepted + the age that an un-acked request may have when a takeover logs it again
    others      the latest deadline
"""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition

from pipeline.core.redeciding.joined import Id, Joined, outcome_of
from pipeline.operations.redeciding.segments import SKEW_MS, Segment
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t
from schemas.codec import decode, first_text
from schemas.events import Decision, Enriched, Response
from schemas.topics import Topic

__all__ = ["replay_segment"]

_LATE_MS: Final = 90_000
"""An open request is logged again after a takeover, at most so long after its acceptance: then it is carried forward."""

_POLL_MS: Final = 200
_AT_A_TIME: Final = 64
"""Records that go through each step together: few enough to stay in the processor's cache, in which work is twice as fast."""

Batches = AsyncIterator[list[Any]]


async def replay_segment(
    client: Any,
    where: Connection,
    segment: Segment,
    joined: Joined,
    scores: Mapping[Id, float],
    *,
    tell: Callable[[int], None],
) -> None:
    """Fill the tally of `joined`.

    Args:
        client: a consumer of our own, assigned here.
        where: for the names of topics.
        segment: what to replay.
        joined: a fresh one for this segment.
        scores: of feedback, by request.
        tell: is told how many decisions were looked at since the last time.
    """
    since_ms = max(0, segment.from_ms - SKEW_MS)
    async for batch in _batches(client, where, t.ENRICHED, segment.partition, since_ms):
        requests = [event for record in batch if isinstance(event := decode(Enriched, record.value), Enriched)]
        for request in requests:
            joined.ask(request)
        if requests and requests[-1].accepted_at >= segment.to_ms + _LATE_MS:
            break
    until_ms = joined.latest_deadline + SKEW_MS
    async for batch in _batches(client, where, t.RESPONSES, segment.partition, since_ms, until_ms):
        for record in batch:
            _end(joined, record)
    joined.rate(scores)
    async for batch in _batches(client, where, t.DECISIONS, segment.partition, since_ms, until_ms):
        ours = [decode(Decision, record.value) for record in batch if joined.has(_id(record))]
        joined.take(*(decision for decision in ours if isinstance(decision, Decision)))
        tell(len(batch))


def _end(joined: Joined, record: Any) -> None:
    """An answer is told by its first fields and a header, a sixth of the time that the whole takes."""
    key = _id(record)
    if not joined.lacks_outcome(key):
        return
    attempts = h.integer(record.headers, h.ATTEMPT)
    if attempts is not None and first_text(Response, record.value, "outcome") == "ok":
        joined.end(key, outcome_of("ok", None, attempts))
    elif isinstance(response := decode(Response, record.value), Response):
        code = response.error.code if response.error else None
        joined.end(key, outcome_of(response.outcome, code, response.attempts))


def _id(record: Any) -> Id:
    """Of the headers, in the order in which we write them: request id, tenant. Foreign records are read by name."""
    headers = record.headers
    if len(headers) > 1 and headers[0][0] == h.REQUEST_ID and headers[1][0] == h.TENANT:
        return headers[1][1].decode(errors="replace"), headers[0][1].decode(errors="replace")
    return h.text(headers, h.TENANT) or "", h.text(headers, h.REQUEST_ID) or ""


async def _batches(
    client: Any, where: Connection, topic: Topic, partition: int, since_ms: int, until_ms: int | None = None
) -> Batches:
    """Records from a time on, to the end as of now or the first record after `until_ms`."""
    part = TopicPartition(where.topic(topic.name), partition)
    client.assign([part])
    end = (await client.end_offsets([part]))[part]
    first = (await client.offsets_for_times({part: since_ms}))[part]
    position = end if first is None else first.offset
    client.seek(part, position)
    while position < end:
        found = await client.getmany(part, timeout_ms=_POLL_MS, max_records=_AT_A_TIME)
        batch = [each for each in found.get(part, ()) if each.offset < end]
        if batch:
            yield batch
            if until_ms is not None and batch[-1].timestamp > until_ms:
                return
        position = await client.position(part)
