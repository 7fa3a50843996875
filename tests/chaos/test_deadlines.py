"""With every `call` process standing still, a request ends when its deadline says, and nothing is called afterwards."""

import asyncio
import os
import signal
import time
from pathlib import Path

import httpx
import orjson
import pytest

from tests.chaos.platform import KEY, Reader, platform

pytestmark = pytest.mark.alone

COUNT = 30
DEADLINES_S = tuple(int(s) for s in os.environ.get("MILLRACE_DEADLINES_S", "3,4,5").split(","))


@pytest.mark.timeout(120)
async def test_requests_end_at_their_deadline_and_are_not_called_later(tmp_path: Path) -> None:
    async with platform(tmp_path, "--split") as running:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=running.gateway, headers=headers, timeout=60) as client:

            async def ask(number: int, deadline_s: int) -> httpx.Response:
                text = f"number {number} [[sim: latency_ms=20]]"
                body = {"model": "steady", "messages": [{"role": "user", "content": text}], "stream": number % 2 == 0}
                said = {"x-deadline-ms": str(1000 * deadline_s), "x-tags": f"deadline={deadline_s}"}
                return await client.post("/v1/chat/completions", json=body, headers=said)

            warm = await ask(-1, 30)
            assert warm.status_code == 200, warm.text
            journal, call = running.simulator.world.journal, running.children["call-0"]
            calls_before = len(journal.entries)
            os.kill(call, signal.SIGSTOP)
            try:
                asked = time.monotonic()
                answers = await asyncio.gather(*(ask(n, DEADLINES_S[n % 3]) for n in range(COUNT)))
                took = time.monotonic() - asked
            finally:
                os.kill(call, signal.SIGCONT)
            answer = await ask(COUNT, 30)
            assert answer.status_code == 200, answer.text

        reader = Reader()
        await reader.read(running.kafka, lambda r: len(r.first) >= COUNT + 2, 20)
        ended = [r for r in reader.first.values() if r.error is not None]
        late_ms = sorted(
            reader.arrived_ms[r.tenant, r.request_id] - r.accepted_at - 1000 * int(r.tags["deadline"]) for r in ended
        )
        report = {"took_s": took, "late_ms": late_ms, "calls": len(journal.entries) - calls_before}
        (tmp_path / "report.json").write_bytes(orjson.dumps(report))
        assert {a.json()["error"]["code"] for a in answers} == {"deadline_exceeded"}
        assert {a.status_code for a in answers} == {504}
        assert len(ended) == COUNT
        assert max(late_ms) <= 2000, report
        assert took <= max(DEADLINES_S) + 2, report
        assert [e.parsed_body()["messages"] for e in list(journal.entries)[calls_before:]] == [
            [{"role": "user", "content": f"number {COUNT} [[sim: latency_ms=20]]"}]
        ]
