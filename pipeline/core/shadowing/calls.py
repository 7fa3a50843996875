"""The orders of an experiment: to the shadow, and to its judge. All of one request have one id, `shadow_request_id`."""

from pipeline.core.pricing import price_of
from pipeline.core.records import flags_of
from pipeline.core.shadowing.admission import Plan
from pipeline.core.shadowing.leg import Leg
from schemas.catalog import Catalog
from schemas.events import Call, Enriched, RouteInfo

__all__ = ["JUDGE", "SHADOW", "judge_call", "shadow_call"]

SHADOW, JUDGE = "shadow", "judge"

_PLACE_MS = 600_000
"""How long an order may wait for its place in the lane."""


def shadow_call(experiment: str, request: Enriched, plan: Plan, leg: Leg, catalog: Catalog, now_ms: int) -> Call:
    """The request as it was asked, under the limit that the budget was reserved by."""
    call = _call(experiment, request, plan, leg, catalog, now_ms)
    call.stream, call.body, call.body_ref = request.stream, request.body, request.body_ref
    call.max_tokens, call.input_tokens = plan.max_tokens, request.features.input_tokens
    return call


def judge_call(
    experiment: str, request: Enriched, plan: Plan, leg: Leg, catalog: Catalog, now_ms: int, *,
    body: bytes, max_tokens: int, input_tokens: int,
) -> Call:  # fmt: skip
    """What it says is booked to the same experiment."""
    call = _call(experiment, request, plan, leg, catalog, now_ms)
    call.body, call.max_tokens, call.input_tokens = body, max_tokens, input_tokens
    return call


def _call(experiment: str, request: Enriched, plan: Plan, leg: Leg, catalog: Catalog, now_ms: int) -> Call:
    model = catalog.models[leg.model]
    provider = catalog.providers[model.provider]
    return Call(
        request_id=plan.shadow_request_id,
        tenant=request.tenant,
        partition_key=request.partition_key,
        attempt=leg.number,
        attempt_id=leg.attempt_id,
        role=leg.role,
        provider=model.provider,
        model=leg.model,
        upstream=model.upstream or leg.model,
        region=provider.region,
        operation=model.operation,
        stream=False,
        deadline_at=now_ms + int(provider.timeouts.total_s * 1000) + _PLACE_MS,
        accepted_at=now_ms,
        routed_at=now_ms,
        price=price_of(catalog, leg.model),
        route=RouteInfo(policy=request.model, reason=f"{leg.role} of {experiment}"),
        flags=flags_of(catalog, leg.model),
        sensitivity=request.features.sensitivity,
        user=request.user,
        key_id=request.key_id,
        tags=request.tags,
        request_role=SHADOW,
    )
