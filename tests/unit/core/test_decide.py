from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.decide import Situation, decide
from pipeline.core.eligible import eligible
from pipeline.core.rules import NOTHING_REQUIRED
from schemas.catalog import Catalog
from schemas.events import Enriched, Features, View

NOON_MONDAY = 4 * 86_400_000 + 12 * 3_600_000


def _provider(**said: Any) -> dict[str, Any]:
    return {"adapter": "openai", "base_url": "https://example.com/v1", **said}


def _model(provider: str, **said: Any) -> dict[str, Any]:
    price = {"input_per_mtok_usd": 1.0, "output_per_mtok_usd": 2.0}
    return {"provider": provider, "context_tokens": 10_000, "price": price, **said}


def _catalog(rules: list[dict[str, Any]] | None = None, models: dict[str, Any] | None = None, **tenant: Any) -> Catalog:
    return Catalog.model_validate(
        {
            "version": 1,
            "providers": {
                "near": _provider(region="eu", clearance="restricted", terms=["no_training"], max_in_flight=10),
                "far": _provider(region="us", max_in_flight=10),
                "somewhere": _provider(),
            },
            "models": {
                "good": _model("far", quality_prior=0.9, flags={"json_schema": True}),
                "plain": _model("near", quality_prior=0.5),
                "odd": _model("somewhere", quality_prior=0.6, flags={"tools": False}),
                "wide": _model("near", quality_prior=0.3, context_tokens=100_000),
                "vectors": _model("near", operation="embeddings"),
                **(models or {}),
            },
            "routes": {
                "auto": {"candidates": ["*"]},
                "steady": {"order": ["plain", "good"]},
            },
            "rules": rules or [],
            "tenants": {"acme": tenant, "small": {"routes": ["steady"]}},
        }
    )


def _request(model: str = "auto", **said: Any) -> Enriched:
    features = Features(
        input_tokens=said.pop("input_tokens", 100),
        language="en",
        task="chat",
        complexity=said.pop("complexity", 0.2),
        band="low",
        sensitivity=said.pop("sensitivity", "internal"),
        needs=said.pop("needs", []),
        classifier_version="plain-1",
    )
    base: dict[str, Any] = {
        "request_id": "r1", "tenant": "acme", "partition_key": "acme", "operation": "chat", "stream": False,
        "priority": "interactive", "accepted_at": 0, "deadline_at": 1, "max_tokens": 100,
    }  # fmt: skip
    return Enriched(model=model, features=features, **{**base, **said})


def _situation(off: tuple[str, ...] = (), **in_flight: int) -> Situation:
    return Situation(in_flight=in_flight, off_providers=frozenset(off), now_ms=NOON_MONDAY)


def _decide(catalog: Catalog, request: Enriched, situation: Situation | None = None, **said: Any) -> Any:
    return decide(request, catalog, situation or _situation(), **{"attempt": 1, "tried": (), **said})


def _steps(decision: Any) -> dict[str, str]:
    return {each.model: each.step for each in decision.excluded}


def test_the_best_score_is_chosen_and_embeddings_models_are_no_candidates() -> None:
    decision = _decide(_catalog(), _request())
    assert [each.model for each in decision.ranked] == ["good", "odd", "plain", "wide"]
    assert decision.chosen == "good"
    assert [each.propensity for each in decision.ranked] == [1.0, 0.0, 0.0, 0.0]


def test_an_ordered_route_keeps_its_order() -> None:
    assert [each.model for each in _decide(_catalog(), _request("steady")).ranked] == ["plain", "good"]


def test_a_tenants_objective_overrides_field_by_field() -> None:
    ours = _decide(_catalog(objective={"mu_latency": 0.0}), _request()).ranked[0]
    assert ours.score == pytest.approx(0.9 - 0.1 * ours.cents)
    assert ours.cents == pytest.approx(100 * (1 + 2) / 1e6 * 100)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (_request("nobody"), "model_not_found"),
        (_request("auto", tenant="small"), "model_not_allowed"),
        (_request("auto", tenant="stranger"), "unknown_tenant"),
        (_request("vectors"), "invalid_request_error"),
        (_request("auto", input_tokens=200_000), "context_length_exceeded"),
    ],
)
def test_refusals(request_: Enriched, code: str) -> None:
    decision = _decide(_catalog(), request_)
    assert (decision.error_code, decision.chosen, decision.ranked) == (code, "", [])


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ({"needs": ["json_schema"]}, ["good"]),
        ({"needs": ["tools"]}, ["good", "plain", "wide"]),
        ({"needs": ["vision"]}, []),
        ({"needs": ["json_mode", "logprobs"]}, ["good", "odd", "plain", "wide"]),
        ({"needs": ["n"]}, []),
        ({"max_tokens": 50_000}, ["wide"]),
        ({"sensitivity": "restricted"}, ["plain", "wide"]),
        ({"sensitivity": "a word from the future"}, ["plain", "wide"]),
    ],
)
def test_who_can_and_may(said: dict[str, Any], left: list[str]) -> None:
    assert [each.model for each in _decide(_catalog(), _request(**said)).ranked] == left


def test_a_region_that_nobody_named_fits_no_list_of_regions() -> None:
    decision = _decide(_catalog(regions=["eu", "us", "unknown"]), _request())
    assert _steps(decision) == {"odd": "eligible"}
    assert decision.proof.regions == ["eu", "unknown", "us"]


def test_availability_is_no_policy() -> None:
    everything = ("near", "far", "somewhere")
    decision = _decide(_catalog(), _request(), _situation(off=everything))
    assert decision.error_code == "all_providers_unavailable"
    assert set(_steps(decision).values()) == {"available"}


def test_a_provider_is_overfull_at_one_and_a_half_times_its_limit() -> None:
    assert _decide(_catalog(), _request("good"), _situation(far=14)).chosen == "good"
    assert _decide(_catalog(), _request("good"), _situation(far=15)).error_code == "all_providers_unavailable"


def test_a_model_that_is_off_and_forbidden_is_forbidden() -> None:
    catalog = _catalog(rules=[{"exclude": ["good"]}])
    assert _decide(catalog, _request("good"), _situation(off=("far",))).error_code == "no_eligible_model"


def test_tried_models_are_left_out() -> None:
    decision = _decide(_catalog(), _request("steady"), attempt=2, tried=["plain"], cause="failover")
    assert (decision.chosen, decision.cause, _steps(decision)) == ("good", "failover", {"plain": "tried"})
    assert _decide(_catalog(), _request("plain"), tried=["plain"]).error_code == "all_providers_unavailable"


def test_only_a_larger_context_after_one_that_was_too_small() -> None:
    assert _decide(_catalog(), _request(), larger_than_tokens=10_000).chosen == "wide"


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        ({"require": {"regions": ["eu"]}}, "plain"),
        ({"require": {"terms": ["no_training"], "models": ["wide", "good"]}}, "wide"),
        ({"require": {"providers": ["somewhere"]}}, "odd"),
        ({"prefer": ["wide"], "by": 0.9}, "wide"),
        ({"exclude": ["good"]}, "odd"),
        ({"pin": "plain"}, "plain"),
        ({"when": {"weekdays": ["mon"], "hours": "12-13"}, "pin": "plain"}, "plain"),
        ({"when": {"hours": "13-12"}, "pin": "plain"}, "good"),
        ({"when": {"weekdays": ["sun"]}, "pin": "plain"}, "good"),
        ({"when": {"complexity_below": 0.3, "tags": {"team": "support"}}, "pin": "plain"}, "plain"),
        ({"when": {"complexity_at_least": 0.3}, "pin": "plain"}, "good"),
        ({"when": {"sensitivity_at_least": "confidential"}, "pin": "plain"}, "good"),
        ({"when": {"input_tokens_at_least": 100, "tenant": "acme", "route": "auto"}, "pin": "plain"}, "plain"),
    ],
)
def test_rules(rule: dict[str, Any], chosen: str) -> None:
    assert _decide(_catalog(rules=[rule]), _request(tags={"team": "support"})).chosen == chosen


def test_matching_rules_intersect() -> None:
    rules = [{"require": {"regions": ["eu", "us"]}}, {"require": {"regions": ["us", "local"]}}]
    decision = _decide(_catalog(rules=rules), _request())
    assert decision.chosen == "good"
    assert decision.proof.regions == ["us"]
    assert _decide(_catalog(rules=[{"pin": "good"}, {"pin": "odd"}]), _request()).error_code == "no_eligible_model"


MODELS = ["good", "plain", "odd", "wide"]
LEVELS = ["public", "internal", "confidential", "restricted"]
CATALOGS = [
    _catalog(),
    _catalog(regions=["eu"]),
    _catalog(terms=["no_training"]),
    _catalog(rules=[{"when": {"sensitivity_at_least": "confidential"}, "exclude": ["plain"]}]),
]


@given(
    catalog=st.sampled_from(CATALOGS),
    target=st.sampled_from(["auto", "steady", *MODELS]),
    sensitivity=st.sampled_from(LEVELS),
    tokens=st.integers(0, 120_000),
    off=st.sets(st.sampled_from(["near", "far", "somewhere"])),
    load=st.integers(0, 20),
    tried=st.lists(st.sampled_from(MODELS), unique=True),
)
def test_invariants(
    catalog: Catalog, target: str, sensitivity: str, tokens: int, off: set[str], load: int, tried: list[str]
) -> None:
    request = _request(target, sensitivity=sensitivity, input_tokens=tokens)
    situation = _situation(off=tuple(off), near=load)
    decision = _decide(catalog, request, situation, tried=tried)
    assert decision == _decide(catalog, request, situation, tried=tried[::-1])
    named = [each.model for each in (*decision.ranked, *decision.excluded)]
    assert sorted(named) == sorted(catalog.candidates_of(target))
    for each in decision.ranked:
        assert eligible(each.model, catalog, catalog.tenants["acme"], sensitivity, NOTHING_REQUIRED) is None
        assert each.model not in tried
        assert catalog.models[each.model].provider not in off
    assert (decision.chosen == "") == (decision.error_code is not None)


def test_a_wish_that_policy_refuses_needs_a_model_that_takes_it() -> None:
    strict = _model("near", flags={"policy": {"n": "refuse"}})
    decision = _decide(_catalog(models={"strict": strict}), _request("strict", needs=["n"]))
    assert decision.error_code == "invalid_request_error"
    assert "lacks n" in decision.reason


def test_a_schema_is_emulated_only_by_the_model_that_was_asked_for() -> None:
    request = {"needs": ["json_schema"]}
    assert _decide(_catalog(), _request("plain", **request)).chosen == "plain"
    assert [each.model for each in _decide(_catalog(), _request("auto", **request)).ranked] == ["good"]


@pytest.mark.parametrize(
    ("in_flight", "bulk", "left"), [(9, 1, True), (10, 0, False), (5, 2, False), (0, 0, True)], ids=str
)
def test_batch_work_takes_what_is_free_and_no_more_than_its_share(in_flight: int, bulk: int, left: bool) -> None:
    situation = replace(_situation(far=in_flight), bulk_in_flight={"far": bulk})
    assert _decide(_catalog(), _request("good"), situation).chosen == "good"
    decision = _decide(_catalog(), _request("good", priority="batch", accepted_at=NOON_MONDAY), situation)
    assert (decision.chosen == "good") == left
    assert decision.retry_at == (None if left else NOON_MONDAY + 1_000)


def test_batch_work_that_has_waited_for_long_asks_more_rarely() -> None:
    for waited_ms, wait_ms in ((20_000, 5_000), (3_600_000, 30_000)):
        request = _request("good", priority="batch", accepted_at=NOON_MONDAY - waited_ms)
        assert _decide(_catalog(), request, _situation(far=10)).retry_at == NOON_MONDAY + wait_ms


def test_interactive_calls_do_not_wait_for_a_provider_that_is_overfull() -> None:
    decision = _decide(_catalog(), _request("good"), _situation(far=15))
    assert (decision.error_code, decision.retry_at) == ("all_providers_unavailable", None)


def test_who_hesitates_comes_last_in_any_order_and_is_asked_where_nobody_else_is_there() -> None:
    views = {"far/good/us": View(hesitant=True), "near/plain/eu": View(hesitant=True)}
    situation = replace(_situation(), views=views)
    assert [each.model for each in _decide(_catalog(), _request(), situation).ranked] == [
        "odd",
        "wide",
        "good",
        "plain",
    ]
    assert [each.model for each in _decide(_catalog(), _request("steady"), situation).ranked] == ["plain", "good"]
    assert _decide(_catalog(), _request("good"), situation).chosen == "good"
