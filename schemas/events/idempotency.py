"""Idempotency: what a key stood for, for 24 h. route -> `idempotency.v1` (compacted) -> route at takeover.

Written when the request is parked (open, `outcome` None) and when its outcome is known. Key: `<tenant>/<request id>`,
where the request id is derived from tenant and Idempotency-Key.
"""

from dataclasses import dataclass

from schemas.events.ref import Ref, TimestampMs


@dataclass(slots=True)
class Idempotency:
    request_id: str
    tenant: str
    fingerprint: str
    outcome: Ref | None
    expires_at: TimestampMs
