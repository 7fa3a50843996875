"""Cancel: nobody wants the answer any more. `cancels.v1`: gateway and other services -> route and every call process."""

from dataclasses import dataclass

from schemas.events.ref import TimestampMs


@dataclass(slots=True)
class Cancel:
    request_id: str
    tenant: str
    reason: str
    at: TimestampMs
