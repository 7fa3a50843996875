"""Explain out of the tables alone: requests that the topics have forgotten, and the breakers of then."""

from collections.abc import AsyncIterator

import pytest_asyncio

from connectors.clickhouse.address import ClickHouseAddress
from connectors.clickhouse.archive import Archive
from connectors.clickhouse.migrate import migrate
from connectors.clickhouse.reader import Reader
from connectors.clickhouse.store import Store
from pipeline.operations.events import plain
from pipeline.operations.explain import explain
from schemas.events import Attempt, Breaker
from tests.integration.sql.house import House
from tests.integration.sql.test_archive import DAY_MS, MIDNIGHT_MS, Warehouse

THEN_MS = MIDNIGHT_MS - DAY_MS
"""Three days ago."""


@pytest_asyncio.fixture
async def reader(house: House) -> AsyncIterator[Reader]:
    address = ClickHouseAddress("127.0.0.1", house.said["port"])
    migrate(address)
    made = Reader(address)
    yield made
    await made.close()


async def test_a_request_of_three_days_ago_is_found_with_the_breakers_of_its_time(house: House, reader: Reader) -> None:
    store = Store(ClickHouseAddress("127.0.0.1", house.said["port"]))
    warehouse = Warehouse(store, Archive(reader, patience_s=30), reader)
    endpoint = f"sim/{warehouse.tenant}/us"
    steps = [
        ("closed", THEN_MS - 9_000),
        ("open", THEN_MS - 5_000),
        ("ramp", THEN_MS + 100),
        ("closed", THEN_MS + 9_000),
    ]
    breakers = [Breaker(endpoint, state, epoch, at, at) for epoch, (state, at) in enumerate(steps)]
    called = Attempt(
        "r-then", warehouse.tenant, 1, "a", "started", "primary", "sim", warehouse.tenant, "us", "w", THEN_MS
    )
    await warehouse.put("breakers.v1", [*breakers, Breaker(f"{endpoint}-2", "open", 1, THEN_MS, THEN_MS)])
    await warehouse.put("attempts.v1", [called])
    open_still = await explain(None, reader, "r-then", tenant=warehouse.tenant)
    assert open_still["breakers"] == [plain(breaker) for breaker in breakers]

    await warehouse.put("responses.v1", [warehouse.response("r-then", THEN_MS, took_ms=900)])
    found = await explain(None, reader, "r-then", tenant=warehouse.tenant)
    assert found["response"]["request_id"] == "r-then"
    assert found["breakers"] == [plain(breaker) for breaker in breakers[1:3]]
    assert (await explain(None, reader, "r-then", tenant="other"))["response"] is None
    await store.close()
