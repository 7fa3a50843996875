"""The SQL of the dashboard, of `explain` and of Grafana's panels, on the embedded ClickHouse."""

import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from connectors.clickhouse.address import ClickHouseAddress
from connectors.clickhouse.migrate import migrate
from connectors.clickhouse.reader import Reader
from connectors.clickhouse.splice import varint
from connectors.clickhouse.store import Store, Unavailable
from connectors.clickhouse.tables import table_of
from connectors.dashboard.questions import FIGURES, RANGES, TABLES, statement, window
from pipeline.operations.events import plain, without_bodies
from pipeline.operations.explain import from_rows
from schemas.codec import datum, encode
from schemas.completion import Usage
from schemas.events import (
    Attempt,
    AttemptError,
    Cost,
    Decision,
    Enriched,
    Excluded,
    Features,
    Outcome,
    Proof,
    Ranked,
    Response,
    RouteInfo,
    Timings,
    View,
)
from tests.integration.sql.house import House

NOW_MS = time.time_ns() // 1_000_000
PANELS = [
    (f"{path.stem}: {panel['title']}", target["rawSql"])
    for path in sorted((Path(__file__).parents[3] / "infra/grafana/dashboards").glob("*.json"))
    for panel in json.loads(path.read_text())["panels"]
    for target in panel["targets"]
    if "rawSql" in target
]


class Warehouse:
    """Tables that are filled record by record, as the sink does it, and asked as the dashboard does."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store, self.reader = store, reader
        self._offset = 0

    async def put(self, topic: str, events: Sequence[Any]) -> None:
        table, rows = table_of(topic), []
        for event in events:
            bare = datum(type(event), encode(event))
            assert isinstance(bare, bytes)
            rows.append((varint(0) + varint(self._offset) + (varint(30) if table.keeps_by_tenant else b""), bare))
            self._offset += 1
        await self._store.insert(table, table.container.of(rows), token=uuid.uuid4().hex, mark="test")

    async def ask(self, name: str, tenant: str, *, is_exact: bool = True) -> list[dict[str, Any]]:
        return await self.reader.rows(statement(name, is_exact=is_exact), **window("1h", NOW_MS, tenant).parameters)


@pytest_asyncio.fixture
async def warehouse(house: House) -> AsyncIterator[Warehouse]:
    address = ClickHouseAddress("127.0.0.1", house.said["port"])
    migrate(address)
    store, reader = Store(address), Reader(address)
    yield Warehouse(store, reader)
    await store.close()
    await reader.close()


def response(tenant: str, request_id: str, age_ms: int = 1000, **changes: Any) -> Response:
    timings = Timings(3, 200, 900, 950)
    at = NOW_MS - age_ms
    more = {"provider": "sim", "model": "m-1", "attempts": 1, **changes}
    return Response(request_id, tenant, "chat", more.pop("outcome", "ok"), at, at, RouteInfo("auto"), timings, **more)


def cost(tenant: str, cost_id: str, nano_usd: int, age_ms: int = 1000, **changes: Any) -> Cost:
    fixed = {
        "cost_id": cost_id, "request_id": "r", "attempt": 1, "attempt_id": "a", "tenant": tenant, "user": None,
        "key_id": None, "tags": {}, "provider": "sim", "model": "m-1", "role": "primary", "usage": Usage(10, 5),
        "cost_nano_usd": nano_usd, "price_version": "1", "estimated": False, "effective": True, "kind": "charge",
        "at": NOW_MS - age_ms,
    }  # fmt: skip
    return Cost(**{**fixed, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*FIGURES, *TABLES, "series", "size"])
@pytest.mark.parametrize("is_exact", [True, False])
async def test_every_question_runs_on_tables_without_such_rows(warehouse: Warehouse, name: str, is_exact: bool) -> None:
    rows = await warehouse.ask(name, "nobody", is_exact=is_exact)
    numbers = [value for row in rows for value in row.values() if isinstance(value, int)]
    assert not any(numbers)


@pytest.mark.parametrize("name", RANGES)
async def test_a_request_is_its_first_record_in_the_range_and_the_role(warehouse: Warehouse, name: str) -> None:
    tenant = f"first-{name}"
    failed = Outcome("deadline_exceeded", "late", "timeout")
    await warehouse.put(
        "responses.v1",
        [
            response(tenant, "r-1", outcome="error", error=failed, model=None, provider=None, attempts=2),
            response(tenant, "r-1"),
            response(tenant, "r-2", attempts=2, model="m-2"),
            response(tenant, "r-3", role="replay"),
            response(tenant, "r-4", age_ms=8 * 86_400_000),
            response(tenant + "-other", "r-1"),
        ],
    )
    of = window(name, NOW_MS, tenant).parameters
    (total,) = await warehouse.reader.rows(statement("totals"), **of)
    assert (total["requests"], total["errors"]) == (2, 1)
    assert total["total_ms"] == pytest.approx([950, 950, 950], rel=0.02)
    series = await warehouse.reader.rows(statement("series"), **of)
    assert [(row["requests"], row["errors"]) for row in series] == [(2, 1)]
    (counted,) = await warehouse.reader.rows(statement("totals", is_exact=False), **of)
    assert counted["requests"] == 3
    errors = await warehouse.reader.rows(statement("errors"), **of)
    assert errors == [{"code": "deadline_exceeded", "kind": "timeout", "requests": 1}]
    routing = await warehouse.reader.rows(statement("routing"), **of)
    assert routing == [{"model": "m-2", "provider": "sim", "requests": 1, "failed_over": 1}]
    recent = await warehouse.reader.rows(statement("recent"), **of)
    assert {(row["request_id"], row["outcome"]) for row in recent} == {("r-1", "error"), ("r-2", "ok")}


@pytest.mark.parametrize("name", ["24h", "7d"])
async def test_rollups_say_what_the_records_say(warehouse: Warehouse, name: str) -> None:
    tenant = f"rolled-{name}"
    await warehouse.put("responses.v1", [response(tenant, f"r-{n}", age_ms=(n + 1) * 60_000) for n in range(30)])
    await warehouse.put("responses.v1", [response(tenant, "r-40", outcome="error", error=Outcome("internal", "x"))])
    of = window(name, NOW_MS, tenant)
    ways = [
        [await warehouse.reader.rows(statement(question, is_exact=False, step_s=step_s), **of.parameters)
         for question in ("totals", "series")]
        for step_s in (1, of.step_s)
    ]  # fmt: skip
    (records_total, records_series), (rolled_total, rolled_series) = ways
    assert [(row["requests"], row["errors"]) for row in rolled_total] == [(31, 1)]
    assert len(rolled_series) == len(records_series)
    for by_record, rolled in zip(records_total + records_series, rolled_total + rolled_series, strict=True):
        assert {key: rolled[key] for key in ("requests", "errors")} == {
            key: by_record[key] for key in ("requests", "errors")
        }
        assert rolled.get("bucket") == by_record.get("bucket")
        for figure in ("first_token_ms", "total_ms", "added_ms"):
            count = len(by_record[figure])
            for exact, estimated in zip(by_record[figure], rolled[figure][:count], strict=True):
                assert estimated == (None if exact is None else pytest.approx(exact, rel=0.05))


async def test_spend_is_exact_and_a_line_that_was_booked_twice_counts_once(warehouse: Warehouse) -> None:
    large = 2**53 + 1
    lines = [cost("spender", "c-1", large), cost("spender", "c-2", 7, model="m-2", role="shadow")]
    await warehouse.put("costs.v1", [*lines, lines[0], cost("spender", "c-3", 9, age_ms=7_200_000)])
    assert await warehouse.ask("spend", "spender") == [{"cost_nano_usd": large + 7, "lines": 2}]
    assert await warehouse.ask("spend_by_tenant", "spender") == [
        {"tenant": "spender", "cost_nano_usd": large + 7, "lines": 2}
    ]
    assert [row["model"] for row in await warehouse.ask("spend_by_model", "spender")] == ["m-1", "m-2"]


async def test_failed_calls_are_counted_once_by_provider_and_kind(warehouse: Warehouse) -> None:
    def attempt(number: int, phase: str, **more: Any) -> Attempt:
        return Attempt(
            "r", "caller", number, f"f-{number}", phase, "primary", "sim", "m-1", "us", "w", NOW_MS - 1000, **more
        )

    failed = attempt(1, "finished", result="error", error=AttemptError("overloaded", 529))
    await warehouse.put("attempts.v1", [attempt(1, "started"), failed, failed, attempt(2, "finished", result="ok")])
    assert await warehouse.ask("failures", "caller") == [{"provider": "sim", "kind": "overloaded", "calls": 1}]


async def test_rows_explain_a_request_as_its_events_do(warehouse: Warehouse) -> None:
    at, tenant, request_id = NOW_MS - 5000, "explained", "r-explained"
    enriched = Enriched(
        request_id, tenant, tenant, "auto", "chat", False, "interactive", at, at + 60_000,
        Features(120, "en", "code", 0.25, "low", "internal", ["tools"], [], {"code": 0.5}, "plain-1"), tags={"team": "a"},
    )  # fmt: skip
    decision = Decision(
        request_id, tenant, 1, "first", "p", "q", "c", 2**40, at + 1, "best score", Proof("internal", ["us"]),
        chosen="m-1", view={"sim/m-1/us": View(3, "half_open", 120, at + 9, at + 8)},
        ranked=[Ranked("m-1", 0.5, 0.75, 0.125, 0.5, 1.0)], excluded=[Excluded("m-9", "eligible", "region")],
    )  # fmt: skip
    started = Attempt(request_id, tenant, 1, "a-1", "started", "primary", "sim", "m-1", "us", "w", at + 2)
    finished = Attempt(
        request_id, tenant, 1, "a-1", "finished", "primary", "sim", "m-1", "us", "w", at + 2, result="ok",
        usage=Usage(10, 5), duration_ms=900, first_event_ms=200, finish_reason="stop", finished_at=at + 902,
    )  # fmt: skip
    booked = cost(tenant, "c-explained", 12, request_id=request_id)
    answer = response(tenant, request_id, usage=Usage(10, 5), cost_nano_usd=12)
    for topic, events in (
        ("enriched.v1", [enriched]), ("decisions.v1", [decision]), ("attempts.v1", [started, finished]),
        ("costs.v1", [booked, booked]), ("responses.v1", [answer, answer]),
    ):  # fmt: skip
        await warehouse.put(topic, events)
    found = await from_rows(warehouse.reader, request_id)
    assert found["enriched"] == without_bodies(plain(enriched))
    assert found["decisions"] == [plain(decision)]
    assert found["attempts"] == [plain(started), plain(finished)]
    assert found["costs"] == [plain(booked)]
    assert found["response"] == plain(answer)
    assert found["request"]["tags"] == {"team": "a"}
    assert (await from_rows(warehouse.reader, request_id, tenant="other"))["response"] is None


async def test_what_goes_as_a_parameter_stays_one(warehouse: Warehouse) -> None:
    odd = "a'b\\c\td\n{x:String}"
    assert await warehouse.reader.rows("SELECT {odd:String} AS odd", odd=odd) == [{"odd": odd}]


async def test_a_reader_cannot_write(warehouse: Warehouse) -> None:
    with pytest.raises(Unavailable):
        await warehouse.reader.rows("TRUNCATE TABLE costs")


@pytest.mark.parametrize(("place", "raw_sql"), PANELS, ids=[place for place, _ in PANELS])
async def test_every_panel_of_grafana_runs(warehouse: Warehouse, place: str, raw_sql: str) -> None:
    """Macros of https://github.com/grafana/clickhouse-datasource, expanded as the plugin does."""
    expanded = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 >= toDateTime(0) AND \1 <= now()", raw_sql)
    expanded = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)", expanded)
    assert "$" not in expanded
    assert isinstance(await warehouse.reader.rows(expanded), list), place
