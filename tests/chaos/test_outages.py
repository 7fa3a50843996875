"""The broker goes away under load, and the whole platform is asked to end."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest

from tests.chaos.platform import KEY, Platform, Reader, platform, produce

pytestmark = pytest.mark.alone

AWAY_S = float(os.environ.get("MILLRACE_OUTAGE_S", "12"))
LAYOUT = os.environ.get("MILLRACE_OUTAGE_LAYOUT", "").split()
RATE = 20.0
BEFORE_S, AFTER_S = 2.0, 2.0


async def at(moment: float) -> None:
    """Pace the load: a timer, not a guess at how long something takes."""
    reached = asyncio.Event()
    asyncio.get_running_loop().call_at(moment, reached.set)
    await reached.wait()


def body(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "steady", "messages": [{"role": "user", "content": text}], **more}


def jvm(up: int) -> psutil.Process:
    """The running broker below `millrace up`."""
    return next(child for child in psutil.Process(up).children(recursive=True) if "kafka.Kafka" in child.cmdline())


class Load:
    """Records on `requests` at a steady rate until told to end."""

    def __init__(self) -> None:
        self.count = 0
        self.ends = asyncio.Event()

    async def records(self) -> AsyncIterator[dict[str, Any]]:
        start = asyncio.get_running_loop().time()
        while not self.ends.is_set():
            await at(start + self.count / RATE)
            text = f"number {self.count} [[sim: latency_ms=150]]"
            yield {"request_id": f"load-{self.count}", "tenant": "main", "model": "steady", "body": body(text)}
            self.count += 1


async def ask(client: httpx.AsyncClient, text: str) -> tuple[httpx.Response, float]:
    asked = time.monotonic()
    return await client.post("/v1/chat/completions", json=body(text)), time.monotonic() - asked


async def refusals(client: httpx.AsyncClient, seconds: float) -> list[float]:
    """One probe a second while the broker is away: each is refused, and says that it may come again."""
    start, waits = asyncio.get_running_loop().time(), []
    for number in range(int(seconds)):
        await at(start + number)
        answer, took = await ask(client, f"probe {number}")
        assert answer.status_code == 503, answer.text
        assert answer.json()["error"]["code"] == "broker_unavailable"
        assert answer.headers["x-should-retry"] == "true"
        waits.append(round(took, 3))
    return waits


async def until_answered(client: httpx.AsyncClient) -> float:
    """Seconds until a request over HTTP is answered, from the first try."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    while True:
        answer, _ = await ask(client, "after [[sim: latency_ms=1]]")
        if answer.status_code == 200:
            return loop.time() - start
        assert answer.status_code == 503, answer.text
        await at(loop.time() + 0.25)


def outcomes_of(reader: Reader) -> Counter[str]:
    loaded = [r for (_, name), r in reader.first.items() if name.startswith("load-")]
    return Counter(response.error.code if response.error else "ok" for response in loaded)


async def before(client: httpx.AsyncClient) -> list["asyncio.Task[tuple[httpx.Response, float]]"]:
    """Some load, and callers whose calls are in flight when the broker goes."""
    await at(asyncio.get_running_loop().time() + BEFORE_S)
    await until_answered(client)
    return [asyncio.create_task(ask(client, f"caller {n} [[sim: latency_ms=1500]]")) for n in range(4)]


async def after(
    running: Platform, client: httpx.AsyncClient, load: Load, producing: "asyncio.Task[int]"
) -> tuple[Reader, float]:
    """All works again; how long that took over HTTP, and everything that was answered."""
    back_s = await until_answered(client)
    await at(asyncio.get_running_loop().time() + AFTER_S)
    load.ends.set()
    sent = await producing
    reader = Reader()
    await reader.read(running.kafka, lambda r: outcomes_of(r).total() >= sent, 30)
    return reader, back_s


def check(folder: Path, running: Platform, reader: Reader, back: tuple[int, int], report: dict[str, Any]) -> None:
    """`back`: when the broker came back, and how much of the load had been asked by then."""
    back_ms, load_before = back
    calls = sum(running.simulator.world.journal.counters.values())
    asked_before = {f"load-{number}" for number in range(load_before)}
    late = [arrived for (_, name), arrived in reader.arrived_ms.items() if name in asked_before]
    report |= {
        "outcomes": dict(outcomes_of(reader)),
        "all_requests": len(reader.first),
        "calls": calls,
        "caught_up_s": (max(late) - back_ms) / 1000,
        "events": dict(Counter(line.get("event") for line in running.lines)),
    }
    (folder / "report.json").write_bytes(orjson.dumps(report))
    assert report["outcomes"] == {"ok": reader_total(reader)}, report
    assert calls <= len(reader.first), report
    assert report["back_s"] <= 15, report
    assert report["caught_up_s"] <= 15, report


def reader_total(reader: Reader) -> int:
    return outcomes_of(reader).total()


def http(running: Platform) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=running.gateway, headers={"authorization": f"Bearer {KEY}"}, timeout=70)


@pytest.mark.timeout(150)
async def test_a_broker_that_stands_still_loses_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path, *LAYOUT) as running, http(running) as client:
        load, broker = Load(), jvm(running.process.pid)
        producing = asyncio.create_task(produce(running.kafka, load.records()))
        callers = await before(client)
        await running.simulator.world.journal.wait(lambda e: b"caller" in e.body, count=4)
        broker.suspend()
        try:
            waits = await refusals(client, AWAY_S)
        finally:
            broker.resume()
        back = int(time.time() * 1000), load.count
        reader, back_s = await after(running, client, load, producing)
        answers = [(await caller)[0].status_code for caller in callers]
        check(tmp_path, running, reader, back, {"refused_after_s": waits, "back_s": back_s, "callers": answers})
        assert answers == [200] * 4
        assert max(waits) < 1.5, waits  # 1 s, and a machine that does other things
        assert sorted(waits)[len(waits) // 2] < 1, waits


@pytest.mark.timeout(150)
async def test_a_killed_broker_is_started_again_and_loses_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path) as running, http(running) as client:
        load, broker = Load(), jvm(running.process.pid)
        producing = asyncio.create_task(produce(running.kafka, load.records()))
        callers = await before(client)
        await running.simulator.world.journal.wait(lambda e: b"caller" in e.body, count=4)
        broker.send_signal(signal.SIGKILL)
        back = int(time.time() * 1000), load.count
        reader, back_s = await after(running, client, load, producing)
        answers = [(await caller)[0].status_code for caller in callers]
        check(tmp_path, running, reader, back, {"back_s": back_s, "callers": answers})
        assert answers == [200] * 4


@pytest.mark.timeout(90)
async def test_sigterm_ends_everything_in_order(tmp_path: Path) -> None:
    async with platform(tmp_path) as running, http(running) as client:
        callers = [asyncio.create_task(ask(client, f"caller {n} [[sim: latency_ms=1000]]")) for n in range(8)]
        await running.simulator.world.journal.wait(lambda e: b"caller" in e.body, count=8)
        family = psutil.Process(running.process.pid).children(recursive=True)
        assert len(family) >= 3
        asked = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), 15) == 0
        took = time.monotonic() - asked
        await asyncio.gather(*callers, return_exceptions=True)
        left = [child.pid for child in family if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
        assert left == []
        (tmp_path / "report.json").write_bytes(orjson.dumps({"took_s": took}))
        assert took <= 10
