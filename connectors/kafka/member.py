"""Membership of a consumer group for the light stages: a static member that commits by hand and is told what it owns."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

__all__ = ["MEMBER", "Owner", "join"]

MEMBER: Final[Mapping[str, Any]] = {
    "enable_auto_commit": False,
    "auto_offset_reset": "earliest",
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 1_000,
    # A member that fetches nothing for this long leaves for ever: https://github.com/aio-libs/aiokafka/issues/1187
    "max_poll_interval_ms": 2_000_000_000,
    "retry_backoff_ms": 100,
}
"""Options of a member that commits by hand, aiokafka's own."""


class Owner(Protocol):
    """Who is told. `revoked` is of all partitions: aiokafka hands back everything at each rebalance."""

    def assigned(self, places: set[TopicPartition]) -> Awaitable[None]: ...

    def revoked(self) -> Awaitable[None]: ...


def join(
    bootstrap: str,
    group: str,
    slot: str,
    topics: Sequence[str],
    owner: Owner,
    *,
    options: Mapping[str, Any],
) -> AIOKafkaConsumer:
    """A consumer that joins once it is started; `slot` is its static name, `options` are aiokafka's own."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        group_instance_id=slot,
        **{**MEMBER, **options},
    )
    consumer.subscribe(list(topics), listener=_Listener(owner))
    return consumer


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._owner.revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._owner.assigned(assigned)
