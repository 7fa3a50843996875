"""The questions of docs/analytics.md on a real ClickHouse: every file of infra/sql runs, and says what is so."""

import re
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from connectors.clickhouse.address import ClickHouseAddress
from connectors.clickhouse.migrate import MIGRATIONS, migrate
from connectors.clickhouse.splice import varint
from connectors.clickhouse.store import Refused, Store, Unavailable
from connectors.clickhouse.tables import TABLES, table_of
from schemas.codec import datum, encode
from schemas.completion import Usage
from schemas.events import (
    Attempt,
    AttemptError,
    Cost,
    Decision,
    Excluded,
    Feedback,
    Outcome,
    Proof,
    Response,
    RouteInfo,
    Timings,
)
from schemas.topics import DAY_MS, HOUR_MS

SQL = Path(__file__).parents[2] / "infra" / "sql"
FILES = sorted(SQL.glob("*.sql"))
NOW_MS = time.time_ns() // 1_000_000
YESTERDAY_MS = NOW_MS // DAY_MS * DAY_MS - DAY_MS // 2

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


class Warehouse:
    """Tables that exist, with a way to fill them and a way to ask."""

    def __init__(self, store: Store, client: Any) -> None:
        self.store, self._client = store, client
        self._next = 0

    async def put(self, topic: str, events: Sequence[Any]) -> None:
        table, rows = table_of(topic), []
        for event in events:
            bare = datum(type(event), encode(event))
            assert isinstance(bare, bytes)
            rows.append((varint(0) + varint(self._next) + (varint(30) if table.keeps_by_tenant else b""), bare))
            self._next += 1
        await self.store.insert(table, table.container.of(rows), token=f"{topic}-{self._next}", mark="test")

    def ask(self, name: str, **parameters: str) -> list[tuple[Any, ...]]:
        return self.rows((SQL / f"{name}.sql").read_text(encoding="utf-8"), **parameters)

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return list(self._client.query(sql, parameters=parameters).result_rows)


@pytest_asyncio.fixture(loop_scope="session")
async def warehouse(clickhouse: ClickHouseAddress, clickhouse_client: Any) -> AsyncIterator[Warehouse]:
    migrate(clickhouse)
    store = Store(clickhouse)
    yield Warehouse(store, clickhouse_client)
    await store.close()


def cost(nano_usd: int, **changes: Any) -> Cost:
    fixed = {
        "cost_id": f"c-{nano_usd}", "request_id": "r-1", "attempt": 1, "attempt_id": "a-1", "tenant": "acme", "user": None,
        "key_id": None, "tags": {}, "provider": "openai", "model": "gpt-4.1-mini", "role": "primary", "usage": Usage(10, 5),
        "cost_nano_usd": nano_usd, "price_version": "1", "estimated": False, "effective": True, "kind": "charge",
        "at": YESTERDAY_MS,
    }  # fmt: skip
    return Cost(**{**fixed, **changes})  # type: ignore[arg-type]


def attempt(number: int, phase: str, **changes: Any) -> Attempt:
    started_at = NOW_MS - HOUR_MS + number * 1000
    return Attempt(
        "r-1",
        "acme",
        number,
        f"a-{number}",
        phase,
        "primary",
        "openai",
        f"model-{number}",
        "us",
        "w-1",
        started_at,
        **changes,
    )


def answer(request_id: str, model: str, tenant: str = "acme") -> Response:
    return Response(request_id, tenant, "chat", "ok", NOW_MS, NOW_MS, RouteInfo(), Timings(), model=model, attempts=1)


def _parameters(path: Path) -> list[str]:
    return re.findall(r"\{(\w+):", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_every_file_runs_on_empty_tables(warehouse: Warehouse, path: Path) -> None:
    assert warehouse.ask(path.stem, **dict.fromkeys(_parameters(path), "nobody")) == []


async def test_what_a_tenant_spent_yesterday_by_model(warehouse: Warehouse) -> None:
    mine = [cost(3), cost(40, model="o3"), cost(500, at=NOW_MS), cost(6000, role="shadow"), cost(70000, tenant="other")]
    await warehouse.put("costs.v1", [*mine, cost(4)])
    found = warehouse.ask("spend_of_a_tenant_yesterday_by_model", tenant="acme")
    assert found == [("o3", 1, 10, 5, 40e-9), ("gpt-4.1-mini", 2, 20, 10, 7e-9)]


async def test_the_first_token_per_provider_and_hour(warehouse: Warehouse) -> None:
    waits = [attempt(1, "finished", result="ok", first_event_ms=ms, duration_ms=ms) for ms in range(1, 101)]
    await warehouse.put("attempts.v1", [attempt(1, "started"), *waits, attempt(1, "finished", result="error")])
    [(provider, _hour, calls, p95)] = warehouse.ask("first_token_p95_per_provider_and_hour")
    assert (provider, calls) == ("openai", 101)
    assert p95 == pytest.approx(95, abs=1.5)


async def test_why_a_request_failed_over(warehouse: Warehouse) -> None:
    proof, at = Proof("internal"), NOW_MS - HOUR_MS
    decisions = [
        Decision("r-1", "acme", 1, "first", "p", "q", "c", 1, at + 900, "best score", proof, chosen="model-1",
                 excluded=[Excluded("model-9", "eligible", "region")]),
        Decision("r-1", "acme", 2, "failover", "p", "q", "c", 1, at + 1600, "next best", proof, chosen="model-2"),
    ]  # fmt: skip
    failed = AttemptError("rate_limited", 429, "x", "too many requests")
    attempts = [
        attempt(1, "started"),
        attempt(1, "finished", result="error", error=failed, finished_at=at + 1500),
        attempt(2, "finished", result="ok", finished_at=at + 2500),
    ]
    outcome = Response(
        "r-1", "acme", "chat", "ok", at, at + 2600, RouteInfo("auto"), Timings(), model="model-2", attempts=2
    )
    await warehouse.put("decisions.v1", decisions)
    await warehouse.put("attempts.v1", attempts)
    await warehouse.put("responses.v1", [outcome])
    steps = [row[2:] for row in warehouse.ask("why_a_request_failed_over", tenant="acme", request_id="r-1")]
    assert steps == [
        ("decided", "model-1", "best score", "model-9: eligible, region"),
        ("started", "model-1", "", ""),
        ("finished", "model-1", "error", "rate_limited 429: too many requests"),
        ("decided", "model-2", "next best", ""),
        ("finished", "model-2", "ok", ""),
        ("outcome", "model-2", "ok", ""),
    ]
    assert warehouse.ask("why_a_request_failed_over", tenant="other", request_id="r-1") == []


async def test_what_retries_cost_and_a_line_that_was_booked_twice_counts_once(warehouse: Warehouse) -> None:
    lines = [cost(100, effective=False), cost(20, role="failover"), cost(20, role="failover"), cost(3, role="retry")]
    await warehouse.put("costs.v1", lines)
    assert warehouse.ask("what_retries_cost") == [("acme", 2, 23e-9, 100e-9, 123e-9)]


async def test_the_first_record_is_the_outcome(warehouse: Warehouse) -> None:
    late = Outcome("deadline_exceeded", "too late")
    first = Response("r-1", "acme", "chat", "error", NOW_MS, NOW_MS, RouteInfo(), Timings(), error=late)
    second = Response("r-1", "acme", "chat", "ok", NOW_MS, NOW_MS, RouteInfo(), Timings(), model="m")
    await warehouse.put("responses.v1", [first])
    await warehouse.put(
        "responses.v1", [second, Response("r-1", "b", "chat", "ok", NOW_MS, NOW_MS, RouteInfo(), Timings())]
    )
    sql = "SELECT tenant, outcome, error_code FROM outcomes WHERE request_id = {r:String} ORDER BY tenant"
    assert warehouse.rows(sql, r="r-1") == [("acme", "error", "deadline_exceeded"), ("b", "ok", None)]


async def test_spans_carry_the_names_of_opentelemetry(warehouse: Warehouse) -> None:
    done = attempt(1, "finished", result="ok", finish_reason="stop", first_event_ms=250, usage=Usage(11, 7, 3))
    await warehouse.put("attempts.v1", [attempt(1, "started"), done, done])
    names = ["span.name", "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
             "gen_ai.response.finish_reasons", "gen_ai.response.time_to_first_chunk", "gen_ai.usage.input_tokens",
             "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens", "error.type"]  # fmt: skip
    listed = ", ".join(f"`{name}`" for name in names)
    assert warehouse.rows(f"SELECT {listed} FROM otel_spans") == [
        ("chat model-1", "chat", "openai", "model-1", ["stop"], 0.25, 11, 7, 3, None)
    ]


async def test_rows_with_another_form_are_refused_and_none_of_them_stay(warehouse: Warehouse) -> None:
    table = table_of("attempts.v1")
    bare = datum(Attempt, encode(attempt(1, "started")))
    assert isinstance(bare, bytes)
    front = varint(0) + varint(1) + varint(30)
    with pytest.raises(Refused):
        await warehouse.store.insert(
            table, table.container.of([(front, bare), (front, bare[:-9])]), token="t", mark="m"
        )
    assert await warehouse.store.offsets(table, 0, 0, 9) == set()
    assert await warehouse.store.last_offset(table, 0) is None
    assert not await warehouse.store.is_inserting("m")


async def test_a_token_lets_a_batch_in_once(warehouse: Warehouse) -> None:
    table = table_of("costs.v1")
    bare = datum(Cost, encode(cost(5)))
    assert isinstance(bare, bytes)
    for _ in range(2):
        await warehouse.store.insert(table, table.container.of([(varint(0) + varint(4), bare)]), token="t", mark="m")
    assert warehouse.rows("SELECT count(), sum(cost_nano_usd) FROM costs") == [(1, 5)]
    assert warehouse.rows("SELECT sum(lines), sum(cost_nano_usd) FROM spend_by_hour") == [(1, 5)]
    assert await warehouse.store.last_offset(table, 0) == 4


async def test_a_rebuild_heals_a_rollup_and_leaves_other_partitions_alone(warehouse: Warehouse) -> None:
    await warehouse.put("costs.v1", [cost(5), cost(6, at=NOW_MS)])
    warehouse.rows("INSERT INTO spend_by_hour SELECT * FROM spend_by_hour")
    warehouse.rows("INSERT INTO spend_by_hour SELECT * REPLACE (7 AS kafka_partition) FROM spend_by_hour")
    for _ in range(2):
        await warehouse.store.rebuild(table_of("costs.v1"), 0, 0, 9)
    sql = "SELECT kafka_partition, sum(cost_nano_usd) FROM spend_by_hour GROUP BY kafka_partition ORDER BY kafka_partition"
    assert warehouse.rows(sql) == [(0, 11), (7, 22)]


async def test_migrations_run_once(clickhouse: ClickHouseAddress, clickhouse_client: Any) -> None:
    files = [path.name for path in sorted(MIGRATIONS.glob("*.sql"))]
    assert migrate(clickhouse, dry_run=True) == files
    assert clickhouse_client.query("SHOW TABLES").result_rows == []
    assert migrate(clickhouse) == files
    assert (migrate(clickhouse), migrate(clickhouse, dry_run=True)) == ([], [])
    assert {table.name for table in TABLES} <= {name for (name,) in clickhouse_client.query("SHOW TABLES").result_rows}


async def test_without_an_answer_it_is_unavailable(warehouse: Warehouse, clickhouse: ClickHouseAddress) -> None:
    nowhere = Store(ClickHouseAddress("127.0.0.1", 9))
    with pytest.raises(Unavailable):
        await nowhere.is_inserting("m")
    await nowhere.close()
    nothing = Store(ClickHouseAddress(clickhouse.host, clickhouse.port, "no_such_database"))
    with pytest.raises(Unavailable):
        await nothing.last_offset(table_of("costs.v1"), 0)
    await nothing.close()


async def test_what_people_think_of_each_model_is_their_last_word(warehouse: Warehouse) -> None:
    await warehouse.put("responses.v1", [answer("r-1", "small"), answer("r-2", "small"), answer("r-3", "large")])
    await warehouse.put("responses.v1", [answer("r-3", "late"), answer("r-1", "foreign", tenant="other")])
    said = [
        Feedback("r-1", "", "acme", "ann", NOW_MS, 0.0),
        Feedback("r-1", "", "acme", "ann", NOW_MS, 0.9, edit="so"),
        Feedback("r-2", "", "acme", "bob", NOW_MS, label="down"),
        Feedback("r-3", "", "acme", "", NOW_MS, 0.5, "up", "well"),
        Feedback("r-1", "", "other", "eve", NOW_MS, 0.0),
        Feedback("", "c-1", "acme", "ann", NOW_MS, 0.0),
    ]
    for one in said:
        await warehouse.put("feedback.v1", [one])
    assert warehouse.ask("feedback_by_model", tenant="acme") == [
        ("large", 1, 1, 0.5, 0, 0),
        ("small", 2, 2, 0.45, 1, 1),
    ]
    worst = warehouse.ask("worst_rated_requests", tenant="acme")
    assert [(row[0], row[3]) for row in worst] == [("r-2", 0.0), ("r-3", 0.5), ("r-1", 0.9)]
