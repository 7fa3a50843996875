"""The platform as a user starts it, in a folder of its own, against a simulated provider of its own."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pipeline.cli.background import go_to_background
from pipeline.cli.errors import CliError
from pipeline.operations.running import Running, running_in

KEY = "mr_bench-key-of-tenant-bench"
DIRECT_KEY = "sk-sim-bench"
MODEL = "gpt-4.1-mini"
FAILOVER = "failover"
"""A route whose first model is at a provider where nobody listens."""
MIRRORED = {"hanging": "gpt-4.1-nano", "failing": "gpt-4o-mini", "slow": "gpt-4o"}
"""Experiments that mirror everything of a tenant of their own, and the models that they try."""
MIRRORED_KEY = "mr_bench-key-of-tenant-mirrored"
_START_S, _STOP_S = 180, 20
_CATALOG = """
version: 1
providers:
  sim: {{adapter: openai, base_url: "{url}", api_key_env: BENCH_SIM_KEY, region: us, allow_private_egress: true,
         max_in_flight: 400}}
  hanging: {{adapter: openai, base_url: "{trial}", api_key_env: BENCH_SIM_KEY, region: us, allow_private_egress: true}}
  failing: {{adapter: openai, base_url: "{trial}", api_key_env: BENCH_SIM_KEY, region: us, allow_private_egress: true}}
  slow: {{adapter: openai, base_url: "{trial}", api_key_env: BENCH_SIM_KEY, region: us, allow_private_egress: true}}
  away: {{adapter: openai-compatible, base_url: "http://127.0.0.1:{nobody}/v1", region: us, allow_private_egress: true}}
models:
  gpt-4.1-mini: {{provider: sim, quality_prior: 0.8}}
  gpt-4.1-nano: {{provider: hanging, quality_prior: 0.1}}
  gpt-4o-mini: {{provider: failing, quality_prior: 0.1}}
  gpt-4o: {{provider: slow, quality_prior: 0.1}}
  away-model: {{provider: away, price: {{input_per_mtok_usd: 1.0, output_per_mtok_usd: 1.0}}}}
routes:
  auto: {{candidates: ["*"], deadline_s: 60}}
  failover: {{order: [away-model, gpt-4.1-mini], deadline_s: 60}}
tenants:
  bench: {{keys_env: BENCH_KEYS, routes: ["*"]}}
  mirrored: {{keys_env: BENCH_MIRRORED_KEYS, routes: ["*"], store_bodies: true}}
shadows:
  - {{name: hanging, filter: {{tenant: mirrored}}, model: gpt-4.1-nano, budget: {{usd: 1000}}, enabled: false}}
  - {{name: failing, filter: {{tenant: mirrored}}, model: gpt-4o-mini, budget: {{usd: 1000}}, enabled: false}}
  - {{name: slow, filter: {{tenant: mirrored}}, model: gpt-4o, budget: {{usd: 1000}}, enabled: false}}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a caller sends to."""

    url: str
    key: str


@dataclass(frozen=True, slots=True)
class Place:
    """`provider` and `trial` are addresses without a path: of the provider that callers use, and of the one that experiments try.

    `sink_port` is where the sink tells its metrics.

    `mirrored`: as the tenant whose traffic experiments may see; `admin`: of the admin surface.

    `pids`: processes by name; `broker` is the JVM, `simulator` and `load` are not the platform.
    """

    provider: str
    trial: str
    direct: Target
    gateway: Target
    mirrored: Target
    admin: str
    pids: dict[str, int]
    sink_port: int | None
    kafka: str


@contextlib.asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    """Provider and platform, up; both gone at the end. Raises CliError."""
    simulator = await _start("-m", "pipeline.cli.benching.provider", env=dict(os.environ), stdin=PIPE)
    trial = await _start("-m", "pipeline.cli.benching.provider", env=dict(os.environ), stdin=PIPE, is_background=True)
    platform: Process | None = None
    try:
        base_url = str((await _ready(simulator, "the simulator"))["base_url"])
        trial_url = str((await _ready(trial, "the other simulator"))["base_url"])
        platform = await _start_platform(folder, base_url, trial_url)
        said = await _ready(platform, "the platform")
        running = _running(folder)
        yield Place(
            base_url.removesuffix("/v1"),
            trial_url.removesuffix("/v1"),
            Target(base_url, DIRECT_KEY),
            Target(f"{said['gateway']}/v1", KEY),
            Target(f"{said['gateway']}/v1", MIRRORED_KEY),
            str(said["admin"]),
            _pids(running, simulator),
            running.admin_ports.get("sink#0"),
            running.bootstrap,
        )
    finally:
        if platform is not None:
            await _end(platform)
        await _end(simulator)
        await _end(trial)


async def _start_platform(folder: Path, base_url: str, trial_url: str) -> Process:
    from connectors.local_broker.ports import random_free_port

    catalog = folder / "catalog.yaml"
    env = os.environ | {"MILLRACE_CONFIG": str(catalog), "BENCH_SIM_KEY": DIRECT_KEY, "BENCH_KEYS": KEY}
    env["BENCH_MIRRORED_KEYS"] = MIRRORED_KEY
    env.pop("MILLRACE_KAFKA_BOOTSTRAP", None)
    kafka = random_free_port()
    port = random_free_port(besides=kafka)
    nobody = random_free_port(besides=port)
    catalog.write_text(_CATALOG.format(url=base_url, trial=trial_url, nobody=nobody), encoding="utf-8")
    return await _start(
        "-m", "pipeline", "up", "--data-dir", str(folder / "data"), "--broker", "kafka",
        "--kafka-port", str(kafka), "--port", str(port), "--sql-port", str(random_free_port(besides=port)),
        "--admin-port", str(random_free_port(besides=port)),
        env=env, stdin=DEVNULL,
    )  # fmt: skip


async def _start(*arguments: str, env: dict[str, str], stdin: int, is_background: bool = False) -> Process:
    """In the background what works elsewhere in reality, and takes no CPU from callers."""
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=env, stdin=stdin, stdout=PIPE, limit=2**20,
        preexec_fn=go_to_background if is_background else None,
    )  # fmt: skip


async def _ready(process: Process, name: str) -> dict[str, Any]:
    """Its ready line. Raises CliError."""
    assert process.stdout is not None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_S):
            async for line in process.stdout:
                said = orjson.loads(line)
                if said.get("event") == "ready" and said.get("stage", "all") == "all":
                    return dict(said)
    raise CliError(f"{name} of the benchmark did not start; see what it said above")


def _running(folder: Path) -> Running:
    running = running_in(folder / "data")
    if running is None:
        raise CliError("the platform of the benchmark ended right after its start")
    return running


def _pids(running: Running, simulator: Process) -> dict[str, int]:
    named = {name.partition("#")[0]: pid for name, pid in running.pids.items()}
    return {**named, "up": running.pid, "simulator": simulator.pid, "load": os.getpid()}


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()
