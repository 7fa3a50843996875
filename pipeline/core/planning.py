"""What a decision owes to the catalogue and the kind of request alone: worked out once for each kind, and kept.

A kind is what rules, capabilities and rights ask about: tenant, target, operation, streaming, needs, sensitivity and the
rules that match. What differs from request to request (tokens, load, breakers, what was tried) is left to `decide`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core.eligible import eligible, requirement_missed
from pipeline.core.pricing import price_of
from pipeline.core.rules import NOTHING_REQUIRED, Applied
from pipeline.core.splits import bounds_of, experiment_of, shares_of
from schemas.catalog import Catalog, Experiment, Flags, Model, Objective, Route, Tenant
from schemas.events import Enriched, Price

__all__ = ["Arm", "Option", "Plan", "plan_of"]


@dataclass(slots=True, frozen=True)
class Option:
    """One candidate. What is said of a step is why it fails there; None: it does not, as far as this is known here."""

    name: str
    endpoint: str
    provider: str
    context_tokens: int
    max_output_tokens: int
    quality: float
    bonus: float
    price: Price
    places: int
    overfull_at: float
    batch_places: float
    unfit: str | None
    lacks: str | None
    ineligible: str | None
    ruled_out: str | None

    @property
    def is_permitted(self) -> bool:
        """Whether policy lets the request go there."""
        return self.ineligible is None and self.ruled_out is None


@dataclass(slots=True, frozen=True)
class Arm:
    """A side of an experiment: its share of the traffic, and the places of its candidates among the options."""

    name: str | None
    share: float
    members: tuple[int, ...]


@dataclass(slots=True, frozen=True)
class Plan:
    """`options` are those of all arms. A route that nobody splits has one arm without a name."""

    options: tuple[Option, ...]
    arms: tuple[Arm, ...]
    bounds: tuple[float, ...]
    experiment: Experiment | None
    route: Route | None
    is_ordered: bool
    lambda_cost: float
    mu_latency: float
    regions: tuple[str, ...]
    terms: tuple[str, ...]


_OVERFULL = 1.5  # of a provider's places: the lanes queue up to it, beyond it waiting only ages requests
_KEPT = 4_096
_kept: dict[tuple[object, ...], Plan] = {}


def plan_of(catalog: Catalog, tenant: Tenant, request: Enriched, rules: Applied, *, target: str | None = None) -> Plan:
    """`rules` are those of this catalogue that match the request; a `target` takes the place of what it asks for."""
    features = request.features
    kind = (
        catalog.hash,
        request.tenant,
        request.model,
        target,
        request.operation,
        request.stream,
        tuple(features.needs),
        features.sensitivity,
        rules.numbers,
    )
    plan = _kept.get(kind)
    if plan is None:
        if len(_kept) >= _KEPT:
            _kept.clear()
        plan = _kept[kind] = _made(catalog, tenant, request, rules, target)
    return plan


def _made(catalog: Catalog, tenant: Tenant, request: Enriched, rules: Applied, target: str | None) -> Plan:
    asked = request.model if target is None else target
    route = catalog.routes.get(asked) if asked not in catalog.models else None
    experiment = experiment_of(catalog, asked) if route is not None and target is None else None
    lists = _candidates(catalog, asked, experiment)
    names = tuple(dict.fromkeys(name for _, _, listed in lists for name in listed))
    places = {name: place for place, name in enumerate(names)}
    weights = ((route and route.objective) or Objective()).overridden_by(tenant.objective)
    regions, terms = _limits(tenant, rules)
    return Plan(
        options=tuple(_option(catalog, tenant, request, rules, name, is_named=route is None) for name in names),
        arms=tuple(Arm(arm, share, tuple(places[name] for name in listed)) for arm, share, listed in lists),
        bounds=bounds_of([share for _, share, _ in lists]),
        experiment=experiment,
        route=route,
        is_ordered=route is not None and route.is_ordered,
        lambda_cost=weights.lambda_cost,
        mu_latency=weights.mu_latency,
        regions=regions,
        terms=terms,
    )


def _candidates(
    catalog: Catalog, target: str, experiment: Experiment | None
) -> list[tuple[str | None, float, tuple[str, ...]]]:
    """Arms with their shares and candidates."""
    if experiment is None:
        return [(None, 1.0, catalog.candidates_of(target))]
    return [
        (name, share, catalog.expand(experiment.arms[name].candidates)) for name, share in shares_of(experiment).items()
    ]


def _limits(tenant: Tenant, rules: Applied) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Regions and terms of the tenant and the rules together; regions with nothing in common are the tenant's."""
    own = None if tenant.regions is None else frozenset(tenant.regions)
    limits = [limit for limit in (own, rules.requires.regions) if limit is not None]
    regions = frozenset.intersection(*limits) if limits else frozenset[str]()
    return tuple(sorted(regions or own or ())), tuple(sorted({*tenant.terms, *rules.requires.terms}))


def _option(
    catalog: Catalog, tenant: Tenant, request: Enriched, rules: Applied, name: str, *, is_named: bool
) -> Option:
    model = catalog.models[name]
    provider = catalog.providers[model.provider]
    places = catalog.places(model.provider, "interactive")
    return Option(
        name=name,
        endpoint=catalog.endpoint_of(name),
        provider=model.provider,
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        quality=model.quality_prior,
        bonus=rules.bonus.get(name, 0.0),
        price=price_of(catalog, name),
        places=places,
        overfull_at=_OVERFULL * places,
        batch_places=provider.bulk_share * provider.max_in_flight,
        unfit=None if model.operation == request.operation else f"does not answer {request.operation}",
        lacks=_lacking(model, request, is_named=is_named),
        ineligible=eligible(name, catalog, tenant, request.features.sensitivity, NOTHING_REQUIRED),
        ruled_out=_ruled_out(catalog, rules, name),
    )


_UNCHECKED = frozenset({"json_mode"})  # adapters emulate it well
_EMULATED = frozenset({"json_schema"})  # by words in the prompt: for who insists on that model
_INPUTS = {"image": "vision", "audio": "audio", "pdf": "file"}


def _lacking(model: Model, request: Enriched, *, is_named: bool) -> str | None:
    needs: Iterable[str] = request.features.needs
    wanted = {*needs, "streaming"} if request.stream else {*needs}
    lacking = sorted(wanted - _abilities(model) - (_EMULATED if is_named else frozenset()))
    return f"lacks {', '.join(lacking)}" if lacking else None


def _abilities(model: Model) -> frozenset[str]:
    flags = model.flags
    switches: Mapping[str, bool] = {
        "tools": flags.tools,
        "json_schema": flags.json_schema,
        "streaming": flags.streaming,
        "n": flags.n_max > 1 or _drops(flags, "n"),
        "logprobs": (flags.logprobs and flags.sampling != "no") or _drops(flags, "logprobs"),
    }
    able = {name for name, is_on in switches.items() if is_on}
    inputs: Sequence[str] = flags.inputs
    return _UNCHECKED | able | {_INPUTS[kind] for kind in inputs if kind in _INPUTS}


def _drops(flags: Flags, parameter: str) -> bool:
    """What the model does not take of this is left out, so nothing is lacking."""
    return flags.policy.get(parameter, "drop") == "drop"


def _ruled_out(catalog: Catalog, rules: Applied, name: str) -> str | None:
    if name in rules.exclude:
        return "excluded by a rule"
    if rules.pins - {name}:
        return f"rules pin {', '.join(sorted(rules.pins))}"
    model = catalog.models[name]
    return requirement_missed(name, model, catalog.providers[model.provider], rules.requires)
