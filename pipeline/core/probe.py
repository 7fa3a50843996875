"""The synthetic call that asks an endpoint whether it is well again: small, through the real driver, booked to the platform."""

from typing import Any

import orjson

from pipeline.core.breaker import Probe
from pipeline.core.pricing import price_of
from pipeline.core.records import flags_of
from schemas.catalog import PLATFORM_TENANT, Catalog
from schemas.events import Call, RouteInfo

__all__ = ["probe_call"]

_MAX_TOKENS = 16
_PATIENCE_MS = 10_000
_BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Say ok."}]},
    "embeddings": {"input": "ok"},
}


def probe_call(probe: Probe, name: str, catalog: Catalog, now_ms: int) -> Call:
    """An order for the model `name`, which stands at the endpoint."""
    model = catalog.models[name]
    return Call(
        request_id=probe.request_id,
        tenant=PLATFORM_TENANT,
        partition_key=PLATFORM_TENANT,
        attempt=1,
        attempt_id=probe.attempt_id,
        role="probe",
        provider=model.provider,
        model=name,
        upstream=model.upstream or name,
        region=catalog.providers[model.provider].region,
        operation=model.operation,
        stream=False,
        deadline_at=now_ms + _PATIENCE_MS,
        accepted_at=now_ms,
        routed_at=now_ms,
        price=price_of(catalog, name),
        route=RouteInfo(policy=PLATFORM_TENANT, reason=f"probe of {probe.endpoint}"),
        body=orjson.dumps(_BODIES[model.operation]),
        max_tokens=_MAX_TOKENS,
        flags=flags_of(catalog, name),
        request_role="probe",
    )
