"""A provider whose places are all taken holds up nobody else."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.chaos.platform import KEY, platform


@pytest.mark.timeout(120)
async def test_a_full_provider_does_not_hold_up_the_others(tmp_path: Path) -> None:
    async with platform(tmp_path) as running:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=running.gateway, headers=headers, timeout=60) as client:

            async def ask(model: str, text: str, deadline_ms: int = 30_000) -> httpx.Response:
                body = {"model": model, "messages": [{"role": "user", "content": text}]}
                said = {"x-deadline-ms": str(deadline_ms)}
                return await client.post("/v1/chat/completions", json=body, headers=said)

            hanging = "[[sim: fault=hang_before_headers]]"
            stuck = [asyncio.create_task(ask("gpt-4o-mini", f"{n} {hanging}", 8_000)) for n in range(6)]
            await running.simulator.world.journal.wait(lambda e: "gpt-4o-mini" in e.model, count=2, timeout_s=20)
            answers = await asyncio.gather(*(ask("gpt-4.1-mini", f"free {n}") for n in range(10)))
            assert [answer.status_code for answer in answers] == [200] * 10
            held = [e for e in running.simulator.world.journal.entries if "gpt-4o-mini" in e.model]
            assert [entry.outcome for entry in held] == ["open", "open"]  # the others did not wait for these to end
            ends = {answer.json()["error"]["code"] for answer in await asyncio.gather(*stuck)}
            assert ends <= {"deadline_exceeded", "all_providers_unavailable"}
            again = await ask("gpt-4o-mini", "its places are free again")
            assert again.status_code == 200, again.text
