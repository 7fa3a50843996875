"""Decisions made again: identical under the same policy, and a report whose sums are right under another."""

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from pipeline.core.decide import Situation, decide
from pipeline.core.redeciding.again import asked
from pipeline.core.redeciding.estimate import qualities, values_of
from pipeline.core.redeciding.joined import Joined, outcome_of
from pipeline.core.redeciding.tally import EXAMPLES, Cell, Outcome, Tally
from pipeline.core.redeciding.verdict import report
from schemas.catalog import Catalog
from schemas.codec import decode, encode
from schemas.events import Decision, Enriched, Features, View

RANGE = (1_000, 1_000_000)


def catalog(**said: Any) -> Catalog:
    models = {
        "large": {"quality_prior": 0.9, "price": {"input_per_mtok_usd": 3.0, "output_per_mtok_usd": 12.0}},
        "small": {"quality_prior": 0.6, "price": {"input_per_mtok_usd": 0.1, "output_per_mtok_usd": 0.4}},
    }
    whole = {name: {"provider": name, "context_tokens": 100_000, **model} for name, model in models.items()}
    return Catalog.model_validate(
        {
            "version": 1,
            "providers": {name: {"adapter": "openai", "base_url": "https://e.com/v1"} for name in models},
            "models": whole,
            "routes": {"auto": {"candidates": ["*"], "objective": {"lambda_cost": said.pop("lambda_cost", 0.1)}}},
            "tenants": {"acme": {}, "globex": {}},
            **said,
        }
    )


def request(number: int = 0, **said: Any) -> Enriched:
    features = Features(
        input_tokens=said.pop("input_tokens", 100), language="en", task="chat", complexity=0.5, band="middle",
        sensitivity="internal", domains=said.pop("domains", {}), classifier_version=said.pop("classifier", "plain-1"),
    )  # fmt: skip
    base: dict[str, Any] = {
        "request_id": f"r-{number}", "tenant": "acme", "partition_key": "acme", "model": "auto", "operation": "chat",
        "stream": False, "priority": "interactive", "accepted_at": 2_000 + number, "deadline_at": 9_000,
    }  # fmt: skip
    return Enriched(features=features, **{**base, **said})


def decided(policy: Catalog, asked_: Enriched, **said: Any) -> Decision:
    """As the log has it."""
    situation = said.pop("situation", None) or Situation({}, frozenset(), asked_.accepted_at + 5)
    decision = decide(asked_, policy, situation, **{"attempt": 1, "tried": (), **said})
    logged = decode(Decision, encode(decision))
    assert isinstance(logged, Decision)
    return logged


def joined(policies: list[Catalog], policy: Catalog | None = None, **said: Any) -> Joined:
    return Joined({each.hash: each for each in policies}, policy, RANGE, **said)


def test_what_a_decision_saw_is_enough_to_make_it_again() -> None:
    draw, policies = random.Random(3), [catalog(), catalog(lambda_cost=0.5)]
    found = joined(policies)
    for number in range(300):
        one, policy = request(number, priority=draw.choice(["interactive", "batch"])), draw.choice(policies)
        found.ask(one)
        situation = Situation(
            {"large": draw.choice([0, 150, 400]), "nobody": 3},
            frozenset(draw.sample(["large", "small", "nobody"], draw.choice([0, 0, 1]))),
            one.accepted_at + 10,
            {
                "large/large/unknown": View(in_flight=2, breaker=draw.choice(["closed", "open"]), open_until=99_000),
                "small/small/unknown": View(allowed_in_flight=draw.choice([None, 1]), in_flight=1),
            },
            {"large": draw.choice([0, 90])},
        )
        found.take(
            decided(
                policy, one, situation=situation, attempt=2, tried=draw.sample(["small", "large"], draw.choice([0, 1])),
                cause="failover", larger_than_tokens=draw.choice([None, 100_000]),
            )
        )  # fmt: skip
    document = report(found.tally)
    assert (document["decisions"], document["identical"], document["changed"]) == (300, 300, 0)
    assert document["policy_logged"] == document["policy_replayed"] == sorted(each.hash for each in policies)
    assert len({document["refused"]["logged"][code] for code in document["refused"]["logged"]}) > 0
    assert document["refused"]["logged"] == document["refused"]["replayed"]


def test_several_at_once_are_as_one_after_the_other() -> None:
    at_once, one_by_one = (joined([catalog()], catalog(lambda_cost=8.0)) for _ in range(2))
    requests = [request(number, input_tokens=number * 300) for number in range(50)]
    decisions = [decided(catalog(), each) for each in [*requests, request(50, tenant="globex")]]
    decisions[7] = replace(decisions[7], replayable=False)
    for found in (at_once, one_by_one):
        for each in requests:
            found.ask(each)
            found.end(("acme", each.request_id), Outcome(1))
    at_once.take(*decisions)
    for decision in decisions:
        one_by_one.take(decision)
    assert at_once.tally == one_by_one.tally
    assert at_once.tally.decisions == 49


def test_a_decision_logs_only_what_concerns_its_candidates() -> None:
    situation = Situation({"small": 3, "large": 0, "else": 9}, frozenset({"else"}), 5_000)
    decision = decided(catalog(), request(model="small"), situation=situation)
    assert (decision.in_flight, decision.off_providers, list(decision.view)) == (
        {"small": 3},
        [],
        ["small/small/unknown"],
    )
    assert (decision.bulk_in_flight, decision.tried, decision.replayable) == ({}, [], True)


def test_a_field_that_differs_is_a_change_even_where_the_choice_is_the_same() -> None:
    found = joined([catalog()])
    found.ask(request())
    found.take(replace(decided(catalog(), request()), seed=1))
    (example,) = report(found.tally)["examples"]
    assert example["why"] == "the same choice, but other seed"
    assert example["logged"] == example["replayed"] == "large"


def test_another_policy_gives_the_differences_that_scores_give() -> None:
    then, now = catalog(), catalog(lambda_cost=8.0)
    found, changed, cost = joined([then], now), 0, Counter[str]()
    for number in range(200):
        one = request(number, input_tokens=number * 200, tenant=("acme", "globex")[number % 2])
        decision = decided(then, one)
        found.ask(one)
        found.take(decision)
        best = max(decision.ranked, key=lambda row: row.quality - 8.0 * row.cents - 0.02 * row.latency_s)
        changed += best.model != decision.chosen
        cost["then"] += round(decision.ranked[0].cents * 10**7)
        cost["now"] += round(best.cents * 10**7)
    document = report(found.tally)
    assert 0 < changed == document["changed"] < 200
    assert document["cost_nano_usd"] == {"logged": cost["then"], "replayed": cost["now"]}
    assert sum(row["replayed"] for row in document["by_model"]) == 200
    assert len(document["examples"]) == EXAMPLES
    assert document["examples"][0]["why"].startswith("then: best score of 2; now: best score of 2; score of small ")
    assert [row["by"] for row in document["worst"]["quality"]].count("tenant") == 2
    assert document["worst"]["cost"] == []


def test_who_is_out_under_the_new_policy_is_named() -> None:
    found = joined([catalog()], catalog(rules=[{"exclude": ["large"]}]))
    found.ask(request())
    found.take(decided(catalog(), request()))
    assert "large is out now: excluded by a rule (rules)" in report(found.tally)["examples"][0]["why"]
    found = joined([catalog()], catalog(tenants={"globex": {}}))
    found.ask(request())
    found.take(decided(catalog(), request()))
    (example,) = report(found.tally)["examples"]
    assert (example["logged"], example["replayed"]) == ("large", None)


def test_what_cannot_be_made_again_is_counted_with_its_reason_and_foreign_requests_are_passed_over() -> None:
    found = joined([catalog()], tenant="acme")
    for one in (request(1), request(2), request(3, accepted_at=1_000_000), request(4, tenant="globex")):
        found.ask(one)
    found.take(replace(decided(catalog(), request(1)), replayable=False))
    found.take(replace(decided(catalog(), request(2)), policy_version="unknown"))
    for foreign in (request(3), request(4, tenant="globex"), request(5)):
        found.take(decided(catalog(), foreign))
    document = report(found.tally)
    assert document["decisions"] == 0
    assert document["expected_quality"]["logged"] is None
    assert document["left_out"] == {
        "before decisions carried what they saw": 1, "its catalogue is not in the log": 1,
    }  # fmt: skip


def test_the_platforms_own_requests_are_left_out() -> None:
    found = joined([catalog()])
    found.ask(request(tenant="_platform"))
    assert not found.has(("_platform", "r-0"))


def test_a_request_that_was_classified_twice_is_the_one_that_the_decision_names() -> None:
    old, new = request(classifier="plain-1"), request(classifier="plain-2", accepted_at=2_500)
    decision = decided(catalog(), new)
    assert asked([old, new], decision) is new
    assert asked([old, new], replace(decision, classifier_version="plain-1")) is old
    earlier = request(accepted_at=2_400, classifier="plain-2")
    assert asked([earlier, new], replace(decision, decided_at=2_450)) is earlier
    found = joined([catalog()])
    found.ask(old)
    found.ask(new)
    found.ask(replace(new))
    found.take(decision)
    assert report(found.tally)["identical"] == 1


def test_sums_add_up_over_processes() -> None:
    whole, parts = joined([catalog()], catalog(lambda_cost=8.0)), []
    for part in range(3):
        found = joined([catalog()], catalog(lambda_cost=8.0))
        for number in range(part * 50, part * 50 + 50):
            one = request(number, input_tokens=number * 300)
            for each in (found, whole):
                each.ask(one)
                each.end(("acme", one.request_id), Outcome(number % 3 > 0))
                each.take(decided(catalog(), one))
        found.tally.left_out["x"] += 1
        whole.tally.left_out["x"] += 1
        parts.append(found.tally)
    total = Tally()
    for part_ in parts:
        total.add(Tally.of_plain(part_.plain()))
    said, expected = report(total), report(whole.tally)
    assert said["expected_quality"].pop("difference") == pytest.approx(expected["expected_quality"].pop("difference"))
    assert said.pop("expected_quality") == pytest.approx(expected.pop("expected_quality"))
    for rows in ("quality", "cost"):
        for one_, other in zip(said["worst"][rows], expected["worst"][rows], strict=True):
            assert one_ == pytest.approx(other)
    del said["worst"], expected["worst"]
    assert said == expected


# --- expected quality -------------------------------------------------------------------------------------------------


def test_sums_of_a_cell_give_the_sums_of_its_values() -> None:
    draw, cell, old, new = random.Random(5), Cell(), 0.7, 0.4
    then, now = [], []
    for _ in range(50):
        cell.decisions += 1
        outcome, weight = draw.random(), draw.choice([0.0, 0.5, 2.0])
        if draw.random() < 0.2:
            then.append(old)
            now.append(new)
            continue
        cell.note(outcome, weight)
        then.append(outcome)
        now.append(new + weight * (outcome - old))
    key = ("t", "r", "d", "b", "old", "new")
    values = values_of([(key, cell)], {"old": old, "new": new})
    assert values.then == pytest.approx(sum(then))
    assert values.now == pytest.approx(sum(now))
    assert values.now_2 == pytest.approx(sum(value * value for value in now))
    assert values.difference_2 == pytest.approx(sum((b - a) ** 2 for a, b in zip(then, now, strict=True)))


def test_the_same_policy_is_worth_what_its_outcomes_were() -> None:
    found, outcomes = joined([catalog()]), [Outcome(1), Outcome(0), Outcome(1, 0.25), Outcome(2), None]
    for number, outcome in enumerate(outcomes):
        found.ask(request(number))
        found.end(("acme", f"r-{number}"), outcome)
        found.take(decided(catalog(), request(number)))
    quality = report(found.tally)["expected_quality"]
    model = qualities(found.tally)["large"]
    assert model == pytest.approx((20 * 0.9 + 0.9 + 0.25) / 24)
    assert quality["logged"] == pytest.approx((0.9 + 0 + 0.25 + 0 + model) / 5)
    assert quality["replayed"] == pytest.approx(quality["logged"])
    assert (quality["covered"], quality["outcomes"]) == (1.0, 4)
    assert quality["difference"]["low"] == pytest.approx(0)


def test_feedback_replaces_what_an_answer_is_worth() -> None:
    found = joined([catalog()])
    found.ask(request())
    found.end(("acme", "r-0"), Outcome(1))
    found.rate({("acme", "r-0"): 0.1, ("acme", "stranger"): 1.0})
    found.take(decided(catalog(), request()))
    assert report(found.tally)["expected_quality"]["logged"] == pytest.approx(0.1)


def test_a_split_log_tells_what_one_arm_alone_would_be_worth() -> None:
    """Users like the small model better than its prior says; the interval holds the truth, half of the log speaks for it."""
    arms = {"a": {"candidates": ["large"]}, "b": {"candidates": ["small"]}}
    split = catalog(experiments=[{"name": "x", "route": "auto", "unit": "request", "arms": arms}])
    only = catalog(rules=[{"pin": "small"}])
    draw, found, truth = random.Random(11), joined([split], only), {"large": 0.5, "small": 0.8}
    for number in range(2_000):
        one = request(number)
        decision = decided(split, one)
        found.ask(one)
        found.end(("acme", one.request_id), Outcome(1))
        found.rate({("acme", one.request_id): float(draw.random() < truth[decision.chosen])})
        found.take(decision)
    quality = report(found.tally)["expected_quality"]
    assert quality["low"] < 0.8 < quality["high"]
    assert quality["high"] - quality["low"] < 0.06
    assert quality["difference"]["low"] > 0.1
    assert quality["covered"] == pytest.approx(1.0, abs=0.05)


def test_outcomes_that_say_nothing_of_models_are_none() -> None:
    assert outcome_of("ok", None, 2) == Outcome(2)
    assert outcome_of("error", "provider_fault", 3) == Outcome(0)
    assert outcome_of("error", "cancelled", 1) is None
