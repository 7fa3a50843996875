"""A past on real topics: requests of made-up traffic, what was decided about them, what became of them.

Decisions are made by `decide`, under two catalogues in turn, while breakers are open, providers off or overfull: so a replay
has something to do. The same seed makes the same past.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from connectors.kafka.partition import partition_of
from pipeline.core.decide import Situation, decide
from schemas import headers as h
from schemas import topics as t
from schemas.catalog import Catalog
from schemas.codec import encode
from schemas.events import (
    CatalogInForce,
    Decision,
    Enriched,
    Features,
    Outcome,
    Response,
    RouteInfo,
    Timings,
    View,
)

__all__ = ["Past", "catalog_of", "write_past"]

_TENANTS: Final = 8
_STEP_MS: Final = 20
_DAY_MS: Final = 86_400_000
_AT_A_TIME: Final = 2_000
_BODY: Final = b'{"messages":[{"role":"user","content":"' + b"How long does the mill turn? " * 12 + b'"}]}'

_MODELS: Final = {  # provider, quality, dollars per million tokens in and out
    "large": ("near", 0.9, 3.0, 12.0),
    "middle": ("near", 0.8, 0.4, 1.6),
    "small": ("far", 0.6, 0.1, 0.4),
    "own": ("home", 0.4, 0.0, 0.0),
}


def catalog_of(*, lambda_cost: float = 0.1, tenants: int = _TENANTS) -> Catalog:
    """Four chat models of three providers, two rules, a route that is split."""
    providers = {
        name: {"adapter": "openai", "base_url": f"https://{name}.example/v1", "region": region, "max_in_flight": 50}
        for name, region in (("near", "eu"), ("far", "us"), ("home", "local"))
    }
    models = {
        name: {
            "provider": provider, "quality_prior": quality, "context_tokens": 32_000,
            "price": {"input_per_mtok_usd": price_in, "output_per_mtok_usd": price_out},
        }
        for name, (provider, quality, price_in, price_out) in _MODELS.items()
    }  # fmt: skip
    document = {
        "version": 1,
        "providers": {**providers, "home": {**providers["home"], "clearance": "restricted"}},
        "models": models,
        "routes": {
            "auto": {"candidates": ["*"], "objective": {"lambda_cost": lambda_cost}},
            "split": {"candidates": ["*"]},
            "steady": {"order": ["middle", "small", "own"]},
        },
        "rules": [
            {"when": {"domain": "law"}, "prefer": ["large"]},
            {"when": {"complexity_below": 0.2}, "exclude": ["large"]},
        ],
        "experiments": [
            {"name": "large-or-middle", "route": "split", "arms": {
                "a": {"candidates": ["large", "small"], "weight": 3}, "b": {"candidates": ["middle", "small"]},
            }},
        ],
        "tenants": {f"tenant-{number}": {} for number in range(tenants)},
    }  # fmt: skip
    return Catalog.model_validate(document)


@dataclass(slots=True, frozen=True)
class Past:
    """What was written; the range holds all of it. `targets`: what each request asked for, by its id."""

    from_ms: int
    to_ms: int
    decisions: tuple[Decision, ...]
    targets: dict[str, str]


async def write_past(bootstrap: str, prefix: str, decisions: int, *, partitions: int, now_ms: int) -> Past:
    """So many decisions, up to `now_ms`; the topics are there."""
    draw = random.Random(7)
    policies = (catalog_of(), catalog_of(lambda_cost=0.3))
    from_ms = now_ms - decisions * _STEP_MS
    made: list[Decision] = []
    targets: dict[str, str] = {}
    async with _writer(bootstrap, prefix, partitions) as write:
        for policy in policies:
            event = CatalogInForce(policy.hash, policy.document(), from_ms)
            await write(t.CATALOGS, encode(event), event.hash, from_ms, h.build(schema="catalog.v1"))
        while len(made) < decisions:
            policy = policies[len(made) * 6 // decisions % 2]  # reloads, back and forth
            request = _request(draw, len(made), from_ms + len(made) * _STEP_MS)
            logged = list(_decided(draw, request, policy))[: decisions - len(made)]
            await _write_request(write, draw, request, logged)
            made += logged
            targets[request.request_id] = request.model
    return Past(from_ms, now_ms, tuple(made), targets)


def _request(draw: random.Random, number: int, at_ms: int) -> Enriched:
    features = Features(
        input_tokens=draw.randint(20, 3_000),
        language="en",
        task="chat",
        complexity=draw.random(),
        band=draw.choice(("low", "middle", "high")),
        sensitivity=draw.choices(("internal", "restricted"), (9, 1))[0],
        domains={"law": 0.6, "code": 0.4} if draw.random() < 0.3 else {"code": 1.0},
        classifier_version="plain-1",
    )
    tenant = f"tenant-{number % _TENANTS}"
    return Enriched(
        request_id=f"past-{number:08d}",
        tenant=tenant,
        partition_key=tenant,
        model=draw.choices(("auto", "split", "steady", "middle"), (5, 2, 2, 1))[0],
        operation="chat",
        stream=draw.random() < 0.5,
        priority=draw.choices(("interactive", "batch"), (9, 1))[0],
        accepted_at=at_ms,
        deadline_at=at_ms + _DAY_MS,
        features=features,
        body=_BODY,
        max_tokens=draw.choice((None, 200, 1_000)),
        user=f"u-{draw.randint(0, 999)}",
    )


def _decided(draw: random.Random, request: Enriched, policy: Catalog) -> Iterator[Decision]:
    """The first attempt and, now and then, the next ones; each sees another world."""
    tried: list[str] = []
    for attempt in range(1, 4):
        situation = _situation(draw, policy, request.accepted_at + attempt * 3)
        cause = "first" if attempt == 1 else "failover"
        decision = decide(request, policy, situation, attempt=attempt, tried=tried, cause=cause)
        yield decision
        if not decision.chosen or draw.random() < 0.85:
            return
        tried.append(decision.chosen)


def _situation(draw: random.Random, policy: Catalog, now_ms: int) -> Situation:
    in_flight = {name: draw.choice((0, 3, 12, 40, 80)) for name in policy.providers}
    views = {}
    for endpoint in map(policy.endpoint_of, policy.models):
        breaker = draw.choices(("closed", "open", "ramp"), (18, 1, 1))[0]
        views[endpoint] = View(
            in_flight=draw.randint(0, 9),
            breaker=breaker,
            open_until=now_ms + 4_000 if breaker == "open" else None,
            allowed_in_flight=4 if breaker == "ramp" else None,
            hesitant=draw.random() < 0.05,
        )
    off = frozenset(["far"]) if draw.random() < 0.02 else frozenset[str]()
    return Situation(in_flight, off, now_ms, views, {"near": in_flight["near"] // 2})


async def _write_request(write: Any, draw: random.Random, request: Enriched, logged: list[Decision]) -> None:
    common = {"request_id": request.request_id, "tenant": request.tenant}
    key, at_ms = request.partition_key, request.accepted_at
    await write(t.ENRICHED, encode(request), key, at_ms, h.build(**common, schema="enriched.v1"))
    for decision in logged:
        await write(t.DECISIONS, encode(decision), key, decision.decided_at, h.build(**common, schema="decision.v4"))
    last = logged[-1]
    is_ok = bool(last.chosen) and draw.random() < 0.97
    response = Response(
        request_id=request.request_id,
        tenant=request.tenant,
        operation="chat",
        outcome="ok" if is_ok else "error",
        accepted_at=at_ms,
        finished_at=at_ms + 900,
        route=RouteInfo(policy=request.model, reason=last.reason),
        timings_ms=Timings(total=900),
        error=None if is_ok else Outcome(code="provider_fault", message="it is broken"),
        body=_BODY if is_ok else None,
        model=last.chosen or None,
        attempts=last.attempt,
    )
    headers = h.build(**common, attempt=response.attempts, role="primary", schema="response.v3")
    await write(t.RESPONSES, encode(response), key, at_ms + 900, headers)


@asynccontextmanager
async def _writer(bootstrap: str, prefix: str, partitions: int) -> AsyncIterator[Any]:
    """Records with the times that they would have had."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=50, max_batch_size=262_144, compression_type="lz4"
    )
    pending: list[asyncio.Future[Any]] = []

    async def write(topic: t.Topic, value: bytes, key: str, at_ms: int, headers: h.Headers) -> None:
        partition = 0 if topic.spread == "control" else partition_of(key.encode(), partitions)
        pending.append(
            await producer.send(
                prefix + topic.name, value, key=key.encode(), partition=partition, timestamp_ms=at_ms, headers=headers
            )
        )
        if len(pending) >= _AT_A_TIME:
            await asyncio.gather(*pending)
            pending.clear()

    await producer.start()
    try:
        yield write
        await asyncio.gather(*pending)
    finally:
        await producer.stop()
