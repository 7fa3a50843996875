"""Enriched: the request as the platform understands it. route (enrich) -> `enriched.v1`, the log for shadow, replay and SQL.

Inside `route` it is also what a journey starts from.
"""

from dataclasses import dataclass, field

from schemas.events.ref import Ref, TimestampMs


@dataclass(slots=True)
class Features:
    """`complexity` 0..1; `needs` are capabilities (tools, vision, json_schema, ...); `findings` name kinds, never text."""

    input_tokens: int
    language: str
    task: str
    complexity: float
    band: str
    sensitivity: str
    needs: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    domains: dict[str, float] = field(default_factory=dict)
    classifier_version: str = ""


@dataclass(slots=True)
class Enriched:
    """`body` is None where it is large: then `body_ref` points at the request's record."""

    request_id: str
    tenant: str
    partition_key: str
    model: str
    operation: str
    stream: bool
    priority: str
    accepted_at: TimestampMs
    deadline_at: TimestampMs
    features: Features
    body: bytes | None = None
    body_ref: Ref | None = None
    max_tokens: int | None = None
    user: str | None = None
    key_id: str | None = None
    conversation_id: str | None = None
    idempotent: bool = False
    fingerprint: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    role: str = "primary"
