"""Topics: one row per topic. Everything else that names a topic derives it from here (creation, topology, docs, guards)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

MAX_RECORD_BYTES = 10 * 1024 * 1024
"""One limit for every topic, so that retry and dead-letter twins take what their parents took."""

INLINE_BODY_BYTES = 256 * 1024
"""Above this a body stays in `requests` and travels as a Ref."""

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Above this a request is refused with 413."""

LANE_PARTITIONS = 2
"""Of each lane of calls and of the deltas; so at most so many `call` processes share a provider."""

Spread = Literal["tenant", "lane", "control"]


@dataclass(slots=True, frozen=True)
class Topic:
    """`event` None: the bytes of another topic. `terminal`: read by people and later stages only.

    `spread` picks the partition count: tenant-keyed topics all have the same. A name with `{provider}` or `{delay}` stands
    for one topic per provider or retry delay. LogAppendTime where deadlines and scans count from the broker's clock.
    """

    name: str
    event: str | None
    key: str
    spread: Spread
    retention_ms: int
    purpose: str
    compacted: bool = False
    append_time: bool = False
    terminal: bool = False
    json_allowed: bool = False

    def named(self, *, provider: str = "", delay: int = 0) -> str:
        """The concrete name, without the prefix."""
        return self.name.format(provider=provider, delay=f"{delay}s")


REQUESTS = Topic(
    "requests.v1",
    "request",
    "tenant",
    "tenant",
    72 * HOUR_MS,
    "what callers ask for",
    append_time=True,
    json_allowed=True,
)
ENRICHED = Topic("enriched.v1", "enriched", "tenant", "tenant", 72 * HOUR_MS, "requests with their features")
DECISIONS = Topic(
    "decisions.v1",
    "decision",
    "tenant",
    "tenant",
    72 * HOUR_MS,
    "every choice of a model, with its view",
    terminal=True,
)
CALLS = Topic("calls.{provider}.v1", "call", "request id", "lane", 72 * HOUR_MS, "orders to one provider")
CALLS_BULK = Topic(
    "calls.{provider}.bulk.v1",
    "call",
    "request id",
    "lane",
    6 * HOUR_MS,
    "orders of experiments, in places of their own",
)
ATTEMPTS = Topic(
    "attempts.v1", "attempt", "tenant", "tenant", 72 * HOUR_MS, "what became of the calls", append_time=True
)
RETRIES = Topic("retries.{delay}.v1", "parked", "tenant", "tenant", 72 * HOUR_MS, "waiting for a fixed time")
RETRIES_DUE = Topic("retries.due.v1", "parked", "tenant", "tenant", 72 * HOUR_MS, "waited long enough")
DELTAS = Topic(
    "deltas.v1", "delta", "request id", "lane", 15 * MINUTE_MS, "answers piece by piece, and notes to gateways"
)
RESPONSES = Topic("responses.v1", "response", "tenant", "tenant", 72 * HOUR_MS, "the outcomes", append_time=True)
COSTS = Topic("costs.v1", "cost", "tenant", "tenant", 90 * DAY_MS, "the ledger", terminal=True)
CANCELS = Topic("cancels.v1", "cancel", "tenant", "tenant", HOUR_MS, "nobody waits any more")
DEAD_LETTERS = Topic(
    "dead-letters.v1",
    None,
    "as it was",
    "control",
    14 * DAY_MS,
    "what could not be processed, byte for byte",
    terminal=True,
)
SIGNALS = Topic(
    "signals.v1", "signal", "endpoint", "control", HOUR_MS, "what `call` sees of each endpoint, four times a second"
)
BREAKERS = Topic(
    "breakers.v1",
    "breaker",
    "endpoint",
    "control",
    30 * DAY_MS,
    "which endpoints are out, by transitions",
    compacted=True,
)
IDEMPOTENCY = Topic(
    "idempotency.v1", "idempotency", "tenant/request id", "tenant", DAY_MS, "what a key stood for", compacted=True
)
CATALOGS = Topic(
    "catalogs.v1",
    "catalog",
    "hash",
    "control",
    400 * DAY_MS,
    "every catalogue that was in force, for decisions to be made again",
    compacted=True,
    terminal=True,
)
ALERTS = Topic(
    "alerts.v1",
    "alert",
    "alert id",
    "control",
    30 * DAY_MS,
    "which rules of the catalogue began and ceased to hold",
)
SHADOW_COMPARISONS = Topic(
    "shadow-comparisons.v1",
    "shadow-comparison",
    "tenant",
    "tenant",
    72 * HOUR_MS,
    "what experiments found, a record per sampled request",
    terminal=True,
)
SHADOWS = Topic(
    "shadows.v1",
    "shadow-order",
    "experiment",
    "control",
    30 * DAY_MS,
    "which experiments an operator started, stopped, rewound",
    compacted=True,
)
SHADOW_PROGRESS = Topic(
    "shadow-progress.v1",
    "shadow-progress",
    "experiment",
    "control",
    30 * DAY_MS,
    "how far experiments are and what they have spent",
    compacted=True,
)
FEEDBACK = Topic(
    "feedback.v1",
    "feedback",
    "tenant",
    "tenant",
    72 * HOUR_MS,
    "what people say of answers",
    terminal=True,
    json_allowed=True,
)

TOPICS: tuple[Topic, ...] = (
    REQUESTS, ENRICHED, DECISIONS, CALLS, CALLS_BULK, ATTEMPTS, RETRIES, RETRIES_DUE, DELTAS, RESPONSES, COSTS, CANCELS,
    DEAD_LETTERS, IDEMPOTENCY, SIGNALS, BREAKERS, CATALOGS, ALERTS, SHADOW_COMPARISONS, SHADOWS, SHADOW_PROGRESS, FEEDBACK,
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class NamedTopic:
    """A concrete topic as it is created: full name with prefix, partition count, topic configuration."""

    topic: Topic
    name: str
    partitions: int

    @property
    def config(self) -> dict[str, str]:
        return {
            "cleanup.policy": "compact,delete" if self.topic.compacted else "delete",
            "retention.ms": str(self.topic.retention_ms),
            "max.message.bytes": str(MAX_RECORD_BYTES),
            "message.timestamp.type": "LogAppendTime" if self.topic.append_time else "CreateTime",
            **({"segment.ms": str(10 * MINUTE_MS), "min.cleanable.dirty.ratio": "0.1"} if self.topic.compacted else {}),
        }


def named_topics(prefix: str, partitions: int, providers: Iterable[str], delays_s: Iterable[int]) -> list[NamedTopic]:
    """Every topic of an installation. `partitions`: of the tenant-keyed ones."""
    counts: dict[Spread, int] = {"tenant": partitions, "lane": LANE_PARTITIONS, "control": 1}
    providers, delays_s = list(providers), list(delays_s)
    named = []
    for topic in TOPICS:
        for name in _names(topic, providers, delays_s):
            named.append(NamedTopic(topic, prefix + name, counts[topic.spread]))
    return named


def _names(topic: Topic, providers: list[str], delays_s: list[int]) -> list[str]:
    if "{provider}" in topic.name:
        return [topic.named(provider=provider) for provider in providers]
    if "{delay}" in topic.name:
        return [topic.named(delay=delay) for delay in delays_s]
    return [topic.name]
