"""Processes are killed under load: nothing is lost, nothing is answered twice, every extra call is in the books."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.chaos.platform import Platform, Reader, platform, produce

REQUESTS = int(os.environ.get("MILLRACE_KILL_REQUESTS", "1200"))
RATE = float(os.environ.get("MILLRACE_KILL_RATE", "60"))
KILLS = int(os.environ.get("MILLRACE_KILL_KILLS", "5"))


async def requests(count: int, rate: float) -> AsyncIterator[dict[str, Any]]:
    start = asyncio.get_running_loop().time()
    for number in range(count):
        await _at(start + number / rate)
        text = f"number {number} [[sim: latency_ms=150]]"
        body = {"model": "steady", "messages": [{"role": "user", "content": text}]}
        yield {"request_id": f"kill-{number}", "tenant": ("main", "other")[number % 2], "model": "steady", "body": body}


async def _at(moment: float) -> None:
    """Pace the load: a timer, not a guess at how long something takes."""
    reached = asyncio.Event()
    asyncio.get_running_loop().call_at(moment, reached.set)
    await reached.wait()


async def kill_at_random(running: Platform, kills: int, seconds: float) -> list[str]:
    draw, killed = random.Random(7), []
    start = asyncio.get_running_loop().time()
    for number in range(kills):
        await _at(start + seconds * (number + 0.5) / kills)
        name = draw.choice(sorted(running.children))
        before = running.children[name]
        running.kill(name)
        killed.append(name)
        await running.until(lambda name=name, before=before: running.children[name] != before, 60)  # type: ignore[misc]
    return killed


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "layout", [(), ("--split", "--scale", "route=2", "--scale", "call=2")], ids=["default", "split"]
)
async def test_killed_processes_lose_nothing_and_answer_once(tmp_path: Path, layout: tuple[str, ...]) -> None:
    async with platform(tmp_path, *layout) as running:
        reader = Reader()
        reading = asyncio.create_task(reader.read(running.kafka, lambda r: len(r.first) >= REQUESTS, 400))
        killing = asyncio.create_task(kill_at_random(running, KILLS, REQUESTS / RATE))
        await produce(running.kafka, requests(REQUESTS, RATE))
        killed = await killing
        await reading

        outcomes = Counter(response.error.code if response.error else "ok" for response in reader.first.values())
        started = Counter(attempt.attempt_id for attempt in reader.attempts if attempt.phase == "started")
        calls = sum(running.simulator.world.journal.counters.values())
        lost = {
            a.attempt_id for a in reader.attempts if a.phase == "finished" and (a.orphaned or a.result == "unknown")
        }
        waits_ms = sorted(reader.arrived_ms[key] - r.accepted_at for key, r in reader.first.items())
        report = {
            "wait_p99_ms": waits_ms[int(len(waits_ms) * 0.99)],
            "killed": killed,
            "outcomes": dict(outcomes),
            "calls": calls,
            "lost_calls": len(lost),
        }
        (tmp_path / "report.json").write_bytes(orjson.dumps(report))
        assert outcomes == {"ok": REQUESTS}, report
        assert all(count == 1 for count in started.values()), report
        assert calls <= REQUESTS + len(lost), report
