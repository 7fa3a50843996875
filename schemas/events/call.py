"""Call: the order to a provider. route -> `calls.<provider>.v1` -> call.

It carries everything that the answer on `responses` and the ledger will need, so that `call` has no memory and no
catalogue: a call is executed under the price and the limits that it was decided under.
"""

from dataclasses import dataclass, field

from schemas.events.ref import Ref, TimestampMs
from schemas.events.response import RouteInfo


@dataclass(slots=True, frozen=True)
class Tier:
    """The rates of a service tier, as those of `Price`."""

    input_nano_usd_per_mtok: int = 0
    cached_input_nano_usd_per_mtok: int = 0
    output_nano_usd_per_mtok: int = 0
    cache_write_nano_usd_per_mtok: int | None = None
    cache_write_1h_nano_usd_per_mtok: int | None = None


@dataclass(slots=True, frozen=True)
class Price:
    """Integer nano-dollars per million tokens; `version` names the price book.

    Written to the cache without a rate of its own: costs what input costs; for an hour: what five minutes cost. `tiers` by
    the name that the answer says.
    """

    version: str
    input_nano_usd_per_mtok: int = 0
    cached_input_nano_usd_per_mtok: int = 0
    output_nano_usd_per_mtok: int = 0
    cache_write_nano_usd_per_mtok: int | None = None
    cache_write_1h_nano_usd_per_mtok: int | None = None
    tiers: dict[str, Tier] = field(default_factory=dict)


@dataclass(slots=True)
class Prefix:
    """The beginning of an answer that earlier attempts delivered, for the one that continues it.

    `pieces` counts the deltas of `attempt`, the last attempt that sent any; `thinking_blocks` is a JSON array. The tokens are
    those of the first attempt's input and of everybody's output.
    """

    attempt: int
    pieces: int
    content: str
    reasoning_content: str = ""
    thinking_blocks: bytes = b"[]"
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def is_empty(self) -> bool:
        """Nothing was said: another attempt may begin anew."""
        return not self.content and not self.reasoning_content and self.thinking_blocks == b"[]"


@dataclass(slots=True)
class Call:
    """`keep_state` is false after the vendor refused signatures of earlier turns: they stay out.

    `partition_key` is the tenant key (also picks the partition of `responses`); `body` is None where `body_ref` points.
    `prefix`: the answer has begun already, this call goes on from there.
    """

    request_id: str
    tenant: str
    partition_key: str
    attempt: int
    attempt_id: str
    role: str
    provider: str
    model: str
    upstream: str
    region: str
    operation: str
    stream: bool
    deadline_at: TimestampMs
    accepted_at: TimestampMs
    routed_at: TimestampMs
    price: Price
    route: RouteInfo
    body: bytes | None = None
    body_ref: Ref | None = None
    max_tokens: int | None = None
    flags: bytes = b"{}"
    input_tokens: int = 0
    sensitivity: str = "internal"
    user: str | None = None
    key_id: str | None = None
    conversation_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    spent_nano_usd: int = 0
    request_role: str = "primary"
    keep_state: bool = True
    prefix: Prefix | None = None
