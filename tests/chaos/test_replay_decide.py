"""Decisions that were made under kills, breaker trips and reloads are made again: every one comes out as it was logged."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.clickhouse.address import parse_dsn
from connectors.clickhouse.reader import Reader as Rows
from pipeline.operations.running import running_in
from tests.chaos.platform import Platform, Reader, platform, produce

REQUESTS = int(os.environ.get("MILLRACE_REPLAY_REQUESTS", "360"))
RATE = float(os.environ.get("MILLRACE_REPLAY_RATE", "40"))
KILLS = int(os.environ.get("MILLRACE_REPLAY_KILLS", "1"))
RELOADS = int(os.environ.get("MILLRACE_REPLAY_RELOADS", "3"))
FIRST = "gpt-4.1-mini"
CATALOG = """
version: 1
providers:
  sim:   {{adapter: openai, base_url: "{url}", api_key_env: TEST_SIM_KEY, region: us, allow_private_egress: true}}
  other: {{adapter: openai-compatible, base_url: "{url}", api_key_env: TEST_SIM_KEY, region: us, allow_private_egress: true,
           max_in_flight: 6}}
models:
  gpt-4.1-mini: {{provider: sim, quality_prior: 0.8}}
  gpt-4.1-nano: {{provider: other, quality_prior: 0.7, price: {{input_per_mtok_usd: 0.1, output_per_mtok_usd: 0.4}}}}
routes:
  auto: {{candidates: ["*"], deadline_s: 60, objective: {{lambda_cost: {lambda_cost}}}}}
  split: {{candidates: ["*"], deadline_s: 60}}
  steady: {{order: [gpt-4.1-mini, gpt-4.1-nano], deadline_s: 60}}
experiments:
  - {{name: which, route: split, arms: {{a: {{candidates: [gpt-4.1-mini, gpt-4.1-nano]}}, b: {{candidates: [gpt-4.1-nano]}}}}}}
tenants:
  main:  {{keys_env: TEST_MAIN_KEYS, routes: ["*"]}}
  other: {{keys_env: TEST_OTHER_KEYS, routes: ["*"]}}
breaker: {{consecutive_failures: 3, open_s: 1}}
retry: {{budget_ratio: 1.0}}
"""


async def records() -> AsyncIterator[dict[str, Any]]:
    """Bursts of failures trip the breaker of the first model; batch work competes for places."""
    draw, loop = random.Random(5), asyncio.get_running_loop()
    start = loop.time()
    for number in range(REQUESTS):
        await asyncio.sleep(max(0.0, start + number / RATE - loop.time()))
        fails = number % 90 < 12
        wish = f"[[sim: fault=provider_fault model={FIRST}]]" if fails else "[[sim: latency_ms=80]]"
        model = draw.choice(("auto", "split", "steady", "steady"))
        yield {
            "request_id": f"again-{number}", "tenant": ("main", "other")[number % 2], "model": model,
            "user": f"u-{draw.randint(0, 50)}", "priority": "batch" if draw.random() < 0.2 else "interactive",
            "body": {"model": model, "messages": [{"role": "user", "content": f"number {number} {wish}"}]},
        }  # fmt: skip


async def disturb(running: Platform, catalog: Path) -> None:
    """Reloads and kills in turn, at even distances."""
    text = CATALOG.format(url=running.simulator.base_url, lambda_cost="LAMBDA")
    steps = ["reload", "kill"] * min(KILLS, RELOADS)
    steps += ["reload"] * (RELOADS - KILLS) + ["kill"] * (KILLS - RELOADS)
    for number, step in enumerate(steps):
        await asyncio.sleep(REQUESTS / RATE / (len(steps) + 1))
        name = next(each for each in running.children if each.startswith("route+call"))
        before = running.children[name]
        if step == "reload":
            await asyncio.to_thread(catalog.write_text, text.replace("LAMBDA", ("0.1", "50.0")[number // 2 % 2]))
            os.kill(before, signal.SIGHUP)
        else:
            running.kill(name)
            await running.until(lambda name=name, before=before: running.children[name] != before)  # type: ignore[misc]


async def replayed(folder: Path, since_ms: int, *options: str) -> dict[str, Any]:
    """The command, as an operator gives it."""
    start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (since_ms / 1000 - 1, time.time() + 2))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline", "replay", "--mode", "decide", "--from", start, "--to", end,
        "--data-dir", str(folder / "data"), "--json", *options,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    document: dict[str, Any] = orjson.loads(out)
    return document


async def rows_of(folder: Path, decisions: int) -> None:
    """Until ClickHouse has as many as Kafka."""
    running = running_in(folder / "data")
    assert running is not None
    assert running.clickhouse is not None
    reader = Rows(parse_dsn(running.clickhouse))
    try:
        async with asyncio.timeout(60):
            while await _stored(reader) < decisions:  # noqa: ASYNC110  the sink is another process
                await asyncio.sleep(0.2)
    finally:
        await reader.close()


async def _stored(reader: Rows) -> int:
    return int((await reader.rows("SELECT count() AS stored FROM decisions WHERE tenant != '_platform'"))[0]["stored"])


@pytest.mark.timeout(3_600)
async def test_what_was_decided_under_kills_trips_and_reloads_is_decided_again(tmp_path: Path) -> None:
    began_ms = time.time_ns() // 1_000_000

    async with platform(
        tmp_path, catalog=lambda simulator: CATALOG.format(url=simulator.base_url, lambda_cost=50.0)
    ) as running:
        reader = Reader()
        reading = asyncio.create_task(reader.read(running.kafka, lambda r: len(r.first) >= REQUESTS, 3_000))
        disturbing = asyncio.create_task(disturb(running, tmp_path / "catalog.yaml"))
        await produce(running.kafka, records())
        await disturbing
        await reading

        page = tmp_path / "replay.html"
        document = await replayed(tmp_path, began_ms, "--html", str(page))
        (tmp_path / "report.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        assert document["left_out"] == {}, document
        assert document["identical"] == document["decisions"] >= REQUESTS, document["examples"]
        assert document["changed"] == 0
        assert len(document["policy_logged"]) == 2
        assert document["held_back"]["logged"] > 0
        assert document["expected_quality"]["outcomes"] > REQUESTS / 2
        assert "Every decision comes out as it was logged." in page.read_text(encoding="utf-8")

        await rows_of(tmp_path, document["decisions"])
        stored = await replayed(tmp_path, began_ms, "--source", "clickhouse")
        figures = (
            "decisions",
            "identical",
            "changed",
            "cost_nano_usd",
            "by_model",
            "refused",
            "held_back",
            "policy_logged",
        )
        assert {name: stored[name] for name in figures} == {name: document[name] for name in figures}
        assert stored["sources"] == ["clickhouse"]
