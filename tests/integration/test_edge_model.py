"""The real model at the edge, through the driver and the adapter that the platform uses."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest
import pytest_asyncio

from connectors.edge import MODEL, installed
from connectors.local_broker.ports import random_free_port
from connectors.providers import Delta, ProviderCall
from connectors.providers.driver import CallResult, Driver, ProviderEndpoint
from schemas.completion import Completion

pytestmark = pytest.mark.skipif(not installed(), reason="needs a small model and its runtime: run `make edge`")

PATIENCE_S = 90.0


class Edge:
    """`millrace edge` in a process of its own."""

    def __init__(self) -> None:
        self.port = random_free_port()
        self.process = self.start()
        assert self.process.stdout is not None
        self.ready: dict[str, Any] = json.loads(self.process.stdout.readline())

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", "edge", "--port", str(self.port)], stdout=subprocess.PIPE, text=True
        )

    def cpu_s(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    running = Edge()
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest_asyncio.fixture
async def driver(edge: Edge) -> AsyncIterator[Driver]:
    address = f"http://127.0.0.1:{edge.port}/v1"
    made = Driver(ProviderEndpoint("edge", address, "openai-compatible", allow_private_egress=True))
    yield made
    await made.aclose()


def _call(text: str = "Name three rivers.", *, stream: bool = False, max_tokens: int = 24, **said: Any) -> ProviderCall:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "temperature": 0, "seed": 1, **said}
    return ProviderCall(body, MODEL, stream, max_tokens)


async def _ask(driver: Driver, call: ProviderCall, **said: Any) -> CallResult:
    return await driver.complete(call, model=MODEL, timeout_s=PATIENCE_S, **said)


def _answer(result: CallResult) -> Completion:
    assert result.error is None
    assert isinstance(result.completion, Completion)
    return result.completion


def test_its_ready_line_says_who_it_is(edge: Edge) -> None:
    expected = {"event": "ready", "stage": "edge", "pid": edge.process.pid, "port": edge.port, "model": MODEL}
    assert edge.ready == expected
    assert psutil.Process(edge.process.pid).memory_info().rss < 700 * 1024**2


async def test_it_answers_and_counts_its_tokens(driver: Driver) -> None:
    answer = _answer(await _ask(driver, _call()))
    assert answer.choices[0].text.strip()
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.estimated, answer.usage.output_tokens) == (False, 24)
    assert answer.usage.input_tokens > 5


async def test_a_stream_ends_in_the_same_answer(driver: Driver) -> None:
    pieces: list[Delta] = []
    whole = _answer(await _ask(driver, _call()))
    streamed = _answer(await _ask(driver, _call(stream=True), on_delta=pieces.extend))
    assert "".join(piece.delta.get("content") or "" for piece in pieces) == streamed.choices[0].text
    assert streamed.choices[0].finish_reason == whole.choices[0].finish_reason
    assert streamed.choices[0].text == whole.choices[0].text
    assert streamed.usage == whole.usage


async def test_it_obeys_stop(driver: Driver) -> None:
    whole = _answer(await _ask(driver, _call())).choices[0].text
    word = whole.split()[3]
    stopped = _answer(await _ask(driver, _call(stop=[word]))).choices[0]
    assert (stopped.finish_reason, stopped.text) == ("stop", whole[: whole.index(word)])


async def test_a_prompt_beyond_its_context_is_told_as_such(driver: Driver) -> None:
    result = await _ask(driver, _call("word " * 6000))
    assert result.error is not None
    assert result.error.kind.value == "context_too_long"


@pytest.mark.parametrize("stream", [True, False])
async def test_it_stops_generating_when_the_caller_hangs_up(edge: Edge, driver: Driver, stream: bool) -> None:
    """Seen by its CPU: a slot that goes on would use most of a core for the many seconds that 3,000 tokens take."""
    asking = asyncio.ensure_future(_ask(driver, _call("Count up.", stream=stream, max_tokens=3000, ignore_eos=True)))
    await _working(edge)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    await _idle(edge)


async def _working(edge: Edge) -> None:
    async with asyncio.timeout(30):
        before, spent_s = edge.cpu_s(), 0.0
        while spent_s < 0.3:
            await asyncio.sleep(0.05)
            spent_s = edge.cpu_s() - before


async def _idle(edge: Edge) -> None:
    """Two half seconds in a row without work."""
    async with asyncio.timeout(15):
        quiet = 0
        while quiet < 2:
            before = edge.cpu_s()
            await asyncio.sleep(0.5)
            quiet = quiet + 1 if edge.cpu_s() - before < 0.05 else 0


def test_a_second_one_on_its_port_says_why_not(edge: Edge) -> None:
    second = edge.start()
    said, _ = second.communicate(timeout=30)
    assert second.returncode == 1
    assert json.loads(said)["reason"] == "PortBusy"


async def test_it_ends_at_once_with_a_stream_under_way(edge: Edge, driver: Driver) -> None:
    came = asyncio.Event()
    call = _call("Count up.", stream=True, max_tokens=3000, ignore_eos=True)
    asking = asyncio.ensure_future(_ask(driver, call, on_delta=lambda _: came.set()))
    await asyncio.wait_for(came.wait(), PATIENCE_S)
    assert await asyncio.to_thread(edge.stop) == 0
    assert (await asking).error is not None
