"""Calls that a rebalance left to a worker without a partition: their books are closed, whatever becomes of the worker."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.agents.lost import LostCalls
from pipeline.agents.recovery import Recovery
from schemas.codec import encode
from schemas.completion import Usage
from schemas.events import Attempt
from tests.agents.fakes import NOW, FakeEmit, FakeScanner, make_record, make_tools

STARTED = Attempt("r1", "main", 1, "a1", "started", "primary", "sim", "m", "us", "w1", NOW - 400_000)
KEPT = replace(STARTED, phase="kept", usage=Usage(30, estimated=True))


def lost_calls() -> tuple[LostCalls, FakeEmit, FakeScanner]:
    scanner, emit = FakeScanner(), FakeEmit()
    providers = {"sim": SimpleNamespace(timeouts=SimpleNamespace(total_s=300.0))}
    producers = SimpleNamespace(partition_count=_one)
    loaded = SimpleNamespace(catalog=SimpleNamespace(providers=providers))
    tools = make_tools(scanner=scanner, loaded=loaded, producers=producers)
    return LostCalls(tools, emit, Recovery(tools)), emit, scanner  # type: ignore[arg-type]


async def _one(_topic: str) -> int:
    return 1


def logged(event: Attempt, offset: int, at: int = NOW) -> Any:
    record = make_record(offset, encode(event), topic="llm.attempts.v1", request_id="r1", tenant="main")
    record.timestamp = at
    return record


async def test_a_kept_call_whose_worker_died_is_booked_once_its_time_is_over() -> None:
    lost, emit, scanner = lost_calls()
    scanner.logs["llm.attempts.v1", 0] = [logged(STARTED, 0), logged(KEPT, 1)]
    record = logged(KEPT, 1, NOW - 400_000)
    await lost.watch(KEPT, record)
    (finished,) = emit.attempts
    assert (finished.phase, finished.result, finished.orphaned, finished.worker) == ("finished", "unknown", True, "w1")
    assert finished.usage == Usage(30, 0, estimated=True)


async def test_a_kept_call_that_ends_is_left_alone() -> None:
    lost, emit, _ = lost_calls()
    record = logged(KEPT, 1)
    watching = asyncio.create_task(lost.watch(KEPT, record))
    await asyncio.sleep(0)
    lost.finished(replace(STARTED, phase="finished", result="ok"))
    await asyncio.wait_for(watching, 5)
    assert emit.attempts == []


@pytest.mark.parametrize("result", ["ok", "error"])
async def test_a_kept_call_that_had_ended_before_its_watch_is_left_alone(result: str) -> None:
    lost, emit, scanner = lost_calls()
    finished = replace(STARTED, phase="finished", result=result)
    scanner.logs["llm.attempts.v1", 0] = [logged(event, n) for n, event in enumerate((STARTED, KEPT, finished))]
    record = logged(KEPT, 1, NOW - 400_000)
    await lost.watch(KEPT, record)
    assert emit.attempts == []
