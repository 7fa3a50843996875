"""What is asked again, what became of it, and what corrected prices change."""

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from pipeline.core.pricing import cost_nano_usd, price_of
from pipeline.core.replaying import (
    Skip,
    Tally,
    adjustment,
    again,
    consents,
    needs_usage,
    run_id,
    slices,
    worst_case_nano_usd,
)
from schemas.catalog import Catalog
from schemas.completion import Usage
from schemas.events import Cost, Enriched, Features, Outcome, Price, Response, RouteInfo, Timings, parse_request
from schemas.ids import cost_id, replayed_id
from schemas.ledger import Booked

SEED = 20261128
CATALOG = Catalog.model_validate(
    {
        "version": 1,
        "providers": {"sim": {"adapter": "openai-compatible", "base_url": "http://127.0.0.1:1/v1"}},
        "models": {
            "cheap": {"provider": "sim", "max_output_tokens": 100, "context_tokens": 1000,
                      "price": {"input_per_mtok_usd": 1, "output_per_mtok_usd": 2}},
            "dear": {"provider": "sim", "max_output_tokens": 10, "context_tokens": 1000,
                     "price": {"input_per_mtok_usd": 1, "output_per_mtok_usd": 100}},
        },
        "routes": {"auto": {"candidates": ["*"], "max_attempts": 2}},
        "tenants": {"open": {"store_bodies": True}, "closed": {}},
    }
)  # fmt: skip
NEW = Price("new", 2_000_000_000, 1_000_000_000, 4_000_000_000)


def request(**more: Any) -> Enriched:
    features = Features(100, "en", "chat", 0.1, "low", "confidential")
    return Enriched(
        "r-1", "open", "open", "auto", "chat", True, "interactive", 1_000, 121_000, features, body=b'{"messages":[]}',
        user="u", key_id="k", conversation_id="c-1", idempotent=True, tags={"team": "support"}, **more,
    )  # fmt: skip


def response(request_id: str, *, outcome: str = "ok", code: str | None = None, attempts: int = 1) -> Response:
    error = None if code is None else Outcome(code, "no")
    return Response(
        request_id, "open", "chat", outcome, 1, 2, RouteInfo(), Timings(), error=error, attempts=attempts, role="replay"
    )


def cost(request_id: str, attempt: int, amount: int, kind: str = "charge") -> Cost:
    return Cost(
        f"{request_id}/{attempt}/{kind}", request_id, attempt, f"{request_id}/{attempt}", "open", None, None, {}, "sim",
        "cheap", "replay", Usage(), amount, "v", False, True, kind, 1, 1,
    )  # fmt: skip


def booked(**more: Any) -> Booked:
    line = Booked(
        "open", "a-1", "r-1", 1, "u", None, {"team": "support"}, "sim", "cheap", "retry", 1_000, 200, 0, 0, 0, False, 0, None,
        "old", 50, 40, 1, 999, [],
    )  # fmt: skip
    return replace(line, **more)


def test_the_same_arguments_are_the_same_run_in_any_order() -> None:
    first = run_id("send", {"from": 1, "to": 2, "tenant": None, "model": "m"})
    assert first == run_id("send", {"model": "m", "to": 2, "from": 1})
    others = [run_id("send", {"from": 1, "to": 2, "model": "n"}), run_id("reprice", {"from": 1, "to": 2, "model": "m"})]
    assert len({first, *others}) == 3


def test_a_request_is_asked_again_without_what_belongs_to_its_caller() -> None:
    asked = again(request(), b'{"messages":[]}', "send-1", None)
    assert asked.request_id == replayed_id("send-1", "open", "r-1") != "r-1"
    assert (asked.conversation_id, asked.idempotency_key, asked.ticket) == (None, None, None)
    assert (asked.model, asked.stream, asked.user, asked.key_id) == ("auto", True, "u", "k")
    assert (asked.priority, asked.sensitivity) == ("batch", "confidential")
    assert asked.tags == {"team": "support", "run-id": "send-1"}
    assert again(request(), b"{}", "send-1", "dear").model == "dear"


def test_a_request_with_all_the_tags_that_there_may_be_keeps_the_form_of_a_request() -> None:
    old = replace(request(), tags={f"t{number:02}": "x" for number in range(16)})
    asked = again(old, b'{"messages":[]}', "send-1", None)
    assert len(asked.tags) == 16
    assert asked.tags["run-id"] == "send-1"
    envelope = {"request_id": asked.request_id, "tenant": asked.tenant, "body": asked.body, "tags": asked.tags}
    assert parse_request(envelope | {"deadline_s": asked.deadline_s}).tags == asked.tags  # type: ignore[union-attr]


@pytest.mark.parametrize(("tenant", "expected"), [("open", True), ("closed", False), ("gone", False)])
def test_only_who_lets_bodies_be_kept_is_replayed(tenant: str, expected: bool) -> None:
    assert consents(tenant, CATALOG) is expected


@pytest.mark.parametrize(
    ("target", "asked", "expected"),
    [
        ("auto", None, 2 * (174_000 + 1_000_000)),
        ("auto", 5, 2 * (174_000 + 500_000)),
        ("cheap", 50, 3 * 274_000),
        ("gone", 5, 0),
    ],
)
def test_the_worst_case_is_every_attempt_with_the_dearest_to_the_last_token(
    target: str, asked: int | None, expected: int
) -> None:
    assert worst_case_nano_usd(replace(request(), max_tokens=asked), CATALOG, target) == expected


def test_a_request_is_open_until_its_outcome_and_the_lines_of_its_calls_are_there() -> None:
    tally = Tally()
    tally.sent("a", 100)
    tally.sent("a", 900)
    tally.answered(response("a", attempts=2))
    assert (tally.unanswered, tally.owed_nano_usd) == (0, 100)
    tally.booked(cost("a", 1, 7))
    assert tally.open == {"a"}
    tally.booked(cost("a", 2, 8))
    assert (tally.open, tally.owed_nano_usd, tally.cost_nano_usd) == (set(), 0, 15)
    assert not tally.booked(cost("b", 1, 7))
    assert not tally.answered(response("b"))


def test_refused_by_policy_is_skipped_and_what_was_not_sent_too() -> None:
    tally = Tally()
    for name in "abc":
        tally.sent(name)
    tally.answered(response("a"))
    tally.answered(response("b", outcome="error", code="no_eligible_model", attempts=0))
    tally.answered(response("c", outcome="error", code="deadline_exceeded"))
    assert tally.figures({Skip.BUDGET: 2, Skip.EXPIRED: 0}) == {
        "sent": 2, "ok": 1, "error": 1, "skipped": {"budget": 2, "no_eligible_model": 1}, "cost_nano_usd": 0,
    }  # fmt: skip


def test_in_any_order_and_with_copies_the_figures_are_the_same() -> None:
    chance = random.Random(SEED)
    events: list[Any] = [response(str(n), attempts=2, code=None if n % 3 else "internal", outcome="ok" if n % 3 else "error")
                         for n in range(40)]  # fmt: skip
    events += [cost(str(n), attempt, 10 * n + attempt) for n in range(40) for attempt in (1, 2)]
    events += [cost(str(n), 1, -3, "adjust") for n in range(5)]
    figures = []
    for _ in range(20):
        tally, heard = Tally(), [*events, *chance.choices(events, k=50)]
        for number in range(40):
            tally.sent(str(number), 5)
        chance.shuffle(heard)
        for event in heard:
            tally.answered(event) if isinstance(event, Response) else tally.booked(event)
        assert (tally.open, tally.unanswered, tally.owed_nano_usd) == (set(), 0, 0)
        figures.append(tally.figures({}))
    assert all(found == figures[0] for found in figures)
    assert figures[0]["cost_nano_usd"] == sum(event.cost_nano_usd for event in events if isinstance(event, Cost))


def test_an_adjustment_makes_the_sum_of_all_lines_what_the_price_says_and_is_no_usage() -> None:
    line = booked()
    found = adjustment(line, NEW)
    assert found is not None
    assert line.cost_nano_usd + found.cost_nano_usd == cost_nano_usd(Usage(1_000, 200), NEW)
    assert (found.usage, found.kind, found.effective, found.price_version) == (Usage(), "adjust", False, "new")
    assert (found.tenant, found.role, found.tags, found.at, found.accepted_at) == ("open", "retry", line.tags, 50, 40)
    assert adjustment(booked(cost_nano_usd=cost_nano_usd(Usage(1_000, 200), NEW)), NEW) is None


def test_tier_and_cache_of_the_usage_count() -> None:
    line = booked(cache_read_tokens=400, cache_write_tokens=100, cache_write_1h_tokens=50, service_tier="flex")
    found = adjustment(line, NEW)
    assert found is not None
    usage = Usage(1_000, 200, 400, 100, 0, False, 50, "flex")
    assert found.cost_nano_usd == cost_nano_usd(usage, NEW) - 999
    assert found.estimated  # the price book has no such tier


def test_prices_that_come_back_are_a_line_of_their_own_and_a_killed_run_books_the_same_one() -> None:
    """Whatever prices follow each other: ids differ as long as the ledger does, and the sum is always right."""
    chance = random.Random(SEED)
    prices = [Price(name, rate, rate, rate) for name, rate in (("a", 10**9), ("b", 2 * 10**9), ("c", 3 * 10**9))]
    line, ids = booked(), ["charge"]
    for price in chance.choices(prices, k=60):
        found, copy = adjustment(line, price), adjustment(line, price)
        assert found == copy
        if found is not None:
            ids.append(found.cost_id)
            line = replace(line, cost_nano_usd=line.cost_nano_usd + found.cost_nano_usd,
                           adjust_ids=[*line.adjust_ids, found.cost_id])  # fmt: skip
        assert line.cost_nano_usd == cost_nano_usd(Usage(1_000, 200), price)
    assert len(set(ids)) == len(ids) > 20


def test_what_the_vendor_said_later_is_not_in_the_charge() -> None:
    late = cost_id("a-1", "adjust", "old")
    assert needs_usage(booked(is_counted=True, adjust_ids=[late]))
    assert not needs_usage(booked(is_counted=False, adjust_ids=[late]))
    assert not needs_usage(booked(is_counted=True, adjust_ids=[cost_id("a-1", "adjust", "new/1")]))
    found = adjustment(booked(is_counted=True, adjust_ids=[late]), NEW, Usage(10, 20))
    assert found is not None
    assert (found.cost_nano_usd, found.estimated) == (cost_nano_usd(Usage(10, 20), NEW) - 999, False)


def test_the_prices_are_those_of_the_catalogue() -> None:
    found = adjustment(booked(), price_of(CATALOG, "cheap"))
    assert found is not None
    assert found.cost_nano_usd == 1_000 * 1_000 + 200 * 2_000 - 999


def test_slices_hold_every_line_once_and_no_more_than_they_may() -> None:
    chance = random.Random(SEED)
    for _ in range(200):
        steps = sorted(chance.sample(range(50), chance.randint(0, 50)))
        counts = [(10 * step, chance.choice((1, 3, 40, 1_000))) for step in steps]
        found = list(slices(counts, 10, 100))
        assert sum(part.lines for part in found) == sum(lines for _, lines in counts)
        for at, lines in counts:
            holding = [part for part in found if part.from_ms <= at < part.to_ms]
            assert sorted(part.part for part in holding) == list(range(holding[0].parts))
            assert lines <= sum(part.lines for part in holding)
        assert all(part.lines <= 100 for part in found)
        assert all(a.to_ms <= b.from_ms or a.from_ms == b.from_ms for a, b in pairwise(found))
