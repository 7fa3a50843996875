"""Whether data may go to a model: the tenant's regions and terms, the provider's clearance, the rules' requirements.

Fails closed: a region that nobody named fits nothing that names regions, and a sensitivity that we do not know counts
as the highest.
"""

from pipeline.core.rules import Requires
from schemas.catalog import Catalog, Model, Provider, Sensitivity, Tenant

__all__ = ["UNKNOWN_REGION", "eligible", "known_sensitivity", "requirement_missed"]

UNKNOWN_REGION = "unknown"


def eligible(model: str, catalog: Catalog, tenant: Tenant, sensitivity: str, requires: Requires) -> str | None:
    """Why the model is refused; None: the data may go there."""
    offered = catalog.models.get(model)
    if offered is None:
        return "unknown model"
    provider = catalog.providers[offered.provider]
    return (
        _region_missed(provider, None if tenant.regions is None else frozenset(tenant.regions), "tenant")
        or _terms_missed(provider, frozenset(tenant.terms), "tenant")
        or _clearance_missed(provider, known_sensitivity(sensitivity))
        or requirement_missed(model, offered, provider, requires)
    )


def known_sensitivity(said: str) -> Sensitivity:
    """The level of that name; restricted for a name that is none."""
    return _LEVELS.get(said, Sensitivity.RESTRICTED)


_LEVELS = {level.value: level for level in Sensitivity}


def requirement_missed(name: str, model: Model, provider: Provider, requires: Requires) -> str | None:
    """Which requirement of the rules the model fails; None: it meets all."""
    if requires.models is not None and name not in requires.models:
        return "not among the models that the rules require"
    if requires.providers is not None and model.provider not in requires.providers:
        return f"provider {model.provider} is not one that the rules require"
    return _region_missed(provider, requires.regions, "rules") or _terms_missed(provider, requires.terms, "rules")


def _region_missed(provider: Provider, allowed: frozenset[str] | None, who: str) -> str | None:
    if allowed is None or (provider.region != UNKNOWN_REGION and provider.region in allowed):
        return None
    return f"region {provider.region} is outside the regions of the {who}"


def _terms_missed(provider: Provider, wanted: frozenset[str], who: str) -> str | None:
    missing = sorted(wanted - set(provider.terms))
    return f"terms of the {who} not promised: {', '.join(missing)}" if missing else None


def _clearance_missed(provider: Provider, sensitivity: Sensitivity) -> str | None:
    if provider.clearance >= sensitivity:
        return None
    return f"clearance {provider.clearance.value} is below {sensitivity.value}"
