"""Requests, outcomes and events of experiments, as tests need them."""

from typing import Any

import orjson

from pipeline.core.decide import Situation
from schemas.catalog import Catalog
from schemas.catalog.policies import Shadow
from schemas.completion import Usage
from schemas.events import Attempt, AttemptError, Enriched, Features, Price, Response, RouteInfo, Timings

NOW = 1_800_000_000_000
PRICE = Price("p", 1_000_000_000, 1_000_000_000, 2_000_000_000)


def catalog(**tenant: Any) -> Catalog:
    price = {"input_per_mtok_usd": 1.0, "output_per_mtok_usd": 2.0}
    provider = {"adapter": "openai", "base_url": "https://example.com/v1", "region": "us"}
    return Catalog.model_validate(
        {
            "version": 1,
            "providers": {"near": provider, "far": {**provider, "region": "eu"}},
            "models": {
                "old": {"provider": "near", "context_tokens": 10_000, "price": price},
                "new": {"provider": "far", "context_tokens": 10_000, "price": price, "flags": {"tools": False}},
                "judge": {"provider": "near", "context_tokens": 200_000, "price": price},
            },
            "routes": {"auto": {"order": ["old"]}, "either": {"order": ["new", "old"]}},
            "shadows": [{"name": "try-new", "model": "either", "judge": "judge", "budget": {"usd": 1.0}}],
            "tenants": {"acme": {"store_bodies": True, "routes": ["auto"], **tenant}, "quiet": {}},
        }
    )


def row(**said: Any) -> Shadow:
    return Shadow.model_validate({"name": "try-new", "model": "new", "budget": {"usd": 1.0}, **said})


def request(**said: Any) -> Enriched:
    features = Features(
        input_tokens=said.pop("input_tokens", 100), language="en", task="chat", complexity=said.pop("complexity", 0.2),
        band="low", sensitivity="internal", needs=said.pop("needs", []), domains=said.pop("domains", {}),
    )  # fmt: skip
    base: dict[str, Any] = {
        "request_id": "r1", "tenant": "acme", "partition_key": "acme", "model": "auto", "operation": "chat", "stream": False,
        "priority": "interactive", "accepted_at": NOW, "deadline_at": NOW + 60_000, "max_tokens": 100,
        "body": b'{"messages":[{"role":"user","content":"hi"}]}',
    }  # fmt: skip
    return Enriched(features=features, **{**base, **said})


def situation(off: tuple[str, ...] = (), **views: Any) -> Situation:
    return Situation({}, frozenset(off), NOW, views)


def completion(text: str, *, calls: list[dict[str, Any]] | None = None, finish: str = "stop", **more: Any) -> bytes:
    message = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {}), **more}
    return orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}]})


def response(text: str = "yes", *, request_id: str = "r1", attempts: int = 1, **said: Any) -> Response:
    base: dict[str, Any] = {
        "tenant": "acme", "operation": "chat", "outcome": "ok", "accepted_at": NOW, "finished_at": NOW + 900,
        "route": RouteInfo(), "timings_ms": Timings(provider=800, total=900), "body": completion(text), "model": "old",
        "usage": Usage(10, 5), "cost_nano_usd": 20_000,
    }  # fmt: skip
    return Response(request_id=request_id, attempts=attempts, **{**base, **said})


def event(leg: Any, phase: str, *, worker: str = "w1", code: str | None = None, **said: Any) -> Attempt:
    """Of the attempt that the leg is at; finished: ok unless there is a code."""
    if phase == "finished" and code is None:
        said = {"result": "ok", "usage": Usage(10, 5), "duration_ms": 700, **said}
    elif phase == "finished":
        said = {"result": "error", "error": AttemptError("provider_fault", code=code), **said}
    return Attempt(
        request_id=leg.request_id, tenant=leg.tenant, attempt=leg.number, attempt_id=leg.attempt_id, phase=phase,
        role=leg.role, provider="far", model=leg.model, region="eu", worker=worker, started_at=NOW, price=PRICE, **said,
    )  # fmt: skip
