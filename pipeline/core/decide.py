"""Decide: which model answers this attempt (DESIGN.md section 6). Pure, and equal for equal arguments.

A candidate goes through these steps and is excluded at the first that fails:

    1. candidates  it can: operation, context, tools, inputs, JSON schema, streaming
    2. eligible    its data may go there: tenant's regions and terms, clearance
    3. available   its provider is on and not overfull, its endpoint's breaker lets calls through
    4. tried       this request has not given it up already
    5. rules       require, exclude, pin

What is left is ranked: in the route's own order, else by

    score = quality prior + preferences - lambda x US cents of this call - mu x seconds to the first token

with ties by name; endpoints that hesitate come after those that do not. Where an experiment splits the route, the arm that
the request is on (`splits`) says who the candidates are. Nothing left is a decision too: if no candidate can
do what is asked, the request is at fault (`context_length_exceeded`, `invalid_request_error`); `no_eligible_model` if policy
removed what can; `all_providers_unavailable` if one of them might answer at another time (`retry_at` says when, if anybody
knows).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.breaker import held_back
from pipeline.core.eligible import known_sensitivity
from pipeline.core.planning import Arm, Option, Plan, plan_of
from pipeline.core.pricing import expected_nano_usd
from pipeline.core.rules import Facts, applied, likely_domain
from pipeline.core.splits import arm_at, place_of
from schemas.catalog import Catalog, Tenant
from schemas.errors import ErrorCode
from schemas.events import Decision, Enriched, Excluded, Proof, Ranked, View
from schemas.ids import decision_seed

__all__ = ["PROFILE_VERSION", "Situation", "decide"]

PROFILE_VERSION = "static"

_EXPECTED_OUTPUT_TOKENS = 512  # of an answer whose length nobody has learnt yet; the caller's limit cuts it
_EXPECTED_FIRST_TOKEN_S = 1.0  # of every model, until latencies are learnt
_NANO_USD_PER_CENT = 10_000_000


@dataclass(slots=True)
class Situation:
    """What is known of the world: calls in flight and switched-off ones by provider, endpoints by name, and the time.

    `bulk_in_flight` are those of `in_flight` that are batch work.
    """

    in_flight: Mapping[str, int]
    off_providers: frozenset[str]
    now_ms: int
    views: Mapping[str, View] = field(default_factory=dict)
    bulk_in_flight: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Case:
    """One decision's arguments, and what follows from them at once. `arm`: the number of the one that the request is on."""

    request: Enriched
    situation: Situation
    plan: Plan
    arm: int
    tried: frozenset[str]
    larger_than_tokens: int | None
    is_batch: bool
    least_context: int
    expected_output: int


def decide(
    request: Enriched,
    catalog: Catalog,
    situation: Situation,
    *,
    attempt: int,
    tried: Sequence[str],
    cause: str = "first",
    larger_than_tokens: int | None = None,
    target: str | None = None,
) -> Decision:
    """Choose a model for this attempt.

    Args:
        request: with the features that the classifier found.
        catalog: the one in force; its hash is the policy version.
        situation: state and time.
        attempt: the number of the attempt that the decision leads to, first 1.
        tried: models that this request gave up.
        cause: first, retry, failover, continuation, parked, shadow or replay.
        larger_than_tokens: only models with a larger context than this.
        target: a model or route that an operator asks in place of what the caller asked for. Rules still see the caller's
            word, and everything that guards data holds; only the list of what a tenant may ask for does not. It is not split.
    """
    decision = _blank(request, catalog, situation, attempt=attempt, cause=cause)
    decision.larger_than_tokens, decision.target = larger_than_tokens, target
    if tried:
        decision.tried = sorted(set(tried))
    tenant = catalog.tenant_of(request.tenant)
    if tenant is None:
        return _refuse(decision, ErrorCode.UNKNOWN_TENANT, "the tenant is not in the catalogue")
    asked = request.model if target is None else target
    if asked not in catalog.models and asked not in catalog.routes:
        return _refuse(decision, ErrorCode.MODEL_NOT_FOUND, "no model or route has the name that was asked for")
    if target is None and not catalog.may_ask(tenant, asked):
        return _refuse(decision, ErrorCode.MODEL_NOT_ALLOWED, "the tenant may not ask for this model or route")
    return _choose(decision, _case(request, catalog, situation, decision, tenant))


def _case(
    request: Enriched,
    catalog: Catalog,
    situation: Situation,
    decision: Decision,
    tenant: Tenant,
) -> _Case:
    """`decision` holds the other arguments."""
    rules = applied(catalog, _facts(request, situation.now_ms))
    plan = plan_of(catalog, tenant, request, rules, target=decision.target)
    asked = request.max_tokens
    return _Case(
        request=request,
        situation=situation,
        plan=plan,
        arm=0 if plan.experiment is None else arm_at(place_of(plan.experiment, request), plan.bounds),
        tried=frozenset(decision.tried),
        larger_than_tokens=decision.larger_than_tokens,
        is_batch=request.priority == "batch",
        least_context=request.features.input_tokens + (asked or 0),
        expected_output=_EXPECTED_OUTPUT_TOKENS if asked is None else min(asked, _EXPECTED_OUTPUT_TOKENS),
    )


def _blank(request: Enriched, catalog: Catalog, situation: Situation, *, attempt: int, cause: str) -> Decision:
    return Decision(
        request_id=request.request_id,
        tenant=request.tenant,
        attempt=attempt,
        cause=cause,
        policy_version=catalog.hash,
        profile_version=PROFILE_VERSION,
        classifier_version=request.features.classifier_version,
        seed=decision_seed(request.request_id, attempt),
        decided_at=situation.now_ms,
        reason="",
        proof=Proof(sensitivity=request.features.sensitivity),
        replayable=True,
    )


def _refuse(decision: Decision, code: ErrorCode, reason: str) -> Decision:
    decision.error_code, decision.reason = code.value, reason
    return decision


def _facts(request: Enriched, now_ms: int) -> Facts:
    features = request.features
    return Facts(
        tenant=request.tenant,
        route=request.model,
        user=request.user,
        tags=request.tags,
        domain=likely_domain(features.domains),
        language=features.language,
        operation=request.operation,
        complexity=features.complexity,
        sensitivity=known_sensitivity(features.sensitivity),
        input_tokens=features.input_tokens,
        now_ms=now_ms,
    )


def _choose(decision: Decision, case: _Case) -> Decision:
    plan, own = case.plan, case.plan.arms[case.arm]
    decision.proof.regions, decision.proof.terms = list(plan.regions), list(plan.terms)
    views = _seen(decision, case)
    verdicts = [_verdict(case, option, view) for option, view in zip(plan.options, views, strict=True)]
    decision.excluded = [found for place in own.members if isinstance(found := verdicts[place], Excluded)]
    ranking = _ranking(plan, own, verdicts, views)
    if not ranking:
        _nothing_left(decision, case, views)
    else:
        decision.ranked = ranking
        decision.chosen = ranking[0].model
        decision.reason = _why(plan, len(ranking))
        _note_propensity(case, ranking, verdicts, views)
    if plan.experiment is not None:
        decision.experiment, decision.arm = plan.experiment.name, own.name
        decision.reason += f", in arm {own.name} of {plan.experiment.name}"
    return decision


def _seen(decision: Decision, case: _Case) -> list[View]:
    """Log what is known of the candidates, of all arms; their endpoints in order."""
    situation, views = case.situation, []
    for option in case.plan.options:
        view = situation.views.get(option.endpoint)
        if view is None:
            view = View(in_flight=situation.in_flight.get(option.provider, 0))
        views.append(view)
        decision.view[option.endpoint] = view
        if option.provider in decision.in_flight:
            continue
        if count := situation.in_flight.get(option.provider, 0):
            decision.in_flight[option.provider] = count
        if count := situation.bulk_in_flight.get(option.provider, 0):
            decision.bulk_in_flight[option.provider] = count
    if situation.off_providers:
        off = {option.provider for option in case.plan.options} & situation.off_providers
        decision.off_providers = sorted(off)
    return views


def _verdict(case: _Case, option: Option, view: View) -> Ranked | Excluded:
    """Through the steps; the first that fails says why."""
    if reason := _incapable(case, option):
        return Excluded(option.name, "candidates", reason)
    if option.ineligible:
        return Excluded(option.name, "eligible", option.ineligible)
    if reason := _unavailable(case, option, view):
        return Excluded(option.name, "available", reason)
    if option.name in case.tried:
        return Excluded(option.name, "tried", "this request has tried it")
    if option.ruled_out:
        return Excluded(option.name, "rules", option.ruled_out)
    return _scored(case, option)


_TOO_SMALL = "context"


def _incapable(case: _Case, option: Option) -> str | None:
    if option.unfit:
        return option.unfit
    if option.context_tokens < case.least_context:
        return f"{_TOO_SMALL} of {option.context_tokens} tokens is too small"
    if case.larger_than_tokens is not None and option.context_tokens <= case.larger_than_tokens:
        return "context is not larger than the one that was too small"
    return option.lacks


def _unavailable(case: _Case, option: Option, view: View) -> str | None:
    provider = option.provider
    if provider in case.situation.off_providers:
        return f"provider {provider} is off"
    if case.situation.in_flight.get(provider, 0) >= option.overfull_at:
        return f"provider {provider} has too many calls in flight"
    if case.is_batch and _leaves_no_place(case, option):
        return f"provider {provider} has no place left for batch work"
    why = held_back(view, case.situation.now_ms)
    return _HELD_BACK[why] if why else None


def _leaves_no_place(case: _Case, option: Option) -> bool:
    """Batch work takes what interactive calls leave free, never queues in their lane, and has a share at most."""
    situation, provider = case.situation, option.provider
    is_full = situation.in_flight.get(provider, 0) >= option.places
    return is_full or situation.bulk_in_flight.get(provider, 0) >= option.batch_places


_HELD_BACK = {
    "open": "its breaker is open",
    "half_open": "its breaker is half open",
    "limited": "its provider takes no calls for now",
    "ramp": "its breaker lets few calls at a time through",
}


def _scored(case: _Case, option: Option) -> Ranked:
    output_tokens = min(case.expected_output, option.max_output_tokens)
    cost = expected_nano_usd(case.request.features.input_tokens, output_tokens, option.price)
    cents = cost / _NANO_USD_PER_CENT
    paid = case.plan.lambda_cost * cents + case.plan.mu_latency * _EXPECTED_FIRST_TOKEN_S
    score = option.quality + option.bonus - paid
    return Ranked(option.name, score, option.quality, cents, _EXPECTED_FIRST_TOKEN_S, 0.0)


Verdicts = Sequence[Ranked | Excluded]


def _ranking(plan: Plan, arm: Arm, verdicts: Verdicts, views: Sequence[View]) -> list[Ranked]:
    """An arm's candidates that are left, the best first. Sorting is stable: an ordered route keeps its order."""
    left = [(place, found) for place in arm.members if isinstance(found := verdicts[place], Ranked)]
    if len(left) < 2:
        return [found for _, found in left]
    if plan.is_ordered:
        left.sort(key=lambda each: views[each[0]].hesitant)
    else:
        left.sort(key=lambda each: (views[each[0]].hesitant, -each[1].score, each[1].model))
    return [found for _, found in left]


def _note_propensity(case: _Case, ranking: list[Ranked], verdicts: Verdicts, views: Sequence[View]) -> None:
    """How likely each model was to be chosen here: the shares of all arms that would have chosen it."""
    if case.plan.experiment is None:
        ranking[0].propensity = 1.0
        return
    for number, arm in enumerate(case.plan.arms):
        first = ranking if number == case.arm else _ranking(case.plan, arm, verdicts, views)
        if first:
            first[0].propensity += arm.share


def _nothing_left(decision: Decision, case: _Case, views: Sequence[View]) -> None:
    places = case.plan.arms[case.arm].members
    options = [(case.plan.options[place], views[place]) for place in places]
    permitted = [(option, view) for option, view in options if option.is_permitted and not _incapable(case, option)]
    if permitted:
        times = (_available_at(case, option, view) for option, view in permitted)
        decision.retry_at = min((at for at in times if at is not None), default=None)
        _refuse(decision, ErrorCode.ALL_PROVIDERS_UNAVAILABLE, "no permitted model is available now")
    elif decision.excluded and all(row.step == "candidates" for row in decision.excluded):
        _asks_too_much(decision)
    else:
        _refuse(decision, ErrorCode.NO_ELIGIBLE_MODEL, "policy and capabilities leave no model")


_RAMP_STEP_MS = 1_000
_LONGEST_BATCH_WAIT_MS = 30_000


def _available_at(case: _Case, option: Option, view: View) -> int | None:
    """When the endpoint may take a call; None where nobody can say: it is off, or was given up.

    Interactive requests do not wait in a queue that is full: for them it has no time.
    """
    now_ms = case.situation.now_ms
    if option.provider in case.situation.off_providers or option.name in case.tried:
        return None
    if case.is_batch and _leaves_no_place(case, option):
        return now_ms + _batch_wait_ms(case)
    if case.situation.in_flight.get(option.provider, 0) >= option.overfull_at:
        return None
    if view.breaker == "open":  # a rest that is over waits for health's next word
        return None if view.open_until is None else max(view.open_until, now_ms + _RAMP_STEP_MS)
    if view.breaker == "half_open":
        return now_ms + _RAMP_STEP_MS
    return max(now_ms + _RAMP_STEP_MS, view.limited_until or 0) if held_back(view, now_ms) else None


def _batch_wait_ms(case: _Case) -> int:
    """The longer it has waited, the longer it may: who waits for hours must not ask every second."""
    waited_ms = case.situation.now_ms - case.request.accepted_at
    return min(max(_RAMP_STEP_MS, waited_ms // 4), _LONGEST_BATCH_WAIT_MS)


def _asks_too_much(decision: Decision) -> None:
    reasons = sorted({row.reason for row in decision.excluded})
    is_too_long = any(reason.startswith(_TOO_SMALL) for reason in reasons)
    code = ErrorCode.CONTEXT_LENGTH_EXCEEDED if is_too_long else ErrorCode.INVALID_REQUEST_ERROR
    _refuse(decision, code, f"no model that was asked for can take this request: {'; '.join(reasons)}")


def _why(plan: Plan, left: int) -> str:
    if plan.route is None:
        return "the model that was asked for"
    if plan.is_ordered:
        return "first in the route's order that may answer"
    return f"best score of {left}" if left > 1 else "the only candidate left"
