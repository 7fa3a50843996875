"""Topics: made, described; and whether the broker answers at all."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from schemas.topics import NamedTopic

__all__ = ["TopicError", "describe_topics", "ensure_topics", "is_reachable"]

CREATED, EXISTS = 0, 36
ATTEMPTS = 10
PAUSE_S = 0.3


class TopicError(Exception):
    """A topic could not be made."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"topic {topic}: {reason}")
        self.topic = topic
        self.reason = reason


async def ensure_topics(
    bootstrap: str,
    topics: Iterable[NamedTopic],
    *,
    security: Mapping[str, Any] | None = None,
    replication: int = 1,
) -> None:
    """Creates what is missing and leaves the rest as it is. `replication`: 1 on a single broker.

    Raises:
        TopicError: refused for good, or still refused after `ATTEMPTS`.
    """
    wanted = {topic.name: topic for topic in topics}
    async with _admin(bootstrap, security) as admin:
        for attempt in range(ATTEMPTS):
            existing = set(await admin.list_topics())
            missing = [topic for name, topic in wanted.items() if name not in existing]
            if not missing:
                return
            await _create(admin, missing, replication, last=attempt == ATTEMPTS - 1)
            await asyncio.sleep(PAUSE_S if attempt else 0)
    raise TopicError(missing[0].name, "created, but never listed")


async def _create(admin: Any, topics: list[NamedTopic], replication: int, *, last: bool) -> None:
    new = [
        NewTopic(t.name, num_partitions=t.partitions, replication_factor=replication, topic_configs=t.config)
        for t in topics
    ]
    try:
        response = await admin.create_topics(new)
    except KafkaError as exc:
        if last or not exc.retriable:
            raise TopicError(topics[0].name, repr(exc)) from exc
        return
    # The client does not raise for single topics.
    for name, code, *message in response.topic_errors:
        if code not in (CREATED, EXISTS) and (last or not for_code(code).retriable):
            raise TopicError(name, f"{for_code(code).__name__} {message[0] if message else ''}".strip())


async def describe_topics(
    bootstrap: str, names: Iterable[str] | None = None, *, security: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """As aiokafka says it: `topic`, `error_code`, `partitions` (each with `partition`, `leader`, ...). None: all."""
    async with _admin(bootstrap, security) as admin:
        return list(await admin.describe_topics(None if names is None else list(names)))


async def is_reachable(bootstrap: str, timeout_s: float, *, security: Mapping[str, Any] | None = None) -> bool:
    """Whether a broker answers a metadata request in time. Never raises for a broker that does not."""
    try:
        async with asyncio.timeout(timeout_s), _admin(bootstrap, security):
            return True
    except (KafkaError, OSError, TimeoutError):
        return False


@asynccontextmanager
async def _admin(bootstrap: str, security: Mapping[str, Any] | None) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **(security or {}))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
