"""Which partition a key belongs to: the Java client's murmur2, so that every client agrees (aiokafka's default too)."""

from functools import lru_cache

from aiokafka.partitioner import murmur2

__all__ = ["partition_of"]


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Murmur2 in Python costs some 10 µs for a short key; tenants repeat, so the answers are kept."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
