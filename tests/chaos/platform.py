"""The whole platform as a user starts it (`millrace up`), against a simulated provider, for tests that kill parts of it."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from connectors.simulator import Allowance, Simulator, serve
from schemas.codec import decode
from schemas.events import Attempt, Response

KEY = "mr_test-key-of-tenant-main"
CATALOG = """
version: 1
providers:
  sim:   {{adapter: openai, base_url: "{url}", api_key_env: TEST_SIM_KEY, region: us, allow_private_egress: true,
           max_in_flight: 400}}
  other: {{adapter: openai-compatible, base_url: "{url}", api_key_env: TEST_SIM_KEY, region: us, allow_private_egress: true}}
  narrow: {{adapter: openai-compatible, base_url: "{url}", api_key_env: TEST_SIM_KEY, region: us, allow_private_egress: true,
           max_in_flight: 2}}
models:
  gpt-4.1-mini: {{provider: sim, quality_prior: 0.8}}
  gpt-4.1-nano: {{provider: other, quality_prior: 0.5, price: {{input_per_mtok_usd: 0.1, output_per_mtok_usd: 0.4}}}}
  gpt-4o-mini: {{provider: narrow, quality_prior: 0.1, price: {{input_per_mtok_usd: 0.15, output_per_mtok_usd: 0.6}}}}
routes:
  auto: {{candidates: ["*"], deadline_s: 60}}
  steady: {{order: [gpt-4.1-mini, gpt-4.1-nano], deadline_s: 60}}
  strict: {{order: [gpt-4.1-mini, gpt-4.1-nano], deadline_s: 60, stream_recovery: error}}
tenants:
  main:  {{keys_env: TEST_MAIN_KEYS, routes: ["*"]}}
  other: {{keys_env: TEST_OTHER_KEYS, routes: ["*"]}}
# Faults are scripted here, call by call: breakers have tests of their own.
breaker: {{consecutive_failures: 1000, min_samples: 1000000}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Platform:
    """A running `millrace up`; `lines` are what it printed, `children` the pids by `stage-instance`."""

    process: asyncio.subprocess.Process
    simulator: Simulator
    gateway: str
    kafka: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    children: dict[str, int] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def admin(self) -> str:
        """Address of the gateway process's own admin port."""
        rows = next(line["processes"] for line in reversed(self.lines) if line.get("stage") == "all")
        port = next(row["admin_port"] for row in rows if row["stage"] == "gateway")
        return f"http://127.0.0.1:{port}"

    @property
    def surface(self) -> str:
        """Address of the stage `admin`: the dashboard."""
        return str(self._said("admin"))

    @property
    def sql(self) -> str:
        return str(self._said("sql"))

    def _said(self, name: str) -> Any:
        return next(line[name] for line in reversed(self.lines) if line.get("stage") == "all")

    async def until(self, holds: Callable[[], bool], timeout_s: float = 60) -> None:
        """Wait until a condition over the printed lines holds."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            with contextlib.suppress(orjson.JSONDecodeError):
                self._take(orjson.loads(raw))

    def _take(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        if line.get("event") == "ready" and line.get("stage") == "all":
            self.children = {f"{row['stage']}-{row['instance']}": row["pid"] for row in line["processes"]}
        elif line.get("event") == "ready":
            for name in self.children:
                if name.rsplit("-", 1)[0].split("+").count(line["stage"]) and name.endswith(f"-{line.get('instance')}"):
                    self.children[name] = line["pid"]
        self.changed.set()

    def kill(self, name: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.children[name], signal.SIGKILL)


@contextlib.asynccontextmanager
async def platform(
    folder: Path,
    *options: str,
    catalog: str | Callable[[Simulator], str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Platform]:
    """Start everything on free ports; orderly stop at the end, which must work too.

    `catalog` (its text, or what makes it of the simulator) and the keys in `environment` replace those of `CATALOG`.
    """
    simulator = await serve(0, seed=1, speed=0, allowance=Allowance(10**9, 10**12))
    path = folder / "catalog.yaml"
    text = catalog(simulator) if callable(catalog) else catalog
    path.write_text(text or CATALOG.format(url=simulator.base_url))
    gateway_port, kafka_port = free_port(), free_port()
    variables = os.environ | {
        "MILLRACE_CONFIG": str(path),
        "TEST_SIM_KEY": "sk-sim-test",
        "TEST_MAIN_KEYS": KEY,
        "TEST_OTHER_KEYS": KEY + "-other",
        **(environment or {}),
    }
    variables.pop("MILLRACE_KAFKA_BOOTSTRAP", None)
    log = (folder / "up.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline", "up", "--data-dir", str(folder / "data"),
        "--kafka-port", str(kafka_port), "--port", str(gateway_port), "--admin-port", str(free_port()),
        "--sql-port", str(free_port()), *options,
        stdout=asyncio.subprocess.PIPE, stderr=log, env=variables, limit=2**20,
    )  # fmt: skip
    running = Platform(
        process,
        simulator,
        f"http://127.0.0.1:{gateway_port}",
        f"127.0.0.1:{kafka_port}",
    )
    reading = asyncio.create_task(running.read())
    try:
        await running.until(lambda: bool(running.children) or process.returncode is not None, 120)
        yield running
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 20)
        await reading
        log.close()
        await simulator.close()
    assert code == 0, (folder / "up.log").read_text()[-3000:]


async def produce(kafka: str, records: AsyncIterator[dict[str, Any]]) -> int:
    """Plain JSON request records, as kcat would send them; the number sent."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True, request_timeout_ms=40_000)
    await producer.start()
    count, pending = 0, []
    try:
        async for record in records:
            pending.append(await producer.send("llm.requests.v1", orjson.dumps(record), key=record["tenant"].encode()))
            count += 1
        await asyncio.gather(*pending)
    finally:
        await producer.stop()
    return count


class Reader:
    """Everything on `responses` and `attempts`, from the beginning."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, str], Response] = {}
        self.arrived_ms: dict[tuple[str, str], int] = {}
        self.attempts: list[Attempt] = []

    async def read(self, kafka: str, enough: Callable[["Reader"], bool], timeout_s: float) -> None:
        consumer = AIOKafkaConsumer(
            "llm.responses.v1", "llm.attempts.v1", bootstrap_servers=kafka, auto_offset_reset="earliest", group_id=None
        )
        await consumer.start()
        try:
            async with asyncio.timeout(timeout_s):
                while not enough(self):
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        for record in records:
                            self._take(record)
        finally:
            await consumer.stop()

    def _take(self, record: Any) -> None:
        if record.topic == "llm.attempts.v1":
            attempt = decode(Attempt, record.value)
            assert isinstance(attempt, Attempt)
            self.attempts.append(attempt)
            return
        response = decode(Response, record.value)
        assert isinstance(response, Response)
        key = (response.tenant, response.request_id)
        if key not in self.first:
            self.first[key] = response
            self.arrived_ms[key] = record.timestamp
