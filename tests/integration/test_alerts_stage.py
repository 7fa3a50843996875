"""The stage `alerts` on a real broker: what it measures, and that of several instances one speaks."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from connectors.admin.metrics import Metrics
from connectors.kafka.admin import ensure_topics
from connectors.kafka.producers import Producers
from connectors.kafka.scan import Scanner, scan
from pipeline.agents import observing
from pipeline.agents.alerts import Alerts
from pipeline.catalog_file import parse
from pipeline.emit import Emit
from pipeline.tools import Tools
from schemas.codec import decode
from schemas.events import Alert
from schemas.topics import named_topics
from tests.fakes.webhooks import SECRET, Receiver, receiver
from tests.integration.sink_house import until

CATALOG = """
version: 1
providers:
  p: {adapter: openai, base_url: "http://127.0.0.1:9/v1", region: us, allow_private_egress: true}
models:
  gpt-4.1-mini: {provider: p}
routes:
  auto: {candidates: ["*"]}
tenants:
  t: {routes: ["*"]}
alerts:
  - {name: dead, when: dead_letters_per_min > 2, to: ["webhook:HOOK"]}
  - {name: behind, when: consumer_lag >= 3}
  - {name: stale, when: freshness_s > 2}
"""


@dataclass
class Stage:
    """One instance, as bootstrap makes it."""

    tools: Tools
    alerts: Alerts

    def metrics(self) -> str:
        self.alerts.show()
        return self.tools.metrics.render().decode()

    async def stop(self) -> None:
        await self.alerts.stop()
        await self.tools.producers.stop()
        await self.tools.scanner.stop()


@dataclass
class World:
    broker: str
    prefix: str
    hook: Receiver

    async def start(self, instance: int) -> Stage:
        env = {"HOOK": self.hook.url, "HOOK_SECRET": SECRET, "HOOK_ALLOW_PRIVATE": "true"}
        tools = Tools(
            self.broker, self.prefix, 1, b"", f"{instance}-a", instance, parse(CATALOG, env), Producers(self.broker),
            Scanner(self.broker), Metrics(),
        )  # fmt: skip
        await tools.producers.start()
        await tools.scanner.start()
        stage = Stage(tools, Alerts(tools, Emit(tools)))
        await stage.alerts.start()
        return stage

    async def records(self, name: str) -> list[Alert]:
        """Of a rule, once there are any."""
        async with asyncio.timeout(60):
            while True:
                found = [
                    decode(Alert, record.value) async for record in scan(self.broker, self.prefix + "alerts.v1", 0)
                ]
                if of_rule := [alert for alert in found if isinstance(alert, Alert) and alert.name == name]:
                    return of_rule
                await asyncio.sleep(0.2)


@pytest_asyncio.fixture(loop_scope="session")
async def world(broker: str) -> AsyncIterator[World]:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    await ensure_topics(broker, named_topics(prefix, 1, ["p"], [1]))
    async with receiver() as hook:
        yield World(broker, prefix, hook)


async def send(tools: Tools, topic: str, count: int) -> None:
    for _ in range(count):
        await tools.producers.deliver(tools.topic(topic), b"x", key=b"k")


@pytest.mark.asyncio(loop_scope="session")
async def test_one_of_two_instances_speaks_and_the_other_goes_on_where_it_stopped(world: World) -> None:
    stages = [await world.start(0)]
    try:
        await until(stages[0].alerts.is_ready)
        stages.append(await world.start(1))
        await until(lambda: [stage.alerts.is_ready() for stage in stages].count(True) == 1)
        await send(stages[0].tools, "dead-letters.v1", 3)
        await world.hook.until(lambda: bool(world.hook.got))
        (got,) = world.hook.got
        assert got.is_signed
        assert (got.event["name"], got.event["labels"], got.event["value"]) == ("dead", {}, 3.0)

        stages.sort(key=lambda stage: stage.alerts.is_ready())
        await stages.pop().stop()
        await until(stages[0].alerts.is_ready)
        await until(lambda: 'alerts_firing{name="dead"} 1.0' in stages[0].metrics())
        (record,) = await world.records("dead")
        assert (len(world.hook.got), record.alert_id) == (1, got.event["alert_id"])
    finally:
        for stage in stages:
            await stage.stop()


@pytest.mark.asyncio(loop_scope="session")
async def test_lag_and_freshness_are_read_off_the_commits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "OFFSETS_EVERY_S", 0.3)
    stage = await world.start(0)
    try:
        await send(stage.tools, "costs.v1", 5)
        place = TopicPartition(world.prefix + "costs.v1", 0)
        consumer = AIOKafkaConsumer(bootstrap_servers=world.broker, group_id="millrace-sink", enable_auto_commit=False)
        await consumer.start()
        consumer.assign([place])
        await consumer.commit({place: 1})
        began = time.time()
        (behind,) = await world.records("behind")
        assert (behind.labels, behind.value) == ({"group": "millrace-sink", "topic": "costs.v1"}, 4.0)
        (stale,) = await world.records("stale")
        assert stale.labels == {"topic": "costs.v1"}
        assert 2.0 < stale.value <= time.time() - began + 10
        await consumer.stop()
    finally:
        await stage.stop()
