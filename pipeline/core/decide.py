"""Decide: which model answers this attempt (DESIGN.md section 6). Pure, and equal for equal arguments.

A candidate goes through these steps and is excluded at the first that fails:

    1. candidates  it can: operation, context, tools, inputs, JSON schema, streaming
    2. eligible    its data may go there: tenant's regions and terms, clearance
    3. available   its provider is on and not overfull, its endpoint's breaker lets calls through
    4. tried       this request has not given it up already
    5. rules       require, exclude, pin

What is left is ranked: in the route's own order, else by

    score = quality prior + preferences - lambda x US cents of this call - mu x seconds to the first token

with ties by name; endpoints that hesitate come after those that do not. Nothing left is a decision too: if no candidate can
do what is asked, the request is at fault (`context_length_exceeded`, `invalid_request_error`); `no_eligible_model` if policy
removed what can; `all_providers_unavailable` if one of them might answer at another time (`retry_at` says when, if anybody
knows).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.core.breaker import held_back
from pipeline.core.eligible import eligible, known_sensitivity, requirement_missed
from pipeline.core.pricing import cost_nano_usd, price_of
from pipeline.core.rules import NOTHING_REQUIRED, Applied, Facts, applied
from schemas.catalog import Catalog, Flags, Model, Objective, Route, Tenant
from schemas.completion import Usage
from schemas.errors import ErrorCode
from schemas.events import Decision, Enriched, Excluded, Proof, Ranked, View
from schemas.ids import decision_seed

__all__ = ["PROFILE_VERSION", "Situation", "decide"]

PROFILE_VERSION = "static"

_EXPECTED_OUTPUT_TOKENS = 512  # of an answer whose length nobody has learnt yet; the caller's limit cuts it
_EXPECTED_FIRST_TOKEN_S = 1.0  # of every model, until latencies are learnt
_OVERFULL = 1.5  # of max_in_flight: the lanes queue up to it, beyond it waiting only ages requests
_NANO_USD_PER_CENT = 10_000_000


@dataclass(slots=True, frozen=True)
class Situation:
    """What is known of the world: calls in flight and switched-off ones by provider, endpoints by name, and the time.

    `bulk_in_flight` are those of `in_flight` that are batch work.
    """

    in_flight: Mapping[str, int]
    off_providers: frozenset[str]
    now_ms: int
    views: Mapping[str, View] = field(default_factory=dict)
    bulk_in_flight: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class _Case:
    """One decision's arguments, and what follows from them at once."""

    request: Enriched
    catalog: Catalog
    situation: Situation
    tenant: Tenant
    asked: str
    route: Route | None
    rules: Applied
    tried: frozenset[str]
    larger_than_tokens: int | None


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
            word, and everything that guards data holds; only the list of what a tenant may ask for does not.
    """
    decision = _blank(request, catalog, situation, attempt=attempt, cause=cause)
    tenant = catalog.tenant_of(request.tenant)
    if tenant is None:
        return _refuse(decision, ErrorCode.UNKNOWN_TENANT, "the tenant is not in the catalogue")
    asked = request.model if target is None else target
    if asked not in catalog.models and asked not in catalog.routes:
        return _refuse(decision, ErrorCode.MODEL_NOT_FOUND, "no model or route has the name that was asked for")
    if target is None and asked not in catalog.targets(request.tenant):
        return _refuse(decision, ErrorCode.MODEL_NOT_ALLOWED, "the tenant may not ask for this model or route")
    case = _Case(
        request=request,
        catalog=catalog,
        situation=situation,
        tenant=tenant,
        asked=asked,
        route=catalog.routes.get(asked) if asked not in catalog.models else None,
        rules=applied(catalog, _facts(request, situation.now_ms)),
        tried=frozenset(tried),
        larger_than_tokens=larger_than_tokens,
    )
    return _choose(decision, case)


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
        domain=min(features.domains, key=lambda name: (-features.domains[name], name), default=""),
        language=features.language,
        operation=request.operation,
        complexity=features.complexity,
        sensitivity=known_sensitivity(features.sensitivity),
        input_tokens=features.input_tokens,
        now_ms=now_ms,
    )


def _choose(decision: Decision, case: _Case) -> Decision:
    decision.proof, left = _proof(case), []
    candidates = case.catalog.candidates_of(case.asked)
    for name in candidates:
        decision.view[case.catalog.endpoint_of(name)] = _view(case, name)
        excluded = _first_failing(case, name)
        if excluded is None:
            left.append(name)
        else:
            decision.excluded.append(excluded)
    if not left:
        return _nothing_left(decision, case, candidates)
    decision.ranked = _ranked(case, left)
    decision.chosen = decision.ranked[0].model
    decision.reason = _why(case, len(left))
    return decision


def _view(case: _Case, name: str) -> View:
    known = case.situation.views.get(case.catalog.endpoint_of(name))
    return known or View(in_flight=case.situation.in_flight.get(case.catalog.models[name].provider, 0))


def _proof(case: _Case) -> Proof:
    """Limits of the tenant and the rules together; if they have nothing in common, the tenant's (nothing is sent)."""
    own = None if case.tenant.regions is None else frozenset(case.tenant.regions)
    limits = [limit for limit in (own, case.rules.requires.regions) if limit is not None]
    regions = frozenset.intersection(*limits) if limits else frozenset[str]()
    return Proof(
        sensitivity=case.request.features.sensitivity,
        regions=sorted(regions or own or ()),
        terms=sorted({*case.tenant.terms, *case.rules.requires.terms}),
    )


def _first_failing(case: _Case, name: str) -> Excluded | None:
    for step, check in _STEPS:
        if reason := check(case, name):
            return Excluded(model=name, step=step, reason=reason)
    return None


def _incapable(case: _Case, name: str) -> str | None:
    model, features = case.catalog.models[name], case.request.features
    if model.operation != case.request.operation:
        return f"does not answer {case.request.operation}"
    if model.context_tokens < features.input_tokens + (case.request.max_tokens or 0):
        return f"{_TOO_SMALL} of {model.context_tokens} tokens is too small"
    if case.larger_than_tokens is not None and model.context_tokens <= case.larger_than_tokens:
        return "context is not larger than the one that was too small"
    needs = {*features.needs, "streaming"} if case.request.stream else {*features.needs}
    lacking = sorted(needs - _abilities(model) - (_EMULATED if case.route is None else frozenset()))
    return f"lacks {', '.join(lacking)}" if lacking else None


_TOO_SMALL = "context"
_UNCHECKED = frozenset({"json_mode"})  # adapters emulate it well
_EMULATED = frozenset({"json_schema"})  # by words in the prompt: for who insists on that model
_INPUTS = {"image": "vision", "audio": "audio", "pdf": "file"}


def _abilities(model: Model) -> frozenset[str]:
    flags = model.flags
    switches = {
        "tools": flags.tools,
        "json_schema": flags.json_schema,
        "streaming": flags.streaming,
        "n": flags.n_max > 1 or _drops(flags, "n"),
        "logprobs": (flags.logprobs and flags.sampling != "no") or _drops(flags, "logprobs"),
    }
    able = {name for name, is_on in switches.items() if is_on}
    return _UNCHECKED | able | {_INPUTS[kind] for kind in flags.inputs if kind in _INPUTS}


def _drops(flags: Flags, parameter: str) -> bool:
    """What the model does not take of this is left out, so nothing is lacking."""
    return flags.policy.get(parameter, "drop") == "drop"


def _ineligible(case: _Case, name: str) -> str | None:
    return eligible(name, case.catalog, case.tenant, case.request.features.sensitivity, NOTHING_REQUIRED)


def _unavailable(case: _Case, name: str) -> str | None:
    provider = case.catalog.models[name].provider
    if provider in case.situation.off_providers:
        return f"provider {provider} is off"
    if _is_overfull(case, provider):
        return f"provider {provider} has too many calls in flight"
    if _is_batch(case) and _leaves_no_place(case, provider):
        return f"provider {provider} has no place left for batch work"
    return _held_back(_view(case, name), case.situation.now_ms)


def _is_overfull(case: _Case, provider: str) -> bool:
    return case.situation.in_flight.get(provider, 0) >= _OVERFULL * case.catalog.providers[provider].max_in_flight


def _is_batch(case: _Case) -> bool:
    return case.request.priority == "batch"


def _leaves_no_place(case: _Case, provider: str) -> bool:
    """Batch work takes what interactive calls leave free, never queues in their lane, and has a share at most."""
    row, situation = case.catalog.providers[provider], case.situation
    is_full = situation.in_flight.get(provider, 0) >= row.max_in_flight
    return is_full or situation.bulk_in_flight.get(provider, 0) >= row.bulk_share * row.max_in_flight


_HELD_BACK = {
    "open": "its breaker is open",
    "half_open": "its breaker is half open",
    "limited": "its provider takes no calls for now",
    "ramp": "its breaker lets few calls at a time through",
}


def _held_back(view: View, now_ms: int) -> str | None:
    why = held_back(view, now_ms)
    return _HELD_BACK[why] if why else None


def _was_tried(case: _Case, name: str) -> str | None:
    return "this request has tried it" if name in case.tried else None


def _ruled_out(case: _Case, name: str) -> str | None:
    if name in case.rules.exclude:
        return "excluded by a rule"
    if case.rules.pins - {name}:
        return f"rules pin {', '.join(sorted(case.rules.pins))}"
    model = case.catalog.models[name]
    return requirement_missed(name, model, case.catalog.providers[model.provider], case.rules.requires)


_STEPS = (
    ("candidates", _incapable),
    ("eligible", _ineligible),
    ("available", _unavailable),
    ("tried", _was_tried),
    ("rules", _ruled_out),
)
_POLICY = (_incapable, _ineligible, _ruled_out)


def _nothing_left(decision: Decision, case: _Case, candidates: Sequence[str]) -> Decision:
    permitted = [name for name in candidates if not any(check(case, name) for check in _POLICY)]
    if permitted:
        decision.retry_at = min((at for name in permitted if (at := _available_at(case, name))), default=None)
        return _refuse(decision, ErrorCode.ALL_PROVIDERS_UNAVAILABLE, "no permitted model is available now")
    if all(row.step == "candidates" for row in decision.excluded) and decision.excluded:
        return _asks_too_much(decision)
    return _refuse(decision, ErrorCode.NO_ELIGIBLE_MODEL, "policy and capabilities leave no model")


_RAMP_STEP_MS = 1_000
_LONGEST_BATCH_WAIT_MS = 30_000


def _available_at(case: _Case, name: str) -> int | None:
    """When the endpoint may take a call; None where nobody can say: it is off, or was given up.

    Interactive requests do not wait in a queue that is full: for them it has no time.
    """
    view, now_ms, provider = _view(case, name), case.situation.now_ms, case.catalog.models[name].provider
    if provider in case.situation.off_providers or name in case.tried:
        return None
    if _is_batch(case) and _leaves_no_place(case, provider):
        return now_ms + _batch_wait_ms(case)
    if _is_overfull(case, provider):
        return None
    if view.breaker == "open":  # a rest that is over waits for health's next word
        return None if view.open_until is None else max(view.open_until, now_ms + _RAMP_STEP_MS)
    if view.breaker == "half_open":
        return now_ms + _RAMP_STEP_MS
    return max(now_ms + _RAMP_STEP_MS, view.limited_until or 0) if _held_back(view, now_ms) else None


def _batch_wait_ms(case: _Case) -> int:
    """The longer it has waited, the longer it may: who waits for hours must not ask every second."""
    waited_ms = case.situation.now_ms - case.request.accepted_at
    return min(max(_RAMP_STEP_MS, waited_ms // 4), _LONGEST_BATCH_WAIT_MS)


def _asks_too_much(decision: Decision) -> Decision:
    reasons = sorted({row.reason for row in decision.excluded})
    is_too_long = any(reason.startswith(_TOO_SMALL) for reason in reasons)
    code = ErrorCode.CONTEXT_LENGTH_EXCEEDED if is_too_long else ErrorCode.INVALID_REQUEST_ERROR
    return _refuse(decision, code, f"no model that was asked for can take this request: {'; '.join(reasons)}")


def _ranked(case: _Case, names: Sequence[str]) -> list[Ranked]:
    route = case.route
    objective = (route and route.objective) or Objective()
    weights = objective.overridden_by(case.tenant.objective)
    ranked = [_scored(case, name, weights) for name in names]
    if route is None or not route.is_ordered:
        ranked.sort(key=lambda each: (-each.score, each.model))
    ranked.sort(key=lambda each: _view(case, each.model).hesitant)
    ranked[0].propensity = 1.0
    return ranked


def _scored(case: _Case, name: str, weights: Objective) -> Ranked:
    cents = _expected_cents(case, name)
    quality = case.catalog.models[name].quality_prior
    paid = weights.lambda_cost * cents + weights.mu_latency * _EXPECTED_FIRST_TOKEN_S
    return Ranked(
        model=name,
        score=quality + case.rules.bonus.get(name, 0.0) - paid,
        quality=quality,
        cents=cents,
        latency_s=_EXPECTED_FIRST_TOKEN_S,
        propensity=0.0,
    )


def _expected_cents(case: _Case, name: str) -> float:
    limits = [_EXPECTED_OUTPUT_TOKENS, case.catalog.models[name].max_output_tokens]
    if case.request.max_tokens is not None:
        limits.append(case.request.max_tokens)
    usage = Usage(input_tokens=case.request.features.input_tokens, output_tokens=min(limits))
    return cost_nano_usd(usage, price_of(case.catalog, name)) / _NANO_USD_PER_CENT


def _why(case: _Case, left: int) -> str:
    if case.route is None:
        return "the model that was asked for"
    if case.route.is_ordered:
        return "first in the route's order that may answer"
    return f"best score of {left}" if left > 1 else "the only candidate left"
