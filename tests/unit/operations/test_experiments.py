"""What the catalogue says of experiments, and a report in one sentence."""

from typing import Any

import pytest

from pipeline.catalog_file.load import parse
from pipeline.operations.experiments import Facts, experiments_of, facts_of
from pipeline.operations.sentence import sentence

CATALOG = """
version: 1
providers: {sim: {adapter: openai, base_url: "https://api.example", api_key_env: TEST_SIM_KEY, region: us}}
models: {gpt-4.1-mini: {provider: sim}, gpt-4.1-nano: {provider: sim}}
routes: {auto: {candidates: ["*"]}}
tenants: {main: {keys_env: TEST_MAIN_KEYS, routes: ["*"]}}
shadows:
  - {name: nano, model: gpt-4.1-nano, budget: {usd: 0.5, per: month}, judge: rules}
  - {name: later, model: gpt-4.1-mini, budget: {usd: 1}, enabled: false}
experiments:
  - name: halves
    route: auto
    arms: {old: {candidates: [gpt-4.1-mini]}, new: {candidates: [gpt-4.1-nano]}, odd: {candidates: ["*"]}}
"""


def test_shadows_and_splits_are_experiments_and_the_first_two_arms_are_the_sides() -> None:
    catalog = parse(CATALOG, {}).catalog
    assert experiments_of(catalog) == [
        Facts("nano", "shadow", "running", "primary", "gpt-4.1-nano", "rules", 500_000_000, "month"),
        Facts("later", "shadow", "stopped", "primary", "gpt-4.1-mini", "none", 1_000_000_000, "day"),
        Facts("halves", "split", "running", "old", "new", "feedback", arms=("old", "new", "odd")),
    ]
    assert facts_of(catalog, "nobody") is None


def document(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "shadow", "names": ["primary", "b"], "pairs": 412, "answered": 400, "skipped": {},
        "agreement": {"exact": 0.25, "token_f1": 0.8}, "primary": {"model": "a", "requests": 412},
        "shadow": {"model": "b", "requests": 412, "errors": 0}, "judge": {"wins": 250, "losses": 150, "ties": 12},
        "win_rate": {"estimate": 0.6214, "low": 0.55, "high": 0.69, "level": 0.95}, "verdict": "promote", "more_needed": 0,
        "cost_ratio": 0.59, "deltas": {"total_ms": {"estimate": -120.4}}, **changes,
    }  # fmt: skip


WINS = "wins 62.1 % of 412 judged pairs (55.0 % to 69.0 %, whenever you look), costs 41.0 % less, answers 120 ms sooner"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, f"Promote b: it {WINS}."),
        ({"verdict": "keep"}, f"Keep a: b {WINS}."),
        ({"verdict": "more", "more_needed": 1780}, f"About 1,800 more judged pairs needed: b {WINS}."),
        ({"verdict": "more", "more_needed": 3}, f"About 3 more judged pairs needed: b {WINS}."),
        ({"verdict": "more", "more_needed": None}, f"No verdict in sight: b {WINS}."),
        ({"shadow": {"model": "b", "requests": 412, "errors": 7}}, f"Promote b: it {WINS}, fails 7 of 412."),
        (
            {"cost_ratio": 1.004, "deltas": {"total_ms": {"estimate": 12}}},
            f"Promote b: it {WINS.replace('costs 41.0 % less', 'costs the same').replace('120 ms sooner', '12 ms later')}.",
        ),
        ({"cost_ratio": 21.0}, f"Promote b: it {WINS.replace('41.0 % less', '2000 % more')}."),
    ],
)
def test_a_report_says_what_to_do_and_at_what_price(changes: dict[str, Any], said: str) -> None:
    assert sentence(document(**changes)) == said


def test_without_a_judge_the_answers_are_only_compared() -> None:
    nobody = {"win_rate": {"estimate": None}, "verdict": "more", "more_needed": None}
    said = (
        "No verdict without a judge: b was compared, 25.0 % of 400 answers are equal (token F1 0.80), costs 41.0 % less"
    )
    assert sentence(document(**nobody)) == f"{said}, answers 120 ms sooner."
    none = document(**nobody, agreement={"exact": None}, cost_ratio=None, deltas={"total_ms": None})
    assert sentence(none) == "No verdict: no pair of answers of 412 could be compared."


def test_where_nothing_was_compared_the_reasons_are_said() -> None:
    empty = {"primary": {"model": None, "requests": 0}, "shadow": {"model": None, "requests": 0, "errors": 0}}
    assert sentence(document(**empty)) == "Nothing was compared yet."
    assert sentence(document(**empty, skipped={"budget": 2, "store_bodies": 5})) == (
        "Nothing was compared: all 7 requests were skipped (store_bodies 5, budget 2)."
    )


def test_of_a_split_its_arms_are_named_and_ratings_counted() -> None:
    rated = {"primary": {"rated": 100, "estimate": 0.5}, "shadow": {"rated": 110, "estimate": 0.7428}}
    arms = {
        "primary": {"arm": "old", "model": "a", "requests": 5},
        "shadow": {"arm": "new", "model": "b", "requests": 5, "errors": 0},
    }
    assert sentence(document(kind="split", quality=rated, verdict="more", more_needed=47, **arms)) == (
        "About 47 more rated answers needed: new is rated 0.74, old 0.50, over 210 rated answers "
        "(win rate 62.1 %; 55.0 % to 69.0 %, whenever you look), costs 41.0 % less, answers 120 ms sooner."
    )
    nobody = document(kind="split", quality=rated, win_rate={"estimate": None}, **arms)
    assert sentence(nobody).startswith("No verdict: nobody has rated answers of both arms yet (old and new), costs")
