"""`millrace finetune` in a terminal's hands: Ctrl-C leaves the job to the provider, or cancels it if that was said."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from connectors.simulator import Simulator, serve

ROOT = Path(__file__).parents[2]
CATALOG = """
version: 1
providers:
  sim: {{adapter: openai, base_url: "{url}", api_key_env: TEST_SIM_KEY, allow_private_egress: true}}
models:
  gpt-4.1-mini: {{provider: sim}}
routes: {{auto: {{candidates: ["*"]}}}}
tenants: {{main: {{}}}}
"""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """At the speed of life: a job takes 25 s."""
    running = await serve(seed=7)
    yield running
    await running.close()


async def started(
    simulator: Simulator, folder: Path, *more: str, key: str = "sk-sim-test"
) -> asyncio.subprocess.Process:
    (folder / "catalog.yaml").write_text(CATALOG.format(url=simulator.base_url))
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    (folder / "train.jsonl").write_bytes(
        b"".join(
            orjson.dumps({"messages": [*said, {"role": "assistant", "content": str(n)}]}) + b"\n" for n in range(10)
        )
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline", "finetune", "--config", str(folder / "catalog.yaml"), "--provider", "sim",
        "--file", str(folder / "train.jsonl"), "--model", "gpt-4.1-mini", *more,
        cwd=ROOT, stderr=asyncio.subprocess.PIPE, env={**kept, "TEST_SIM_KEY": key}, preexec_fn=_heeds_interrupts,
    )  # fmt: skip


def _heeds_interrupts() -> None:
    """As at a terminal, also where the tests run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("more", "status"), [((), "goes on at the provider"), (("--cancel",), "cancelled")])
async def test_an_interrupt_leaves_or_cancels_the_job(
    simulator: Simulator, tmp_path: Path, more: tuple[str, ...], status: str
) -> None:
    process = await started(simulator, tmp_path, *more)
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b"validating_files" not in (line := await process.stderr.readline()):
            assert line, "it ended before there was a job"
        process.send_signal(signal.SIGINT)
        rest = (await process.stderr.read()).decode()
        assert await process.wait() == 130
    [job] = simulator.world.tuning.jobs.values()
    assert status in rest and job.id in rest
    assert (job.cancelled_at is not None) == bool(more)


async def test_a_key_that_is_missing_or_refused_ends_it_at_once(simulator: Simulator, tmp_path: Path) -> None:
    for key, words in (("", "TEST_SIM_KEY is not set"), ("sk-bad-0123456789", "HTTP 401")):
        process = await started(simulator, tmp_path, key=key)
        _, said = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode, words in said.decode()) == (1, True), said
        assert b"0123456789" not in said
    assert simulator.world.tuning.jobs == {}
