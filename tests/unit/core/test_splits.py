"""Live splits: who is on which arm, and what decisions say of it."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.decide import Situation, decide
from pipeline.core.splits import arm_at, bounds_of, place_of, shares_of
from schemas.catalog import Catalog, Experiment
from schemas.events import Decision, Enriched, Features

MODELS = {"large": 0.9, "middle": 0.8, "small": 0.6, "tiny": 0.3}
COUNT = 4_000


def catalog(unit: str = "user", route: dict[str, Any] | None = None, **arms: Any) -> Catalog:
    price = {"input_per_mtok_usd": 0.0, "output_per_mtok_usd": 0.0}
    provider = {"adapter": "openai", "base_url": "https://example.com/v1"}
    return Catalog.model_validate(
        {
            "version": 1,
            "providers": dict.fromkeys(MODELS, provider),
            "models": {name: {"provider": name, "quality_prior": q, "price": price} for name, q in MODELS.items()},
            "routes": {"auto": route or {"candidates": ["*"]}, "plain": {"candidates": ["*"]}},
            "experiments": [{"name": "x", "route": "auto", "unit": unit, "arms": arms or HALVES}],
            "tenants": {"acme": {}, "globex": {}},
        }
    )


HALVES = {"a": {"candidates": ["large", "small"]}, "b": {"candidates": ["middle", "small"]}}


def request(number: int = 0, **said: Any) -> Enriched:
    features = Features(
        input_tokens=10, language="en", task="chat", complexity=0.5, band="middle", sensitivity="internal"
    )
    base: dict[str, Any] = {
        "request_id": f"r-{number}", "tenant": "acme", "partition_key": "acme", "model": "auto", "operation": "chat",
        "stream": False, "priority": "interactive", "accepted_at": 0, "deadline_at": 1, "user": f"u-{number}",
    }  # fmt: skip
    return Enriched(features=features, **{**base, **said})


def decided(catalog_: Catalog, request_: Enriched, *, off: frozenset[str] = frozenset(), **said: Any) -> Decision:
    return decide(request_, catalog_, Situation({}, off, 1_000), **{"attempt": 1, "tried": (), **said})


def test_shares_are_those_of_the_weights_and_the_decision_says_everything() -> None:
    split = catalog(a={"candidates": ["large"], "weight": 3}, b={"candidates": ["middle"], "weight": 1})
    decisions = [decided(split, request(number)) for number in range(COUNT)]
    arms = Counter(decision.arm for decision in decisions)
    assert arms["a"] / COUNT == pytest.approx(0.75, abs=0.03)
    for decision in decisions[:50]:
        share = {"a": 0.75, "b": 0.25}[decision.arm or ""]
        assert (decision.experiment, decision.ranked[0].propensity) == ("x", share)
        assert f"in arm {decision.arm} of x" in decision.reason
        assert decision.chosen == {"a": "large", "b": "middle"}[decision.arm or ""]


def test_the_propensity_of_a_model_that_several_arms_would_choose_is_the_sum_of_their_shares() -> None:
    decision = decided(catalog(), request(), off=frozenset({"large", "middle"}))
    assert [(each.model, each.propensity) for each in decision.ranked] == [("small", 1.0)]
    decision = next(
        each
        for number in range(20)
        if (each := decided(catalog(), request(number), off=frozenset({"large"}))).arm == "b"
    )
    assert [(each.model, each.propensity) for each in decision.ranked] == [("middle", 0.5), ("small", 0.5)]


def test_an_arm_whose_candidates_are_all_out_crosses_to_no_other() -> None:
    split = catalog(a={"candidates": ["large"]}, b={"candidates": ["middle"]})
    off = frozenset({"large"})
    decisions = [decided(split, request(number), off=off) for number in range(200)]
    for decision in decisions:
        out = ("all_providers_unavailable", "", ["large"])
        said = (decision.error_code, decision.chosen, [each.model for each in decision.excluded])
        assert said == (out if decision.arm == "a" else (None, "middle", []))
        assert f"in arm {decision.arm} of x" in decision.reason
        assert set(decision.view) == {"large/large/unknown", "middle/middle/unknown"}  # what the propensity hangs on


def test_an_ordered_route_is_split_in_the_order_of_its_arms() -> None:
    arms = {"a": {"candidates": ["tiny", "large"]}, "b": {"candidates": ["large", "tiny"]}}
    split = catalog(route={"order": ["middle"]}, **arms)
    for number in range(20):
        decision = decided(split, request(number))
        assert [each.model for each in decision.ranked] == list(arms[decision.arm or ""]["candidates"])


def test_other_routes_and_models_by_name_are_not_split() -> None:
    for target in ("plain", "large"):
        decision = decided(catalog(), request(model=target))
        assert (decision.arm, decision.experiment, decision.ranked[0].propensity) == (None, None, 1.0)


def test_retries_and_failovers_stay_on_their_arm() -> None:
    for number in range(50):
        first = decided(catalog(), request(number))
        again = decided(catalog(), request(number), attempt=2, tried=[first.chosen], cause="failover")
        assert (again.arm, again.chosen) == (first.arm, "small")


@pytest.mark.parametrize(
    ("unit", "said", "same_as"),
    [
        ("user", {}, {"request_id": "other", "conversation_id": "other"}),
        ("user", {"user": None, "conversation_id": "c"}, {"request_id": "other"}),
        ("user", {"user": None}, {}),
        ("conversation", {"conversation_id": "c"}, {"user": "other", "request_id": "other"}),
        ("conversation", {}, {"user": "other"}),
        ("request", {"conversation_id": "c"}, {"user": "other", "conversation_id": "other"}),
    ],
)
def test_the_unit_stays_and_a_missing_one_falls_back_to_the_next(
    unit: str, said: dict[str, Any], same_as: dict[str, Any]
) -> None:
    experiment = catalog(unit).experiments[0]
    one = request(**said)
    assert place_of(experiment, one) == place_of(experiment, replace(one, **same_as))
    strangers = [
        replace(one, user=one.user and f"u{n}", conversation_id=one.conversation_id and f"c{n}", request_id=f"r{n}")
        for n in range(9)
    ]
    assert len({place_of(experiment, each) for each in strangers}) == 9


def test_equal_names_of_two_tenants_are_two_units() -> None:
    experiment = catalog().experiments[0]
    assert place_of(experiment, request()) != place_of(experiment, request(tenant="globex"))


def test_two_experiments_do_not_agree_on_who_is_on_their_first_arm() -> None:
    one = catalog().experiments[0]
    other = one.model_copy(update={"name": "y"})
    both = Counter(
        (place_of(one, request(number)) < 0.5, place_of(other, request(number)) < 0.5) for number in range(COUNT)
    )
    assert all(count / COUNT == pytest.approx(0.25, abs=0.03) for count in both.values())
    assert len(both) == 4


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=2, max_size=6),
    user=st.none() | st.text(min_size=1, max_size=20),
    number=st.integers(0, 10**9),
)
def test_the_same_request_is_on_the_same_arm_whatever_the_order_of_the_file(
    weights: list[float], user: str | None, number: int
) -> None:
    arms = {f"arm{place}": {"candidates": ["*"], "weight": weight} for place, weight in enumerate(weights)}
    backwards = dict(reversed(arms.items()))
    one, other = (Experiment.model_validate({"name": "x", "route": "auto", "arms": each}) for each in (arms, backwards))
    asked = request(number, user=user)
    assert shares_of(one) == shares_of(other)
    assert sum(shares_of(one).values()) == pytest.approx(1)
    places = {arm_at(place_of(each, asked), bounds_of(list(shares_of(each).values()))) for each in (one, other)}
    assert len(places) == 1
    assert 0 <= places.pop() < len(arms)
