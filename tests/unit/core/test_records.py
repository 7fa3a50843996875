"""What a journey leaves behind of an answer that broke off: the call that continues it, its carried state, its lost attempt."""

from typing import Any

import pytest

from pipeline.core import records
from pipeline.core.journey import Journey
from pipeline.core.outcomes import Forward
from schemas.catalog import Catalog
from schemas.events import Decision, Enriched, Features, Outcome, Prefix, Proof

CATALOG = Catalog.model_validate(
    {
        "version": 1,
        "providers": {"near": {"adapter": "openai", "base_url": "https://example.com/v1"}},
        "models": {
            "plain": {
                "provider": "near",
                "context_tokens": 1_000,
                "max_output_tokens": 200,
                "price": {"input_per_mtok_usd": 1.0, "output_per_mtok_usd": 2.0},
            }
        },
        "routes": {"steady": {"order": ["plain"]}},
        "tenants": {"acme": {}},
    }
)


def make_journey(**said: Any) -> Journey:
    request: dict[str, Any] = {
        "request_id": "r1", "tenant": "acme", "partition_key": "acme", "model": "plain", "operation": "chat",
        "stream": True, "priority": "interactive", "accepted_at": 0, "deadline_at": 1,
        "features": Features(10, "en", "chat", 0.2, "low", "internal"),
    }  # fmt: skip
    return Journey(Enriched(**{**request, **said}), 3)


def make_forward(prefix: Prefix | None) -> Forward:
    decision = Decision(
        request_id="r1", tenant="acme", attempt=2, cause="continuation", policy_version="p", profile_version="s",
        classifier_version="c", seed=1, decided_at=0, reason="because", proof=Proof("internal"), chosen="plain",
    )  # fmt: skip
    return Forward(decision, "a2", "continuation", prefix=prefix)


@pytest.mark.parametrize(("asked", "said", "left"), [(100, 30, 70), (100, 100, 1), (1_000, 30, 200), (None, 30, None)])
def test_a_continuation_carries_its_prefix_and_may_write_only_what_is_left(
    asked: int | None, said: int, left: int | None
) -> None:
    prefix = Prefix(attempt=1, pieces=2, content="The export", output_tokens=said)
    call = records.call(make_journey(max_tokens=asked), make_forward(prefix), CATALOG, 0)
    assert (call.role, call.prefix, call.max_tokens) == ("continuation", prefix, left)


def test_a_carried_request_remembers_that_its_answer_had_begun() -> None:
    journey = make_journey()
    journey.streamed = True
    assert records.parked(journey, 5, 1).streamed


@pytest.mark.parametrize("role", ["primary", "replay"])
def test_a_refusal_is_of_the_role_that_its_record_says(role: str) -> None:
    error = Outcome("invalid_request", "no body")
    assert records.refusal("r", "acme", error, accepted_at=1, now_ms=2, role=role).role == role
