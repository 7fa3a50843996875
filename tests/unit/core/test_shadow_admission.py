from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.pricing import cost_nano_usd, price_of
from pipeline.core.shadowing import Budget, Plan, Skip, Wait, admit, is_sampled, matches, worst_case
from pipeline.core.shadowing.budget import window_start
from schemas.completion import Usage
from schemas.events import ShadowComparison, ShadowProgress, Side, View
from tests.unit.core.shadow_builder import NOW, catalog, request, row, situation

DAY_MS = 86_400_000


def _admit(
    requested: Any = None, *, budget: Budget | None = None, known: Any = None, off: Any = (), **said: Any
) -> Any:
    views = known or {}
    return admit(
        row(**said), requested or request(), catalog(), situation(off, **views), budget or Budget(10**9, "day")
    )


def test_a_request_is_admitted_to_a_model_that_its_tenant_could_not_ask_for() -> None:
    found = _admit()
    assert isinstance(found, Plan)
    assert (found.model, found.judge, found.max_tokens) == ("new", None, 100)
    assert found.decision is not None
    assert (found.decision.cause, found.decision.request_id) == ("shadow", found.shadow_request_id)


def test_a_route_chooses_the_shadow() -> None:
    found = _admit(known={"far/new/eu": View(breaker="open", open_until=NOW + 5_000)}, model="either")
    assert isinstance(found, Plan)
    assert found.model == "old"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"operation": "embeddings"}, "operation"),
        ({"tenant": "quiet"}, "store_bodies"),
        ({"tenant": "nobody"}, "no_eligible_model"),
        ({"needs": ["tools"]}, "incapable"),
        ({"input_tokens": 20_000}, "incapable"),
    ],
)
def test_what_may_not_or_cannot_be_mirrored_is_skipped_with_its_reason(said: dict[str, Any], reason: str) -> None:
    assert _admit(request(**said)) == Skip(reason)  # type: ignore[arg-type]


def test_data_goes_only_where_its_tenant_allows() -> None:
    restricted = catalog(regions=["us"])
    budget = Budget(10**9, "day")
    assert admit(row(), request(), restricted, situation(), budget) == Skip("no_eligible_model")
    elsewhere = catalog(regions=["eu"])
    assert isinstance(admit(row(), request(), elsewhere, situation(), budget), Plan)
    assert admit(row(judge="judge"), request(), elsewhere, situation(), budget) == Skip("no_eligible_model")


def test_an_endpoint_that_is_out_is_not_called() -> None:
    assert _admit(known={"far/new/eu": View(breaker="open", open_until=NOW + 5_000)}) == Skip("breaker_open")
    assert _admit(off=("far",)) == Skip("no_eligible_model")


def test_the_only_place_at_a_provider_is_left_to_callers() -> None:
    narrow = catalog().model_copy(deep=True)
    narrow.providers["far"] = narrow.providers["far"].model_copy(update={"max_in_flight": 1})
    assert admit(row(), request(), narrow, situation(), Budget(10**9, "day")) == Skip("no_place")


def test_a_budget_reserves_the_worst_case_of_all_calls() -> None:
    found, judged = _admit(), _admit(judge="judge")
    assert found.reserved_nano_usd == 174_000 + 200_000 + 1
    assert judged.reserved_nano_usd > found.reserved_nano_usd + 2 * 512 * 2_000
    assert _admit(budget=Budget(found.reserved_nano_usd - 1, "day")) == Skip("budget")
    assert isinstance(_admit(budget=Budget(found.reserved_nano_usd, "day")), Plan)


def test_what_is_reserved_and_may_not_be_spent_is_waited_for() -> None:
    need = _admit().reserved_nano_usd
    assert _admit(budget=Budget(need + 10, "day", reserved={"other": 20}, window_at=window_start("day", NOW))) == Wait()
    known = Budget(need + 10, "day", spent_nano_usd=20, reserved={"other": 20}, window_at=window_start("day", NOW))
    assert _admit(budget=known) == Skip("budget")


def test_a_request_for_several_choices_reserves_for_all() -> None:
    several = _admit(request(body=b'{"n": 3, "messages": []}'))
    assert several.reserved_nano_usd == 174_000 + 3 * 200_000 + 1


@given(st.integers(0, 9_000), st.integers(1, 4_000), st.floats(0, 1), st.floats(0, 1))
def test_no_call_within_its_limits_costs_more_than_the_worst_case(
    sent: int, limit: int, of_sent: float, of_limit: float
) -> None:
    worst = worst_case(catalog(), "new", input_tokens=sent, output_tokens=limit)
    usage = Usage(int(sent * 1.1 * of_sent), int(limit * of_limit))
    assert cost_nano_usd(usage, price_of(catalog(), "new")) <= worst


def test_a_share_is_a_stable_sample_and_the_same_for_everybody() -> None:
    small, large = row(filter={"share": 0.1}).filter, row(filter={"share": 0.5}, name="other").filter
    ids = [f"r{number}" for number in range(4_000)]
    chosen = {id for id in ids if is_sampled(small, "acme", id)}
    assert 300 < len(chosen) < 500
    assert chosen <= {id for id in ids if is_sampled(large, "acme", id)}
    assert chosen != {id for id in ids if is_sampled(small, "other", id)}


@pytest.mark.parametrize(
    ("wanted", "said", "is_match"),
    [
        ({}, {}, True),
        ({}, {"role": "replay"}, False),
        ({"tenant": "other"}, {}, False),
        ({"route": "auto"}, {}, True),
        ({"route": "old"}, {}, False),
        ({"tags": {"team": "a"}}, {"tags": {"team": "a", "x": "y"}}, True),
        ({"tags": {"team": "a"}}, {}, False),
        ({"domain": "code"}, {"domains": {"code": 0.6, "law": 0.4}}, True),
        ({"domain": "law"}, {"domains": {"code": 0.6, "law": 0.4}}, False),
        ({"complexity_below": 0.3}, {"complexity": 0.3}, False),
        ({"complexity_at_least": 0.3}, {"complexity": 0.3}, True),
    ],
)
def test_all_that_a_filter_says_must_hold(wanted: dict[str, Any], said: dict[str, Any], is_match: bool) -> None:
    broken = row(filter={**wanted})
    assert matches(broken.filter, request(**said)) is is_match


def _compared(id: str, cost: int, at: int, *, judge: int = 0) -> ShadowComparison:
    side = Side("new", "ok", cost)
    return ShadowComparison(
        "try-new", id, "acme", "compared", at, NOW, shadow_request_id=id, shadow=side, judge_cost_nano_usd=judge
    )


STEPS = st.lists(
    st.tuples(st.integers(1, 400), st.floats(0, 1), st.integers(0, DAY_MS // 2), st.booleans()), min_size=1, max_size=60
)


@given(STEPS)
def test_no_window_pays_more_than_its_limit_also_across_takeovers(steps: list[tuple[int, float, int, bool]]) -> None:
    limit, now, offset = 1_000, NOW, 0
    budget, saved = Budget(limit, "day"), ShadowProgress("try-new", 0, "running", 0)
    log: list[ShadowComparison] = []
    reserved: dict[str, int] = {}
    for number, (amount, share, passed, dies) in enumerate(steps):
        now += passed
        if budget.fits(amount, now):
            budget.reserve(f"r{number}", amount)
            reserved[f"r{number}"] = amount
        if number % 2 and reserved:
            id = next(iter(reserved))
            log.append(_compared(id, int(reserved.pop(id) * share), now))
            budget.fold(log[-1], 0, offset)
            offset += 1
        if dies:  # the successor folds what its checkpoint does not have, and reserves what is open
            budget = Budget.resumed(limit, "day", saved)
            for place, comparison in enumerate(log):
                budget.fold(comparison, 0, place)
            for id, amount_of_it in reserved.items():
                budget.reserve(id, amount_of_it)
        else:
            saved = ShadowProgress(
                "try-new",
                0,
                "running",
                now,
                budget.pairs,
                {},
                budget.spent_nano_usd,
                budget.window_at,
                dict(budget.folded),
            )
    for day in {window_start("day", comparison.at) for comparison in log}:
        paid = sum(each.shadow.cost_nano_usd for each in log if each.shadow and window_start("day", each.at) == day)
        assert paid <= limit
    assert budget.pairs == len(log)


def test_a_comparison_counts_once_and_frees_what_was_reserved() -> None:
    budget = Budget(1_000, "hour")
    budget.reserve("a", 900)
    assert not budget.fits(200, NOW)
    assert budget.fold(_compared("a", 300, NOW, judge=50), 1, 7) is True
    assert budget.fold(_compared("a", 300, NOW, judge=50), 1, 7) is False
    assert (budget.spent_nano_usd, budget.pairs, budget.reserved) == (350, 1, {})
    assert budget.fits(650, NOW)
    assert budget.fits(1_000, NOW + 3_600_000)


@pytest.mark.parametrize(
    ("per", "start"),
    [("minute", "2027-01-15T08:00:00"), ("hour", "2027-01-15T08:00:00"), ("day", "2027-01-15T00:00:00"),
     ("month", "2027-01-01T00:00:00")],
)  # fmt: skip
def test_windows_are_those_of_the_calendar(per: Any, start: str) -> None:
    from datetime import UTC, datetime

    assert window_start(per, NOW) == int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp() * 1000)
    assert window_start("total", NOW) == 0
