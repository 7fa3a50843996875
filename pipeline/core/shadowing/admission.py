"""Whether a sampled request may be mirrored now, and where to; else the reason why it is skipped.

What holds for a request's own calls holds here again: operation, capabilities, regions, terms, sensitivity, rules, breakers
(`decide`); and for the judge, who sees the same data. On top: the tenant's consent to keep what was said, and the budget.
"""

from dataclasses import dataclass, replace
from typing import Literal

import orjson

from pipeline.core.comparing.judging import JUDGE_CHARS, JUDGE_OUTPUT_TOKENS
from pipeline.core.decide import Situation, decide
from pipeline.core.shadowing.budget import Budget, worst_case
from schemas.catalog import Catalog
from schemas.catalog.policies import Shadow
from schemas.errors import ErrorCode
from schemas.events import Decision, Enriched
from schemas.ids import shadow_request_id

__all__ = ["Plan", "Skip", "SkipReason", "Wait", "admit", "known_plan", "plan"]

SkipReason = Literal[
    "store_bodies",
    "operation",
    "incapable",
    "no_eligible_model",
    "breaker_open",
    "budget",
    "no_place",
    "no_primary_outcome",
    "expired",
]
"""Why a sampled request has no pair. `operation`: embeddings are not mirrored; `incapable`: the model cannot do what was asked;
`breaker_open`: its endpoint takes no calls; `no_place`: callers need the only one at its provider;
`expired`: its body is gone, or it found no place before its call's deadline."""

_DEFAULT_MAX_TOKENS = 4_096  # of requests that name no limit and no route that has one: budgets reserve by it
_INCAPABLE = frozenset({ErrorCode.CONTEXT_LENGTH_EXCEEDED, ErrorCode.INVALID_REQUEST_ERROR})


@dataclass(slots=True, frozen=True)
class Skip:
    reason: SkipReason


@dataclass(slots=True, frozen=True)
class Wait:
    """The budget is reserved, and may not be spent: ask again when a call has ended."""


@dataclass(slots=True, frozen=True)
class Plan:
    """Where a request is mirrored to.

    Attributes:
        shadow_request_id: whose the calls are.
        decision: that chose the model, under that id; None where it was made by a predecessor.
        model: the shadow.
        judge: a model that is asked; None for rules or none.
        max_tokens: the shadow may write.
        reserved_nano_usd: worst case of all calls.
    """

    shadow_request_id: str
    decision: Decision | None
    model: str
    judge: str | None
    max_tokens: int
    reserved_nano_usd: int


def admit(row: Shadow, request: Enriched, catalog: Catalog, situation: Situation, budget: Budget) -> Plan | Skip | Wait:
    """For a request that matches the experiment's filter; a plan is not reserved yet."""
    tenant = catalog.tenant_of(request.tenant)
    if request.operation != "chat":
        return Skip("operation")
    if tenant is None:
        return Skip("no_eligible_model")
    if not tenant.store_bodies:
        return Skip("store_bodies")
    planned = plan(row, request, catalog, situation)
    if isinstance(planned, Skip) or budget.fits(planned.reserved_nano_usd, situation.now_ms):
        return planned
    return Wait() if budget.may_fit(planned.reserved_nano_usd, situation.now_ms) else Skip("budget")


def known_plan(row: Shadow, request: Enriched, model: str, catalog: Catalog) -> Plan:
    """Of a request that was admitted before, to the model that was chosen then."""
    shadow_id = shadow_request_id(request.tenant, request.request_id, row.name)
    limit = min(_max_tokens(request, catalog), catalog.models[model].max_output_tokens)
    reserved = worst_case(
        catalog, model, input_tokens=request.features.input_tokens, output_tokens=limit * _choices(request)
    )
    return Plan(shadow_id, None, model, row.judge_model, limit, reserved)


def plan(row: Shadow, request: Enriched, catalog: Catalog, situation: Situation) -> Plan | Skip:
    """Without a look at consent and budget: those were decided before, if it was."""
    wanted = _max_tokens(request, catalog)
    shadow = decide(
        replace(request, max_tokens=wanted), catalog, situation, attempt=1, tried=(), cause="shadow", target=row.model
    )
    shadow.request_id = shadow_request_id(request.tenant, request.request_id, row.name)
    if not shadow.chosen:
        return Skip(_why(shadow))
    if not _has_places(catalog, shadow.chosen):
        return Skip("no_place")
    limit = min(wanted, catalog.models[shadow.chosen].max_output_tokens)
    reserved = worst_case(
        catalog, shadow.chosen, input_tokens=request.features.input_tokens, output_tokens=limit * _choices(request)
    )
    if row.judge_model is not None:
        asked = _asked_judge(request, limit, wanted)
        judge = decide(asked, catalog, situation, attempt=2, tried=(), cause="shadow", target=row.judge_model)
        if not judge.chosen:
            return Skip(_why(judge))
        if not _has_places(catalog, judge.chosen):
            return Skip("no_place")
        once = worst_case(
            catalog, judge.chosen, input_tokens=asked.features.input_tokens, output_tokens=JUDGE_OUTPUT_TOKENS
        )
        reserved += 2 * once
    return Plan(shadow.request_id, shadow, shadow.chosen, row.judge_model, limit, reserved)


def _has_places(catalog: Catalog, model: str) -> bool:
    return catalog.places(catalog.models[model].provider, "bulk") > 0


def _why(refused: Decision) -> SkipReason:
    if refused.error_code in _INCAPABLE:
        return "incapable"
    if refused.error_code != ErrorCode.ALL_PROVIDERS_UNAVAILABLE:
        return "no_eligible_model"
    unavailable = [gone.reason for gone in refused.excluded if gone.step == "available"]
    return "no_eligible_model" if all(reason.endswith("is off") for reason in unavailable) else "breaker_open"


def _max_tokens(request: Enriched, catalog: Catalog) -> int:
    route = catalog.routes.get(request.model)
    return request.max_tokens or (route.default_max_tokens if route else _DEFAULT_MAX_TOKENS)


def _choices(request: Enriched) -> int:
    """Answers that were asked for at once; a body that travels by reference is not fetched for that."""
    if request.body is None or b'"n"' not in request.body:
        return 1
    asked = orjson.loads(request.body).get("n")
    return asked if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0 else 1


def _asked_judge(request: Enriched, *limits: int) -> Enriched:
    """What the judge is asked at most: question and answers, each cut; a token is never less than a character."""
    shown = min(request.features.input_tokens, JUDGE_CHARS) + sum(min(limit, JUDGE_CHARS) for limit in limits)
    features = replace(request.features, input_tokens=shown + JUDGE_OUTPUT_TOKENS, needs=[])
    return replace(request, features=features, max_tokens=JUDGE_OUTPUT_TOKENS, stream=False)
