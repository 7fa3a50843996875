"""settle: what a finished attempt costs. Every one is booked, also failed, cancelled and orphaned ones."""

from pipeline.core.pricing import cost_nano_usd, is_estimate
from schemas.events import Attempt, Cost
from schemas.ids import cost_id


def booked(event: Attempt, *, effective: bool) -> Cost | None:
    """The ledger's line; None where nothing was sent to a provider (no usage). Booked twice it has the same id.

    `effective`: the caller got this answer.
    """
    if event.usage is None or event.price is None:
        return None
    return Cost(
        cost_id=cost_id(event.attempt_id, "charge", event.price.version),
        request_id=event.request_id,
        attempt=event.attempt,
        attempt_id=event.attempt_id,
        tenant=event.tenant,
        user=event.user,
        key_id=event.key_id,
        tags=event.tags,
        provider=event.provider,
        model=event.model,
        role=event.role,
        usage=event.usage,
        cost_nano_usd=cost_nano_usd(event.usage, event.price),
        price_version=event.price.version,
        estimated=is_estimate(event.usage, event.price),
        effective=effective,
        kind="charge",
        at=event.finished_at or event.started_at,
    )
