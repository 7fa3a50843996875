"""An attempt as the ledger has it: what its charge says, and what all its lines come to. Out of ClickHouse, for repricing."""

from dataclasses import dataclass

from schemas.events.ref import TimestampMs

__all__ = ["Booked"]


@dataclass(slots=True)
class Booked:
    """`cost_nano_usd`: of all lines; `adjust_ids`: of those that are no charge. Usage and price version are the charge's."""

    tenant: str
    attempt_id: str
    request_id: str
    attempt: int
    user: str | None
    key_id: str | None
    tags: dict[str, str]
    provider: str
    model: str
    role: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    is_counted: bool
    cache_write_1h_tokens: int
    service_tier: str | None
    price_version: str
    at: TimestampMs
    accepted_at: TimestampMs | None
    partition: int
    cost_nano_usd: int
    adjust_ids: list[str]
