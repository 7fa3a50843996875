"""Usage, old outcomes and the past for replays on the embedded ClickHouse: the rules of the contract, row by row."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from connectors.clickhouse.address import ClickHouseAddress
from connectors.clickhouse.archive import Archive
from connectors.clickhouse.migrate import migrate
from connectors.clickhouse.past import PastLedger, PastRequests
from connectors.clickhouse.reader import Reader
from connectors.clickhouse.splice import varint
from connectors.clickhouse.store import Store, Unavailable
from connectors.clickhouse.tables import table_of
from schemas.codec import datum, encode
from schemas.completion import Usage
from schemas.events import Attempt, Cost, Enriched, Features, Ref, Response, RouteInfo, Timings
from schemas.usage import UsageQuestion, UsageRow
from tests.integration.sql.house import House

DAY_MS = 86_400_000
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
MIDNIGHT_MS = int(MIDNIGHT.timestamp() * 1000)


class Warehouse:
    """Tables of a tenant of the test's own, filled as the sink does it."""

    def __init__(self, store: Store, archive: Archive, reader: Reader) -> None:
        self._store, self.archive, self.reader = store, archive, reader
        self.tenant = f"t-{uuid.uuid4().hex[:8]}"
        self._offset = 0

    async def put(self, topic: str, events: Sequence[Any]) -> None:
        table, rows = table_of(topic), []
        for event in events:
            bare = datum(type(event), encode(event))
            assert isinstance(bare, bytes)
            rows.append((varint(0) + varint(self._offset) + (varint(30) if table.keeps_by_tenant else b""), bare))
            self._offset += 1
        await self._store.insert(table, table.container.of(rows), token=uuid.uuid4().hex, mark="test")

    async def usage(self, by: str = "model", **more: Any) -> list[UsageRow]:
        return await self.archive.usage(UsageQuestion(by, self.tenant, **more))

    def response(self, request_id: str, accepted_at: int = MIDNIGHT_MS, **changes: Any) -> Response:
        more: dict[str, Any] = {"tenant": self.tenant, "outcome": "ok", "model": "m-1", **changes}
        tenant, outcome = more.pop("tenant"), more.pop("outcome")
        took_ms = more.pop("took_ms", 900)
        return Response(
            request_id, tenant, "chat", outcome, accepted_at, accepted_at + took_ms, RouteInfo(), Timings(), **more
        )

    def cost(self, cost_id: str, nano_usd: int, accepted_at: int | None = MIDNIGHT_MS, **changes: Any) -> Cost:
        fixed = {
            "cost_id": cost_id, "request_id": "r", "attempt": 1, "attempt_id": "a", "tenant": self.tenant, "user": None,
            "key_id": None, "tags": {}, "provider": "sim", "model": "m-1", "role": "primary", "usage": Usage(10, 5),
            "cost_nano_usd": nano_usd, "price_version": "1", "estimated": False, "effective": True, "kind": "charge",
            "at": (accepted_at or MIDNIGHT_MS) + 900, "accepted_at": accepted_at,
        }  # fmt: skip
        return Cost(**{**fixed, **changes})  # type: ignore[arg-type]

    def enriched(self, request_id: str) -> Enriched:
        return Enriched(
            request_id, self.tenant, self.tenant, "auto", "chat", False, "interactive", MIDNIGHT_MS, MIDNIGHT_MS + 9_000,
            Features(1, "en", "chat", 0.1, "low", "internal"),
        )  # fmt: skip


@pytest_asyncio.fixture
async def warehouse(house: House) -> AsyncIterator[Warehouse]:
    address = ClickHouseAddress("127.0.0.1", house.said["port"])
    migrate(address)
    reader = Reader(address)
    store, archive = Store(address), Archive(reader, patience_s=30)
    yield Warehouse(store, archive, reader)
    await store.close()
    await archive.close()


async def test_a_request_falls_to_the_group_of_its_first_outcome_and_costs_to_those_of_their_calls(
    warehouse: Warehouse,
) -> None:
    outcomes = [
        warehouse.response("r-1", model="m-2"),
        warehouse.response("r-1", model="m-1"),
        warehouse.response("r-2"),
        warehouse.response("r-3", outcome="error", model=None),
        warehouse.response("r-2", tenant=f"{warehouse.tenant}-other", model="m-9"),
    ]
    lines = [
        warehouse.cost("c-1", 2**53, role="primary"),
        warehouse.cost("c-2", 1, role="failover", model="m-2"),
        warehouse.cost("c-1", 2**53),
        warehouse.cost("c-3", 1, role="retry", effective=False),
        warehouse.cost("c-4", 7, tenant=f"{warehouse.tenant}-other"),
    ]
    await warehouse.put("responses.v1", outcomes)
    await warehouse.put("costs.v1", lines)
    assert await warehouse.usage() == [
        UsageRow("m-1", 1, 20, 10, 2**53 + 1),
        UsageRow("m-2", 1, 10, 5, 1),
        UsageRow(None, 1, 0, 0, 0),
    ]


async def test_what_nobody_asked_for_is_shown_by_role_only(warehouse: Warehouse) -> None:
    roles = ("primary", "retry", "failover", "continuation", "shadow", "judge", "replay", "probe")
    await warehouse.put("costs.v1", [warehouse.cost(f"c-{role}", 10**n, role=role) for n, role in enumerate(roles)])
    await warehouse.put("responses.v1", [warehouse.response("r-1"), warehouse.response("r-2", role="replay")])
    assert await warehouse.usage() == [UsageRow("m-1", 1, 40, 20, 1111)]
    by_role = {row.by: (row.requests, row.cost_nano_usd) for row in await warehouse.usage("role")}
    assert by_role == {role: (int(role in ("primary", "replay")), 10**n) for n, role in enumerate(roles)}


async def test_corrections_count_with_their_sign(warehouse: Warehouse) -> None:
    lines = [warehouse.cost("c-1", 100), warehouse.cost("c-2", -30, kind="adjust", usage=Usage(), effective=False)]
    await warehouse.put("costs.v1", lines)
    assert await warehouse.usage() == [UsageRow("m-1", 0, 10, 5, 70)]


async def test_ranges_and_days_are_those_of_the_request_not_of_its_end(warehouse: Warehouse) -> None:
    last = MIDNIGHT_MS - 1
    outcomes = [
        warehouse.response("late", last, took_ms=3 * 3_600_000),
        warehouse.response("late", last, took_ms=1),
        warehouse.response("first", MIDNIGHT_MS),
        warehouse.response("next", MIDNIGHT_MS + DAY_MS),
    ]
    lines = [
        warehouse.cost("c-late", 1, last, at=last + 3 * 3_600_000),
        warehouse.cost("c-first", 20, MIDNIGHT_MS, at=MIDNIGHT_MS + DAY_MS + 5),
        warehouse.cost("c-next", 300, MIDNIGHT_MS + DAY_MS),
        warehouse.cost("c-old", 4000, None),
    ]
    await warehouse.put("responses.v1", outcomes)
    await warehouse.put("costs.v1", lines)
    found = await warehouse.usage("day", from_ms=MIDNIGHT_MS, to_ms=MIDNIGHT_MS + DAY_MS)
    assert found == [UsageRow(MIDNIGHT.date().isoformat(), 1, 20, 10, 4020)]
    before = await warehouse.usage("day", to_ms=MIDNIGHT_MS)
    assert before == [UsageRow((MIDNIGHT - timedelta(days=1)).date().isoformat(), 1, 10, 5, 1)]
    everything = await warehouse.usage("day")
    assert [row.cost_nano_usd for row in everything] == [1, 4020, 300]
    assert await warehouse.usage("day", from_ms=MIDNIGHT_MS, to_ms=MIDNIGHT_MS) == []


async def test_users_and_tags_are_groups_and_who_has_none_comes_last(warehouse: Warehouse) -> None:
    odd = "a'b\\c\n{x:String}"
    await warehouse.put(
        "responses.v1",
        [
            warehouse.response("r-1", user="u-1", tags={"team": odd}),
            warehouse.response("r-2", user="u-2", tags={"team": "", "env": "x"}),
            warehouse.response("r-3"),
        ],
    )
    await warehouse.put(
        "costs.v1", [warehouse.cost("c-1", 5, user="u-1", tags={"team": odd}), warehouse.cost("c-2", 6)]
    )
    assert [(row.by, row.requests, row.cost_nano_usd) for row in await warehouse.usage("user")] == [
        ("u-1", 1, 5), ("u-2", 1, 0), (None, 1, 6),
    ]  # fmt: skip
    assert [(row.by, row.requests, row.cost_nano_usd) for row in await warehouse.usage("tag:team")] == [
        ("", 1, 0), (odd, 1, 5), (None, 1, 6),
    ]  # fmt: skip
    assert [row.by for row in await warehouse.usage(f"tag:{odd}")] == [None]


async def test_all_tenants_together_are_each_of_them(warehouse: Warehouse) -> None:
    await warehouse.put(
        "costs.v1", [warehouse.cost("c-1", 5), warehouse.cost("c-1", 6, tenant=f"{warehouse.tenant}-b")]
    )
    found = {row.by: row.cost_nano_usd for row in await warehouse.archive.usage(UsageQuestion("tenant"))}
    assert (found[warehouse.tenant], found[f"{warehouse.tenant}-b"]) == (5, 6)


async def test_an_outcome_is_found_where_it_stands_first_and_for_its_tenant(warehouse: Warehouse) -> None:
    await warehouse.put("enriched.v1", [warehouse.enriched("open"), warehouse.enriched("done")])
    await warehouse.put("responses.v1", [warehouse.response("done"), warehouse.response("done")])
    assert await warehouse.archive.outcome(warehouse.tenant, "done") == (0, 2)
    assert await warehouse.archive.outcome(warehouse.tenant, "open") is None
    for tenant, request_id in ((f"{warehouse.tenant}-other", "done"), (warehouse.tenant, "' OR 1=1 --")):
        with pytest.raises(KeyError):
            await warehouse.archive.outcome(tenant, request_id)


async def test_a_few_run_at_a_time_and_nobody_waits_for_ever() -> None:
    class Slow(Reader):
        running = most = 0

        async def rows(self, sql: str, **parameters: str | int) -> list[dict[str, Any]]:
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await asyncio.Event().wait()
            finally:
                self.running -= 1
            return []

    reader = Slow(ClickHouseAddress("127.0.0.1", 9))
    archive = Archive(reader, patience_s=0.05, most=2)
    answers = await asyncio.gather(*(archive.usage(UsageQuestion()) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 5
    assert (reader.most, reader.running) == (2, 0)
    await archive.close()


async def test_without_an_answer_it_is_unavailable() -> None:
    archive = Archive(Reader(ClickHouseAddress("127.0.0.1", 9)), patience_s=5)
    with pytest.raises(Unavailable):
        await archive.outcome("acme", "r")
    await archive.close()


async def test_an_attempt_is_booked_as_its_charge_says_with_the_sum_of_all_its_lines_each_once(
    warehouse: Warehouse,
) -> None:
    usage = Usage(100, 20, 30, 40, 5, False, 10, "flex")
    lines = [
        warehouse.cost("c-1", 2**53, attempt_id="a-1", usage=usage, tags={"team": "x"}, user="u"),
        warehouse.cost("c-1", 2**53, attempt_id="a-1", usage=usage),
        warehouse.cost("c-2", -7, attempt_id="a-1", kind="adjust", usage=Usage(), effective=False, price_version="2"),
        warehouse.cost("c-3", 5, attempt_id="a-2", usage=Usage(1, 1, estimated=True), role="replay"),
        warehouse.cost("c-4", 9, attempt_id="a-3", accepted_at=MIDNIGHT_MS + 1_000),
        warehouse.cost("c-5", 9, attempt_id="a-4", accepted_at=None),
        warehouse.cost("c-6", 9, attempt_id="a-5", kind="adjust"),
        warehouse.cost("c-7", 9, attempt_id="a-6", tenant=f"{warehouse.tenant}-other"),
    ]
    await warehouse.put("costs.v1", lines)
    ledger = PastLedger(warehouse.reader, tenant=warehouse.tenant)
    span = (MIDNIGHT_MS, MIDNIGHT_MS + 1_000)
    assert await ledger.extent(*span) == (MIDNIGHT_MS, MIDNIGHT_MS + 900, 6)
    assert await ledger.steps(*span, 600) == [(MIDNIGHT_MS, 5), (MIDNIGHT_MS + 600, 1)]
    found = {line.attempt_id: line for line in await ledger.booked(*span, 0, 1)}
    assert found.keys() == {"a-1", "a-2", "a-4"}
    first = found["a-1"]
    assert (first.cost_nano_usd, first.adjust_ids, first.price_version) == (2**53 - 7, ["c-2"], "1")
    assert Usage(
        first.input_tokens, first.output_tokens, first.cache_read_tokens, first.cache_write_tokens,
        first.reasoning_tokens, first.is_counted, first.cache_write_1h_tokens, first.service_tier,
    ) == usage  # fmt: skip
    assert (first.user, first.tags, first.at, first.accepted_at) == ("u", {"team": "x"}, MIDNIGHT_MS + 900, MIDNIGHT_MS)
    assert (found["a-2"].is_counted, found["a-2"].role, found["a-2"].tags) == (True, "replay", {})
    assert (found["a-4"].accepted_at, found["a-4"].at) == (None, MIDNIGHT_MS + 900)
    parts = [line.attempt_id for part in range(3) for line in await ledger.booked(*span, part, 3)]
    assert sorted(parts) == sorted(found)


async def test_what_a_vendor_said_later_stands_in_the_attempts(warehouse: Warehouse) -> None:
    def ended(attempt_id: str, usage: Usage | None, phase: str = "finished") -> Attempt:
        return Attempt(
            "r", warehouse.tenant, 1, attempt_id, phase, "primary", "sim", "m-1", "us", "w", MIDNIGHT_MS, usage=usage
        )

    first, second, third = f"{warehouse.tenant}-1", f"{warehouse.tenant}-2", f"{warehouse.tenant}-3"
    said = Usage(100, 20, 30, 40, 5, False, 10, "flex")
    events = [
        ended(first, None, "started"), ended(first, Usage(1, 1, estimated=True)), ended(first, said), ended(first, Usage(7)),
        ended(second, Usage(2, 2, estimated=True)),
    ]  # fmt: skip
    await warehouse.put("attempts.v1", events)
    ledger = PastLedger(warehouse.reader, tenant=warehouse.tenant)
    assert await ledger.usage([first, second, third]) == {first: said}
    assert await ledger.usage([]) == {}


async def test_past_requests_come_in_order_with_what_a_replay_needs(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pages smaller than what shares a time; of callers only; with `kept_from` only what Kafka has no more."""
    monkeypatch.setattr("connectors.clickhouse.past._PAGE", 2)
    large = replace(warehouse.enriched("r-0"), body_ref=Ref("llm.requests.v1", 1, 17), max_tokens=50, tags={"a": "b"})
    asked = [
        large,
        *(replace(warehouse.enriched(f"r-{number}"), body=b'{"n":"\xc3\xa9"}') for number in range(1, 6)),
        replace(warehouse.enriched("r-6"), role="replay"),
        replace(warehouse.enriched("r-7"), accepted_at=MIDNIGHT_MS + 10),
        replace(warehouse.enriched("r-8"), tenant=f"{warehouse.tenant}-other"),
    ]
    await warehouse.put("enriched.v1", asked)

    async def found(kept_from: dict[int, int] | None) -> list[Enriched]:
        past = PastRequests(
            warehouse.reader, from_ms=MIDNIGHT_MS, to_ms=MIDNIGHT_MS + 10, tenant=warehouse.tenant, kept_from=kept_from
        )
        requests = [request async for request in past]
        assert len(requests) == await past.count()
        return requests

    whole = await found(None)
    assert [request.request_id for request in whole] == [f"r-{number}" for number in range(6)]
    assert (whole[0].body, whole[0].body_ref, whole[0].max_tokens, whole[0].tags) == (
        None,
        large.body_ref,
        50,
        {"a": "b"},
    )
    assert whole[1] == replace(asked[1], fingerprint=whole[1].fingerprint)
    assert [request.request_id for request in await found({0: 3})] == ["r-0", "r-1", "r-2"]
    assert await found({}) == await found({0: 0}) == []
