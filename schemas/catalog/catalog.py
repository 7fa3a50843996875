"""The catalogue as a whole, and the look-ups that need more than one of its parts."""

import hashlib
import json
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from schemas.catalog.families import known_facts, merged_flags
from schemas.catalog.guards import Alert, Breaker, Retry
from schemas.catalog.list_prices import list_price
from schemas.catalog.offers import Model, Provider
from schemas.catalog.policies import Experiment, Exploration, Route, Rule, Shadow
from schemas.catalog.tenants import Tenant
from schemas.catalog.words import ModelName, Part, ProviderName, TenantName
from schemas.roles import Lane

PLATFORM_TENANT = "_platform"
EVERYTHING = "*"


def _version(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be 1")
    return value


def _not_ours(name: str) -> str:
    if name == PLATFORM_TENANT:
        raise ValueError(f"{PLATFORM_TENANT} is the platform's own tenant")
    return name


def _completed(name: object, model: object, *, providers: object, today: date | None) -> object:
    """The model as written, completed by what is known of its family and by its list price."""
    if not isinstance(model, dict) or not isinstance(name, str):
        return model
    upstream = model.get("upstream") or name
    if not isinstance(upstream, str):
        return model
    facts = known_facts(upstream)
    known, said = facts.pop("flags"), model.get("flags", {})
    flags = merged_flags(known, said) if isinstance(said, dict) else said
    whole = {**_fitting(facts, model), **model, "upstream": upstream, "flags": flags}
    if "price" not in model and (price := list_price(upstream, _adapter(providers, model), on=today)):
        whole["price"] = price
    return whole


def _adapter(providers: object, model: dict[Any, Any]) -> str:
    """Of the model's provider; empty for one that the catalogue does not have."""
    name = model.get("provider")
    provider = providers.get(name) if isinstance(providers, dict) and isinstance(name, str) else None
    return str(provider.get("adapter", "")) if isinstance(provider, dict) else ""


def _fitting(facts: dict[str, Any], model: dict[Any, Any]) -> dict[str, Any]:
    """A family's longest answer gives way to a smaller context that the catalogue says itself."""
    context, answer = model.get("context_tokens"), facts.get("max_output_tokens")
    if isinstance(context, int) and isinstance(answer, int):
        return {**facts, "max_output_tokens": min(answer, context)}
    return facts


class Catalog(Part):
    """What is offered, to whom, under which rules. Read from YAML by `pipeline.catalog_file`."""

    version: Annotated[Literal[1], BeforeValidator(_version)]
    """Of this format."""
    providers: Annotated[dict[ProviderName, Provider], Field(min_length=1)]
    """Who answers calls."""
    models: Annotated[dict[ModelName, Model], Field(min_length=1)]
    """What is offered, by the name that callers use."""
    routes: dict[ModelName, Route] = Field({})
    """What callers may ask for besides a model's name. Requests that name nothing ask for `auto`."""
    rules: tuple[Rule, ...] = ()
    """All that match apply."""
    tenants: Annotated[dict[Annotated[TenantName, AfterValidator(_not_ours)], Tenant], Field(min_length=1)]
    """Who may ask."""
    exploration: Exploration = Exploration()
    """How much is tried."""
    experiments: tuple[Experiment, ...] = ()
    """Live splits, one a route."""
    shadows: tuple[Shadow, ...] = ()
    """Mirrored traffic."""
    breaker: Breaker = Breaker()
    """When endpoints are taken out."""
    retry: Retry = Retry()
    """How trying again later works."""
    alerts: tuple[Alert, ...] = ()
    """What people want to hear of."""

    @model_validator(mode="before")
    @classmethod
    def _complete_models(cls, raw: Any, info: ValidationInfo) -> Any:
        """List prices are those of the context's `today`, else the newest."""
        models = raw.get("models") if isinstance(raw, dict) else None
        if not isinstance(models, dict):
            return raw
        facts = {"providers": raw.get("providers"), "today": (info.context or {}).get("today")}
        return {**raw, "models": {name: _completed(name, model, **facts) for name, model in models.items()}}

    @cached_property
    def hash(self) -> str:
        """12 hex digits over the whole content with defaults and family facts; not over layout, comments or secrets."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:12]

    def canonical(self) -> str:
        """The content as one line of JSON with sorted keys; `Catalog.model_validate_json` reads it back."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def document(self) -> bytes:
        """The content as JSON in the file's order; `Catalog.model_validate_json` reads it back, with the same hash."""
        return self.model_dump_json().encode()

    @classmethod
    def of_document(cls, document: bytes, known_as: str) -> "Catalog":
        """A catalogue of the log, under the hash that it had: later releases know more defaults, which would change it.

        Raises:
            ValueError: It is none that this release can read.
        """
        catalog = cls.model_validate_json(document)
        catalog.__dict__["hash"] = known_as
        return catalog

    def places(self, provider: str, lane: Lane) -> int:
        """For calls that are under way at a provider at a time; both lanes together have `max_in_flight`.

        The bulk lane has its share, one place at least, where an experiment may call; the last place is never its own.
        """
        row = self.providers[provider]
        share = max(1, int(row.bulk_share * row.max_in_flight)) if provider in self._experimented else 0
        bulk = min(share, row.max_in_flight - 1)
        return bulk if lane == "bulk" else row.max_in_flight - bulk

    @cached_property
    def _experimented(self) -> frozenset[str]:
        """Providers of models that experiments mirror to, or that judge them."""
        tried = {name for shadow in self.shadows for name in self.candidates_of(shadow.model)}
        judges = {shadow.judge_model for shadow in self.shadows if shadow.judge_model is not None}
        return frozenset(self.models[name].provider for name in tried | judges)

    def tenant_of(self, name: str) -> Tenant | None:
        return self.tenants.get(name)

    def targets(self, tenant: str) -> frozenset[str]:
        """Names of the routes and models that the tenant may ask for; none for a tenant that does not exist."""
        known = self.tenants.get(tenant)
        if known is None:
            return frozenset()
        return frozenset(name for name in (*self.routes, *self.models) if self.may_ask(known, name))

    def may_ask(self, tenant: Tenant, target: str) -> bool:
        """Whether the tenant may ask for a route or model by this name."""
        return target in tenant.routes or EVERYTHING in tenant.routes

    def candidates_of(self, target: str) -> tuple[str, ...]:
        """The models that a route or model's name stands for, in its order; KeyError for neither.

        Names only: regions, terms, clearance and capabilities are decided elsewhere.
        """
        if target in self.models:
            return (target,)
        route = self.routes[target]
        return route.order or self.expand(route.candidates)

    def expand(self, candidates: tuple[str, ...]) -> tuple[str, ...]:
        """`*` stands for all chat models, by name: nothing that is decided hangs on the layout of a file. Each model once."""
        chat = sorted(name for name, model in self.models.items() if model.operation == "chat")
        named = [name for entry in candidates for name in (chat if entry == EVERYTHING else [entry])]
        return tuple(dict.fromkeys(named))

    def endpoint_of(self, model: str) -> str:
        """provider/model/region: what a breaker guards. KeyError for an unknown model."""
        provider = self.models[model].provider
        return f"{provider}/{model}/{self.providers[provider].region}"
