"""The records that a journey leaves behind: calls, parked states, error outcomes, orphaned attempts. Pure builders."""

import orjson

from pipeline.core.journey import Journey
from pipeline.core.outcomes import Forward
from pipeline.core.pricing import price_of
from schemas.catalog import Catalog, Model
from schemas.events import Call, Decision, Enriched, Outcome, Parked, Prefix, Response, RouteInfo, Timings


def call(journey: Journey, step: Forward, catalog: Catalog, now_ms: int) -> Call:
    """The order to the provider, with all that its answer and the ledger will need."""
    request, decision = journey.request, step.decision
    model = catalog.models[decision.chosen]
    route = catalog.routes.get(request.model)
    return Call(
        request_id=request.request_id,
        tenant=request.tenant,
        partition_key=request.partition_key,
        attempt=decision.attempt,
        attempt_id=step.attempt_id,
        role=step.role if request.role == "primary" else request.role,
        provider=model.provider,
        model=decision.chosen,
        upstream=model.upstream or decision.chosen,
        region=catalog.providers[model.provider].region,
        operation=request.operation,
        stream=request.stream,
        deadline_at=request.deadline_at,
        accepted_at=request.accepted_at,
        routed_at=now_ms,
        price=price_of(catalog, decision.chosen),
        route=route_info(request, decision),
        body=request.body,
        body_ref=request.body_ref,
        max_tokens=_limit(request.max_tokens or (route.default_max_tokens if route else None), model, step.prefix),
        flags=flags_of(catalog, decision.chosen),
        input_tokens=request.features.input_tokens,
        sensitivity=request.features.sensitivity,
        user=request.user,
        key_id=request.key_id,
        conversation_id=request.conversation_id,
        tags=request.tags,
        spent_nano_usd=journey.spent_nano_usd,
        request_role=request.role,
        keep_state=step.keep_state,
        prefix=step.prefix,
    )


def _limit(asked: int | None, model: Model, prefix: Prefix | None) -> int | None:
    """More than the model can write would be refused by its vendor; the finish reason says if it was too short."""
    if asked is None:
        return None
    said = prefix.output_tokens if prefix else 0
    return min(max(1, asked - said), model.max_output_tokens)


_KEPT_FLAGS = 4_096
_flags_of: dict[tuple[str, str], bytes] = {}


def flags_of(catalog: Catalog, name: str) -> bytes:
    """What an adapter has to know of the model, as JSON; parameters without a policy are dropped, so only others travel."""
    known = _flags_of.get((catalog.hash, name))
    if known is None:
        if len(_flags_of) >= _KEPT_FLAGS:
            _flags_of.clear()
        model = catalog.models[name]
        flags = model.flags.model_dump(mode="json", exclude_none=True)
        flags["policy"] = {knob: what for knob, what in flags["policy"].items() if what != "drop"}
        known = orjson.dumps({**flags, "max_output_tokens": model.max_output_tokens})
        _flags_of[catalog.hash, name] = known
    return known


def error_response(journey: Journey, error: Outcome, now_ms: int) -> Response:
    """The outcome of a request that got no answer."""
    request, decision = journey.request, journey.decision
    return Response(
        request_id=request.request_id,
        tenant=request.tenant,
        operation=request.operation,
        outcome="error",
        accepted_at=request.accepted_at,
        finished_at=now_ms,
        route=route_info(request, decision) if decision else RouteInfo(policy=request.model),
        timings_ms=Timings(total=now_ms - request.accepted_at),
        user=request.user,
        conversation_id=request.conversation_id,
        error=error,
        model=decision.chosen or None if decision else None,
        cost_nano_usd=journey.spent_nano_usd,
        attempts=journey.attempts,
        role=request.role,
        tags=request.tags,
    )


def refusal(
    request_id: str, tenant: str, error: Outcome, *, accepted_at: int, now_ms: int, role: str = "primary"
) -> Response:
    """The outcome of a record that never became a request; `role` is what its header says."""
    return Response(
        request_id=request_id,
        tenant=tenant,
        operation="chat",
        outcome="error",
        accepted_at=accepted_at,
        finished_at=now_ms,
        route=RouteInfo(),
        timings_ms=Timings(total=now_ms - accepted_at),
        error=error,
        role=role,
    )


def parked(journey: Journey, due_at: int, attempts: int) -> Parked:
    """The request with its state; `attempts` counts those that are over."""
    return Parked(
        request=journey.request,
        due_at=due_at,
        attempts=attempts,
        tried=journey.given_up,
        spent_nano_usd=journey.spent_nano_usd,
        streamed=journey.streamed,
    )


def route_info(request: Enriched, decision: Decision) -> RouteInfo:
    """The decision as callers see it on `responses`."""
    return RouteInfo(
        policy=request.model,
        reason=decision.reason,
        propensity=decision.ranked[0].propensity if decision.ranked else 1.0,
        alternatives=[ranked.model for ranked in decision.ranked[1:]],
        excluded=[f"{row.model}: {row.step}, {row.reason}" for row in decision.excluded],
    )
