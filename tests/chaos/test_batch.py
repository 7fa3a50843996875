"""Batch work waits for what interactive calls leave free, and is all done in the end."""

import asyncio
from pathlib import Path

import httpx
import pytest

from connectors.simulator import Simulator
from tests.chaos.platform import CATALOG, KEY, platform

PLACES = 5
SHARE = 0.4
BATCH = 12


def catalog(simulator: Simulator) -> str:
    """The provider `narrow` takes five calls at a time, two of them batch work."""
    return CATALOG.format(url=simulator.base_url).replace(
        "max_in_flight: 2}", f"max_in_flight: {PLACES}, bulk_share: {SHARE}}}"
    )


@pytest.mark.timeout(120)
async def test_batch_work_leaves_places_for_others_and_is_done_when_there_is_time(tmp_path: Path) -> None:
    async with platform(tmp_path, catalog=catalog) as running:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=running.gateway, headers=headers, timeout=90) as client:

            async def ask(text: str, priority: str) -> httpx.Response:
                body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
                return await client.post("/v1/chat/completions", json=body, headers={"x-priority": priority})

            journal = running.simulator.world.journal
            batch = [asyncio.create_task(ask(f"bulk {n} [[sim: latency_ms=1500]]", "batch")) for n in range(BATCH)]
            await journal.wait(lambda e: b"bulk" in e.body, count=2, timeout_s=20)
            answers = await asyncio.gather(*(ask(f"now {n} [[sim: latency_ms=50]]", "interactive") for n in range(3)))
            assert [answer.status_code for answer in answers] == [200] * 3
            under_way = [entry for entry in journal.entries if b"bulk" in entry.body and entry.finished_at is None]
            assert len(under_way) <= SHARE * PLACES
            done = await asyncio.gather(*batch)
            assert [answer.status_code for answer in done] == [200] * BATCH
            assert sum(b"bulk" in entry.body for entry in journal.entries) == BATCH
