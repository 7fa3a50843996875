"""Tools: what bootstrap hands to every stage. Real clients and clocks; stages and core never make their own."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.admin.metrics import Metrics
from connectors.kafka.producers import Producers
from connectors.kafka.scan import Scanner
from pipeline.catalog_file import LoadedCatalog


def epoch_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Tools:
    """`worker` names this incarnation of this slot: two lives of one slot are two workers."""

    bootstrap: str
    topic_prefix: str
    partitions: int
    pepper: bytes
    worker: str
    instance: int
    loaded: LoadedCatalog
    producers: Producers
    scanner: Scanner
    metrics: Metrics
    provider: str | None = None
    now_ms: Callable[[], int] = field(default=epoch_ms)

    def topic(self, name: str) -> str:
        """The full name of a topic of the table."""
        return self.topic_prefix + name
