"""A vendor's limits are learnt from its good answers: what does not fit goes elsewhere, or waits, and no 429 is asked for."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from connectors.simulator import Allowance
from tests.chaos.ledger import ask, ledger_of
from tests.chaos.platform import KEY, platform

pytestmark = pytest.mark.alone

FIRST, SECOND = "gpt-4.1-mini", "gpt-4.1-nano"
A_MINUTE = 12
"""Requests: one comes back every five seconds."""


@pytest.mark.timeout(120)
async def test_what_a_vendor_will_not_take_is_not_sent_to_it(tmp_path: Path) -> None:
    async with (
        platform(tmp_path) as running,
        ledger_of(running.kafka) as ledger,
        AsyncOpenAI(base_url=f"{running.gateway}/v1", api_key=KEY, max_retries=0, timeout=60) as client,
    ):
        world = running.simulator.world
        world.limiter.set(Allowance(A_MINUTE, 10**9), FIRST)
        answers = [await ask(client, "steady", f"number {n}", stream=n % 2 == 0) for n in range(A_MINUTE)]
        assert Counter(answer.provider for answer in answers) == {"sim": A_MINUTE}
        endpoint = f"sim/{FIRST}/us"
        await ledger.until(lambda: ledger.last(endpoint).cause == "limited")
        rest = await asyncio.gather(*(ask(client, "steady", f"more {n}") for n in range(10)))
        alone = await ask(client, FIRST, "nobody else will do")
        assert all(answer.is_ok for answer in (*rest, alone))
        assert Counter(answer.provider for answer in rest) == {"other": 10}
        assert (alone.provider, alone.took_s > 1) == ("sim", True)
        assert [entry.status for entry in world.journal.entries if entry.status == 429] == []
