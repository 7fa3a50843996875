"""The report on shadows and live splits out of the embedded ClickHouse, row by row, and as the command prints it."""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from connectors.clickhouse.address import ClickHouseAddress
from connectors.clickhouse.experiments import Experiments, Range
from connectors.clickhouse.migrate import migrate
from connectors.clickhouse.reader import Reader
from connectors.clickhouse.splice import varint
from connectors.clickhouse.store import Store
from connectors.clickhouse.tables import table_of
from pipeline.operations.experiments import Facts
from pipeline.operations.plots import experiment_plots
from pipeline.operations.report import experiment_report
from schemas.codec import datum, encode
from schemas.events import Feedback, Outcome, Response, RouteInfo, ShadowComparison, Side, Timings
from tests.integration.sql.house import House

NOW_MS = time.time_ns() // 1_000_000
DAY_MS = 86_400_000
TODAY_MS = NOW_MS // DAY_MS * DAY_MS
ALL = Range()


class Warehouse:
    """Tables filled as the sink does it; each test has an experiment and tenants of its own."""

    def __init__(self, house: House, store: Store, reader: Reader) -> None:
        self.house, self._store, self.found = house, store, Experiments(reader)
        self.name = f"x-{uuid.uuid4().hex[:8]}"
        self.tenant = f"t-{self.name}"
        self._offset = 0

    async def put(self, topic: str, events: Sequence[Any]) -> None:
        table, rows = table_of(topic), []
        for event in events:
            bare = datum(type(event), encode(event))
            assert isinstance(bare, bytes)
            rows.append((varint(0) + varint(self._offset) + (varint(30) if table.keeps_by_tenant else b""), bare))
            self._offset += 1
        await self._store.insert(table, table.container.of(rows), token=uuid.uuid4().hex, mark="test")

    def comparison(self, request_id: str, **changes: Any) -> ShadowComparison:
        fixed: dict[str, Any] = {
            "experiment": self.name, "tenant": self.tenant, "status": "compared", "at": NOW_MS, "accepted_at": NOW_MS - 900,
            "route": "auto", "domain": "support", "band": "low", "judge": "rules", "winner": "tie",
            "primary": side("m-1", 1_000_000, 200, 900), "shadow": side("m-2", 600_000, 150, 1100),
            "exact": False, "token_f1": 0.5,
        }  # fmt: skip
        return ShadowComparison(request_id=request_id, **{**fixed, **changes})

    async def drawn(self, rows: Sequence[tuple[str, str | None]], **changes: Any) -> None:
        """Decisions that put requests into arms. By SQL, few of their columns matter here."""
        await asyncio.to_thread(self._drawn, rows, changes)

    def _drawn(self, rows: Sequence[tuple[str, str | None]], changes: dict[str, Any]) -> None:
        self.house.rows(
            "ALTER TABLE millrace.decisions ADD COLUMN IF NOT EXISTS experiment LowCardinality(Nullable(String))"
        )
        lines = []
        for request_id, arm in rows:
            row = {
                "request_id": request_id, "tenant": self.tenant, "attempt": 1, "cause": "first", "decided_at": NOW_MS / 1000,
                "experiment": self.name, "arm": arm, "kafka_offset": self._offset, "retention_days": 30, **changes,
            }  # fmt: skip
            self._offset += 1
            lines.append(json.dumps(row))
        self.house.rows("INSERT INTO millrace.decisions FORMAT JSONEachRow\n" + "\n".join(lines))

    def response(self, request_id: str, **changes: Any) -> Response:
        more: dict[str, Any] = {"outcome": "ok", "model": "m-1", "cost_nano_usd": 100, "total_ms": 900, **changes}
        at, outcome, total_ms = NOW_MS, more.pop("outcome"), more.pop("total_ms")
        timings = Timings(3, 200, 700, total_ms)
        return Response(request_id, self.tenant, "chat", outcome, at - 900, at, RouteInfo("auto"), timings, **more)

    def said(self, request_id: str = "", user: str = "u", **changes: Any) -> Feedback:
        more: dict[str, Any] = {"conversation_id": "", **changes}
        return Feedback(request_id, more.pop("conversation_id"), self.tenant, user, more.pop("at", NOW_MS), **more)

    async def report(self, facts: Facts | None = None, of: Range = ALL) -> dict[str, Any]:
        return await experiment_report(self.found, facts or self.shadow(), of, NOW_MS)

    def shadow(self) -> Facts:
        return Facts(self.name, "shadow", "running", "primary", "m-2", "rules", 5_000_000_000, "day")

    def split(self) -> Facts:
        return Facts(self.name, "split", "running", "old", "new", "feedback")


def side(model: str, nano_usd: int, first_ms: int | None, total_ms: int | None, outcome: str = "ok") -> Side:
    return Side(model, outcome, nano_usd, first_ms, total_ms)


@pytest_asyncio.fixture
async def warehouse(house: House) -> AsyncIterator[Warehouse]:
    address = ClickHouseAddress("127.0.0.1", house.said["port"])
    migrate(address)
    store, reader = Store(address), Reader(address)
    yield Warehouse(house, store, reader)
    await store.close()
    await reader.close()


async def test_figures_are_over_pairs_and_the_first_record_of_each_counts(warehouse: Warehouse) -> None:
    failed = side("m-2", 7, None, 5_000, "timeout")
    await warehouse.put(
        "shadow-comparisons.v1",
        [
            warehouse.comparison("r-1", winner="shadow", exact=True, token_f1=1.0, json_equal=True),
            warehouse.comparison("r-1", winner="primary", exact=False),
            warehouse.comparison("r-2", winner="primary", shadow=failed, exact=None, token_f1=None),
            warehouse.comparison("r-3", tool_calls_equal=False, primary=side("m-3", 2_000_000, 400, 1900)),
            warehouse.comparison("r-3", tenant=warehouse.tenant + "-b", winner="shadow"),
            warehouse.comparison("r-4", status="skipped", reason="budget", primary=None, shadow=None, winner=None),
            warehouse.comparison("r-5", status="skipped", reason="budget", primary=None, shadow=None, winner=None),
            warehouse.comparison(
                "r-6", status="skipped", reason="store_bodies", primary=None, shadow=None, winner=None
            ),
            warehouse.comparison("r-7", experiment=warehouse.name + "-other"),
        ],
    )
    found = await warehouse.report()
    assert (found["experiment"], found["status"], found["pairs"], found["answered"]) == (
        warehouse.name,
        "running",
        4,
        3,
    )
    assert found["skipped"] == {"budget": 2, "store_bodies": 1}
    assert found["agreement"] == {
        "exact": 0.333333, "token_f1": 0.666667, "json_equal": 1.0, "tool_calls_equal": 0.0,
        "normalised": None, "length_ratio": None,
    }  # fmt: skip
    assert found["primary"] == {
        "model": "m-1", "models": {"m-1": 3, "m-3": 1}, "requests": 4, "errors": 0, "refusals": 0, "cost_nano_usd": 5_000_000,
        "first_token_ms": {"p50": 200, "p95": 400}, "total_ms": {"p50": 900, "p95": 1900},
    }  # fmt: skip
    assert (found["shadow"]["requests"], found["shadow"]["errors"], found["shadow"]["cost_nano_usd"]) == (
        4,
        1,
        1_800_007,
    )
    assert found["shadow"]["total_ms"] == {"p50": 1100, "p95": 5000}
    assert {name: found["judge"][name] for name in ("wins", "losses", "ties")} == {"wins": 2, "losses": 1, "ties": 1}
    assert (found["win_rate"]["estimate"], found["win_rate"]["level"]) == (0.625, 0.95)
    assert (found["verdict"], found["more_needed"] > 0) == ("more", True)
    assert found["deltas"]["total_ms"]["estimate"] == pytest.approx(-133.333333)
    assert (found["deltas"]["cost_nano_usd"]["pairs"], found["cost_ratio"]) == (3, 0.45)
    assert [(row["by"], row["value"], row["pairs"]) for row in found["segments"]] == [
        ("tenant", warehouse.tenant, 3), ("tenant", warehouse.tenant + "-b", 1),
        ("route", "auto", 4), ("domain", "support", 4), ("band", "low", 4),
    ]  # fmt: skip


async def test_what_was_spent_is_that_of_the_budgets_window_with_the_judge(warehouse: Warehouse) -> None:
    await warehouse.put(
        "shadow-comparisons.v1",
        [
            warehouse.comparison("r-1", judge_cost_nano_usd=50),
            warehouse.comparison("r-2", at=TODAY_MS - 1, accepted_at=TODAY_MS - 2),
            warehouse.comparison(
                "r-3", status="skipped", reason="no_primary_outcome", primary=None, judge_cost_nano_usd=0
            ),
            warehouse.comparison("r-3"),
        ],
    )
    found = await warehouse.report()
    assert found["budget"] == {"spent_nano_usd": 1_200_050, "limit_nano_usd": 5_000_000_000, "per": "day"}
    assert found["shadow"]["cost_nano_usd"] == 1_200_000


async def test_a_range_is_one_of_accepted_at(warehouse: Warehouse) -> None:
    await warehouse.put(
        "shadow-comparisons.v1", [warehouse.comparison(f"r-{n}", accepted_at=NOW_MS - n * 1000) for n in range(10)]
    )
    found = await warehouse.report(of=Range(NOW_MS - 5000, NOW_MS - 2000))
    assert (found["pairs"], sum(row["pairs"] for row in found["segments"] if row["by"] == "route")) == (3, 3)
    assert found["budget"]["spent_nano_usd"] == 6_000_000


async def test_of_nothing_there_is_a_report_too(warehouse: Warehouse) -> None:
    found = await warehouse.report()
    assert (found["pairs"], found["skipped"], found["verdict"], found["more_needed"]) == (0, {}, "more", None)
    assert found["win_rate"] == {"estimate": None, "low": 0.0, "high": 1.0, "level": 0.95}
    assert set(found["agreement"].values()) == {None}
    assert found["primary"]["total_ms"] == found["shadow"]["first_token_ms"] == {"p50": None, "p95": None}
    assert set(found["deltas"].values()) == {None}
    assert found["sentence"] == "Nothing was compared yet."
    plots = await experiment_plots(warehouse.found, warehouse.shadow(), ALL)
    assert plots["win_rate"] == {"at": [], "estimate": [], "low": [], "high": []}
    assert set(plots["total_ms"]["primary"]) == {None}


async def test_the_plots_show_how_the_verdict_came_about(warehouse: Warehouse) -> None:
    words = ["shadow", "shadow", "tie", "primary"] * 50
    await warehouse.put(
        "shadow-comparisons.v1",
        [warehouse.comparison(f"r-{n}", winner=word, at=NOW_MS + n) for n, word in enumerate(words)],
    )
    plots, found = await experiment_plots(warehouse.found, warehouse.shadow(), ALL), await warehouse.report()
    rate = plots["win_rate"]
    assert (len(rate["at"]), rate["at"][0], rate["at"][-1]) == (40, 5, 200)
    assert rate["at"] == sorted(set(rate["at"]))
    ends = {name: rate[name][-1] for name in ("estimate", "low", "high")}
    assert ends == {name: found["win_rate"][name] for name in ends}
    assert all(low <= mid <= high for low, mid, high in zip(rate["low"], rate["estimate"], rate["high"], strict=True))
    assert plots["total_ms"]["at"] == [*range(5, 100, 5)]
    assert set(plots["cost_nano_usd"]["shadow"]) == {600_000}


async def test_arms_are_compared_over_outcomes_and_by_what_people_said(warehouse: Warehouse) -> None:
    old, new = [f"o-{n}" for n in range(30)], [f"n-{n}" for n in range(30)]
    await warehouse.drawn([*((name, "old") for name in old), *((name, "new") for name in new), ("else", "third")])
    await warehouse.drawn([("o-0", "new")], attempt=2, cause="failover")
    late = Outcome("deadline_exceeded", "late", "timeout")
    await warehouse.put(
        "responses.v1",
        [
            *(warehouse.response(name, conversation_id=f"c-{name[2:]}") for name in old[1:]),
            warehouse.response("o-0", outcome="error", error=late, model=None, cost_nano_usd=10),
            *(warehouse.response(name, model="m-2", cost_nano_usd=60, total_ms=700, conversation_id=f"d-{name}") for name in new),
            warehouse.response("n-0", model="m-9", outcome="error", error=late, conversation_id="d-n-0"),
            warehouse.response("else"),
            warehouse.response("n-1", role="replay"),
        ],
    )  # fmt: skip
    await warehouse.put(
        "feedback.v1",
        [
            *(warehouse.said(name, label="down") for name in old[1:20]),
            *(warehouse.said(name, label="up") for name in new[:20]),
            warehouse.said("n-0", label="down"),
            warehouse.said("n-0", user="v", score=0.755),
            warehouse.said(conversation_id="d-n-3", user="w", score=1.0),
            warehouse.said("nobody", label="up"),
            warehouse.said("o-3", user="x", comment="no score"),
        ],
    )
    found = await warehouse.report(warehouse.split())
    assert [found[side]["arm"] for side in ("primary", "shadow")] == ["old", "new"]
    figures = [
        tuple(found[side][name] for name in ("model", "requests", "errors", "cost_nano_usd"))
        for side in ("primary", "shadow")
    ]
    assert figures == [("m-1", 30, 1, 2910), ("m-2", 30, 0, 1800)]
    assert (found["primary"]["total_ms"], found["shadow"]["total_ms"]["p50"]) == ({"p50": 900, "p95": 900}, 700)
    assert (found["quality"]["primary"]["rated"], found["quality"]["primary"]["estimate"]) == (19, 0.0)
    assert (found["quality"]["shadow"]["rated"], found["quality"]["shadow"]["estimate"]) == (22, round(20.76 / 22, 6))
    assert found["win_rate"]["estimate"] == pytest.approx(0.5 + 20.76 / 22 / 2, abs=1e-6)
    assert (found["verdict"], found["more_needed"]) == ("promote", 0)
    assert (found["deltas"]["cost_nano_usd"]["estimate"], found["cost_ratio"]) == (-40.0, 0.6)
    assert found["sentence"].startswith(
        "Promote new: it is rated 0.94, old 0.00, over 41 rated answers (win rate 97.2 %; "
    )
    plots = await experiment_plots(warehouse.found, warehouse.split(), ALL)
    assert (plots["win_rate"]["at"][-1], plots["win_rate"]["low"][-1]) == (41, found["win_rate"]["low"])
    assert (plots["total_ms"]["primary"][0], plots["total_ms"]["shadow"][0]) == (900, 700)


async def test_every_arm_of_a_split_is_compared_with_the_first(warehouse: Warehouse) -> None:
    ids = {arm: [f"{arm}-{n}" for n in range(20)] for arm in ("old", "new", "third")}
    await warehouse.drawn([(name, arm) for arm, names in ids.items() for name in names])
    await warehouse.put("responses.v1", [warehouse.response(name) for names in ids.values() for name in names])
    await warehouse.put(
        "feedback.v1",
        [
            warehouse.said(name, label="down" if arm == "third" else "up")
            for arm, names in ids.items()
            for name in names
        ],
    )
    facts = replace(warehouse.split(), arms=("old", "new", "third"))
    found, of_two = await warehouse.report(facts), await warehouse.report(warehouse.split())
    for_level = {"win_rate", "sentence", "arms"}
    assert {name: found[name] for name in found.keys() - for_level} == {
        name: of_two[name] for name in of_two.keys() - for_level
    }
    assert (found["win_rate"]["level"], of_two["win_rate"]["level"]) == (0.975, 0.95)
    assert found["win_rate"]["low"] < of_two["win_rate"]["low"] < 0.5
    plots = await experiment_plots(warehouse.found, facts, ALL)
    assert (plots["win_rate"]["at"][-1], plots["win_rate"]["low"][-1]) == (40, found["win_rate"]["low"])
    new, third = found["arms"]
    assert {name: new[name] for name in ("sentence", "verdict", "win_rate", "deltas")} == {
        name: found[name] for name in ("sentence", "verdict", "win_rate", "deltas")
    }
    assert (new["arm"], new["figures"], new["quality"]) == ("new", found["shadow"], found["quality"]["shadow"])
    assert (third["arm"], third["verdict"], third["figures"]["requests"]) == ("third", "keep", 20)
    assert third["sentence"].startswith(
        "Keep old: third is rated 0.00, old 1.00, over 40 rated answers (win rate 0.0 %; "
    )


async def test_a_conversation_counts_for_an_arm_only_if_all_of_it_was_there(warehouse: Warehouse) -> None:
    await warehouse.drawn([("r-1", "old"), ("r-2", "new"), ("r-3", "new"), ("r-4", "new")])
    talks = ["both", "both", "one", "one"]
    await warehouse.put(
        "responses.v1", [warehouse.response(f"r-{n}", conversation_id=talk) for n, talk in enumerate(talks, 1)]
    )
    await warehouse.put(
        "feedback.v1",
        [
            warehouse.said(conversation_id="both", label="up"),
            warehouse.said(conversation_id="one", label="up"),
            warehouse.said(conversation_id="one", label="down", at=NOW_MS + 1),
        ],
    )
    found = await warehouse.report(warehouse.split())
    assert (found["quality"]["primary"]["rated"], found["quality"]["shadow"]["rated"]) == (0, 1)
    assert found["quality"]["shadow"]["estimate"] == 0.0
    assert (found["verdict"], found["more_needed"]) == ("more", None)
    assert found["sentence"].startswith("No verdict: nobody has rated answers of both arms yet (old and new)")


CATALOG = """
version: 1
providers: {sim: {adapter: openai, base_url: "http://127.0.0.1:9", api_key_env: TEST_SIM_KEY, region: us}}
models: {gpt-4.1-mini: {provider: sim}, gpt-4.1-nano: {provider: sim}}
routes: {auto: {candidates: ["*"]}}
tenants: {main: {keys_env: TEST_MAIN_KEYS, routes: ["*"]}}
shadows:
  - {name: NAME, model: gpt-4.1-nano, budget: {usd: 5, per: day}, judge: rules}
"""


async def test_the_command_prints_the_document_and_a_sentence(warehouse: Warehouse, tmp_path: Path) -> None:
    await warehouse.put("shadow-comparisons.v1", [warehouse.comparison(f"r-{n}", winner="shadow") for n in range(40)])
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG.replace("NAME", warehouse.name))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    environment["MILLRACE_CLICKHOUSE_DSN"] = f"clickhouse://127.0.0.1:{warehouse.house.said['port']}/millrace"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline", "shadow", "report", *arguments, "--config", str(catalog)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    printed, shown, unknown, wrong = await asyncio.gather(
        *(
            asyncio.to_thread(run, *arguments)
            for arguments in (
                (warehouse.name, "--json"),
                (warehouse.name,),
                ("nothing",),
                (warehouse.name, "--from", "x"),
            )
        )
    )
    document = json.loads(printed.stdout)
    assert (document["pairs"], document["verdict"], document["budget"]["limit_nano_usd"]) == (
        40,
        "promote",
        5_000_000_000,
    )
    assert document == await warehouse.report(Facts(
        warehouse.name, "shadow", "running", "primary", "gpt-4.1-nano", "rules", 5_000_000_000, "day"
    ))  # fmt: skip
    assert shown.stdout.startswith("Promote m-2: it wins 100.0 % of 40 judged pairs (")
    assert "budget per day\t0.024000000 of 5.000000000" in shown.stdout
    assert (unknown.returncode, warehouse.name in unknown.stderr) == (1, True)
    assert (wrong.returncode, "--from" in wrong.stderr) == (2, True)
