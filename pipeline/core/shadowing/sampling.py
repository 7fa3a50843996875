"""Which requests an experiment looks at. The share is decided by tenant and request id alone, so equal shares are equal samples."""

from pipeline.core.rules import likely_domain
from schemas.catalog.policies import ShadowFilter
from schemas.events import Enriched
from schemas.ids import sample_point

__all__ = ["is_sampled", "matches"]


def is_sampled(wanted: ShadowFilter, tenant: str, request_id: str) -> bool:
    """What headers tell: whose it is, and whether it lies in the share."""
    if wanted.tenant is not None and tenant not in wanted.tenant:
        return False
    return wanted.share >= 1 or sample_point(tenant, request_id) < wanted.share


def matches(wanted: ShadowFilter, request: Enriched) -> bool:
    """Everything but the share. Only what callers asked for: replays, shadows and probes never."""
    features = request.features
    likely = likely_domain(features.domains)
    return (
        request.role == "primary"
        and (wanted.tenant is None or request.tenant in wanted.tenant)
        and (wanted.route is None or request.model in wanted.route)
        and all(request.tags.get(name) == value for name, value in (wanted.tags or {}).items())
        and (wanted.domain is None or likely in wanted.domain)
        and (wanted.complexity_below is None or features.complexity < wanted.complexity_below)
        and (wanted.complexity_at_least is None or features.complexity >= wanted.complexity_at_least)
    )
