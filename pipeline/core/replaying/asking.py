"""A request of the past as it is asked again: by nobody, for nobody.

It keeps what the answer depends on (body, model, user, tags, how sensitive it was) and the key, whose limits go on to hold.
It loses what belongs to its caller: conversation, idempotency key, ticket. It is batch work under a new id.
"""

from enum import StrEnum

from pipeline.core.pricing import cost_nano_usd, price_of
from schemas import headers as h
from schemas.catalog import Catalog, Model
from schemas.completion import Usage
from schemas.events import Enriched, Request
from schemas.events.request import MAX_TAGS
from schemas.ids import replayed_id

__all__ = ["DEADLINE_S", "Skip", "again", "consents", "worst_case_nano_usd"]

DEADLINE_S = 900.0
"""Batch work waits for places and for endpoints to come back; nobody waits for it."""

_MARGIN_TENTHS = 11
_MARGIN_TOKENS = 64


class Skip(StrEnum):
    """Why a request of the range is not put through; the names are those of the contract."""

    STORE_BODIES = "store_bodies"
    NO_ELIGIBLE_MODEL = "no_eligible_model"
    EXPIRED = "expired"
    BUDGET = "budget"


def consents(tenant: str, catalog: Catalog) -> bool:
    """Whether what the tenant said may be used again; who is in no catalogue any more cannot be asked."""
    known = catalog.tenants.get(tenant)
    return known is not None and known.store_bodies


def again(request: Enriched, body: bytes, run: str, model: str | None) -> Request:
    """The request to send; `model` replaces what was asked for."""
    return Request(
        request_id=replayed_id(run, request.tenant, request.request_id),
        tenant=request.tenant,
        body=body,
        model=model or request.model,
        operation=request.operation,
        user=request.user,
        key_id=request.key_id,
        stream=request.stream,
        deadline_s=DEADLINE_S,
        priority="batch",
        sensitivity=request.features.sensitivity,
        tags=_tagged(request.tags, run),
    )


def _tagged(tags: dict[str, str], run: str) -> dict[str, str]:
    """With the run among them, which takes the place of the last one by name where there are as many as there may be."""
    kept = sorted(tags.items())[: MAX_TAGS - 1]
    return {**dict(kept), h.RUN_ID: run}


def worst_case_nano_usd(request: Enriched, catalog: Catalog, target: str) -> int:
    """The most that it can cost: every attempt that its route allows, each with the dearest candidate, to the last token.

    All of the input may be written to the vendor's cache, and any tier may answer.
    0 for a target that nobody knows: it is refused. Source of the reserve per attempt: DESIGN.md section 9.
    """
    if target not in catalog.models and target not in catalog.routes:
        return 0
    route = catalog.routes.get(target) if target not in catalog.models else None
    limit = request.max_tokens or (route.default_max_tokens if route else None)
    models = [name for name in catalog.candidates_of(target) if catalog.models[name].operation == request.operation]
    dearest = max((_reserve(request, name, catalog, limit) for name in models), default=0)
    return dearest * (route.max_attempts if route else 3)


def _reserve(request: Enriched, name: str, catalog: Catalog, limit: int | None) -> int:
    model: Model = catalog.models[name]
    asked = -(-request.features.input_tokens * _MARGIN_TENTHS // 10) + _MARGIN_TOKENS
    said = 0 if request.operation == "embeddings" else min(limit or model.max_output_tokens, model.max_output_tokens)
    price = price_of(catalog, name)
    return max(
        cost_nano_usd(Usage(asked, said, 0, written, 0, False, written, tier), price)
        for tier in (None, *price.tiers)
        for written in (0, asked)
    )
