"""A sink process against the real broker and a real ClickHouse, with events of every kind; and ways to disturb it."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest

from connectors.clickhouse.address import ClickHouseAddress
from connectors.clickhouse.tables import ROLLUPS, TABLES, Table
from connectors.kafka.admin import ensure_topics
from schemas import headers as h
from schemas.codec import encode
from schemas.completion import Usage
from schemas.events import (
    Alert,
    Attempt,
    Breaker,
    Cost,
    Decision,
    Enriched,
    Excluded,
    Features,
    Feedback,
    Proof,
    Ranked,
    Response,
    RouteInfo,
    ShadowComparison,
    Side,
    Timings,
    View,
)
from schemas.topics import ALERTS, BREAKERS, DEAD_LETTERS, NamedTopic

PARTITIONS = 2
GROUP = "millrace-sink"
SECRET = b"the-body-that-nobody-may-keep"
CATALOG = """
version: 1
providers:
  sim: {adapter: openai, base_url: "http://127.0.0.1:9/v1", api_key_env: TEST_SIM_KEY, region: us, allow_private_egress: true}
models:
  gpt-4.1-mini: {provider: sim}
routes:
  auto: {candidates: ["*"]}
tenants:
  quiet: {keys_env: TEST_QUIET_KEYS, routes: ["*"]}
  open:  {keys_env: TEST_OPEN_KEYS, routes: ["*"], store_bodies: true, retention_days: 90}
"""
MODELS = ("gpt-4.1-mini", "gpt-4.1-nano", "qwen3-edge-8b")


class Events:
    """Random, by seed; times lie in the last hours, so that no retention ends them."""

    def __init__(self, seed: int, now_ms: int) -> None:
        self._chance = random.Random(seed)
        self._now_ms = now_ms
        self.makers: dict[str, Callable[[str], Any]] = {
            "enriched.v1": self.enriched,
            "decisions.v1": self.decision,
            "attempts.v1": self.attempt,
            "responses.v1": self.response,
            "costs.v1": self.cost,
            "breakers.v1": self.breaker,
            "alerts.v1": self.alert,
            "shadow-comparisons.v1": self.comparison,
            "feedback.v1": self.feedback,
        }

    def any(self, topic: str, tenant: str) -> tuple[bytes, list[tuple[str, bytes]]]:
        """Value and headers of a record."""
        if topic == DEAD_LETTERS.name:
            return SECRET + self._chance.randbytes(8), h.build(
                tenant=tenant, request_id=self._id(), dlq_stage="enrich", dlq_reason="invalid_json",
                dlq_topic="llm.requests.v1", dlq_partition=0, dlq_offset=7, dlq_error="at character 3",
            )  # fmt: skip
        return encode(self.makers[topic](tenant)), h.build(tenant=tenant)

    def _id(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128)))

    def _at(self) -> int:
        return self._now_ms - self._chance.randrange(5 * 3_600_000)

    def _usage(self) -> Usage:
        return Usage(self._chance.randrange(5000), self._chance.randrange(900), service_tier=self._any(None, "flex"))

    def _any(self, *values: Any) -> Any:
        return self._chance.choice(values)

    def enriched(self, tenant: str) -> Enriched:
        features = Features(120, "en", "chat", 0.3, "simple", "internal", ["tools"], [], {"code": 0.7}, "rules-1")
        return Enriched(
            self._id(), tenant, tenant, "auto", "chat", False, "interactive", self._at(), self._at(), features,
            body=b'{"messages":["' + SECRET + b'"]}', tags={"team": "a"},
        )  # fmt: skip

    def decision(self, tenant: str) -> Decision:
        model = self._any(*MODELS)
        return Decision(
            self._id(), tenant, 1, "first", "p1", "q1", "rules-1", self._chance.getrandbits(40), self._at(), "best score",
            Proof("internal", ["us"]), chosen=model, view={f"sim/{model}/us": View(3, limited_until=self._at())},
            ranked=[Ranked(model, 0.5, 0.7, 0.01, 0.4, 1.0)], excluded=[Excluded("gpt-x", "eligible", "region")],
        )  # fmt: skip

    def attempt(self, tenant: str) -> Attempt:
        result = self._any("ok", "error", None)
        return Attempt(
            self._id(), tenant, 1, self._id(), "finished" if result else "started", "primary", "sim", self._any(*MODELS),
            "us", "w-1", self._at(), result=result, usage=self._usage() if result == "ok" else None,
            first_event_ms=self._any(None, 120, 340), duration_ms=self._chance.randrange(4000) if result else None,
        )  # fmt: skip

    def response(self, tenant: str) -> Response:
        return Response(
            self._id(), tenant, "chat", "ok", self._at(), self._at(), RouteInfo("auto", "best score"),
            Timings(3, 200, 900, self._chance.randrange(3000)), body=b'{"choices":["' + SECRET + b'"]}', provider="sim",
            model=self._any(*MODELS), region="us", usage=self._usage(), finish_reason="stop", attempts=self._any(1, 2),
        )  # fmt: skip

    def cost(self, tenant: str) -> Cost:
        return Cost(
            self._id(), self._id(), 1, self._id(), tenant, "u-1", None, {}, "sim", self._any(*MODELS), "primary",
            self._usage(), self._chance.randrange(10**9), "2026-01", False, self._any(True, False), "charge", self._at(),
        )  # fmt: skip

    def breaker(self, _tenant: str) -> Breaker:
        return Breaker(f"sim/{self._any(*MODELS)}/us", "open", self._chance.randrange(99), self._at(), self._at())

    def alert(self, _tenant: str) -> Alert:
        return Alert(
            self._id(), "many-errors", self._any("firing", "resolved"), "error_rate", ">", 0.5, 0.9, {"provider": "sim"},
            self._at(), self._at(), "c1", ["webhook:OPS"],
        )  # fmt: skip

    def comparison(self, tenant: str) -> ShadowComparison:
        sides = [Side(self._any(*MODELS), self._any("ok", "timeout"), self._chance.randrange(10**9), 120) for _ in "ps"]
        return ShadowComparison(
            "e1", self._id(), tenant, "compared", self._at(), self._at(), "auto", primary=sides[0],
            shadow=self._any(sides[1], None), exact=self._any(True, None), token_f1=0.5, winner=self._any("tie", None),
        )  # fmt: skip

    def feedback(self, tenant: str) -> Feedback:
        said = SECRET.decode()
        return Feedback(self._id(), "", tenant, "u-1", self._at(), self._any(0.5, 1.0), "up", said, f"better: {said}")


@dataclass
class House:
    """Topics under a prefix of their own, a database of its own, and the sink between them."""

    broker: str
    address: ClickHouseAddress
    client: Any
    folder: Path
    prefix: str
    instance: int
    port: int
    sent: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    ready: bytes = b""

    async def start(self) -> None:
        """Until its ready line."""
        with (self.folder / "sink.log").open("ab") as log:
            self.process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "pipeline", "run", "sink", "--instance-id", str(self.instance),
                stdout=asyncio.subprocess.PIPE, stderr=log, env=os.environ | self._variables(),
            )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(60):
            self.ready = await process.stdout.readline()
        assert b'"ready"' in self.ready, (self.ready, (self.folder / "sink.log").read_text()[-3000:])

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def kill(self) -> None:
        assert self.process is not None
        self.signal(signal.SIGKILL)
        await self.process.wait()

    async def forget_commits(self) -> None:
        """As a broker does with a group that was away for a week."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker)
        await admin.start()
        try:
            await self._bury_members(admin)
            answer = await admin._send_request(DeleteGroupsRequest([GROUP]))
            assert answer.results == [(GROUP, 0)]
        finally:
            await admin.close()

    async def end(self) -> None:
        """Nobody of this house is a member any more: the next one need not wait until dead sessions have ended."""
        if self.process is not None and self.process.returncode is None:
            await self.kill()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker)
        await admin.start()
        try:
            await self._bury_members(admin)
        finally:
            await admin.close()

    async def _bury_members(self, admin: Any) -> None:
        [described] = await admin.describe_consumer_groups([GROUP])
        [(_error, _group, _state, _type, _protocol, members, *_)] = described.groups
        for member_id, *_ in members:
            await admin._send_request(LeaveGroupRequest(GROUP, member_id))

    async def stop(self) -> int:
        """As an operator does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 20)

    async def send(self, topic: str, records: Sequence[tuple[bytes | None, list[tuple[str, bytes]]]]) -> None:
        """Spread over the partitions in turn; what was acked is in `sent`."""
        producer = AIOKafkaProducer(bootstrap_servers=self.broker, enable_idempotence=True, linger_ms=5)
        await producer.start()
        try:
            count = 1 if topic in (ALERTS.name, BREAKERS.name, DEAD_LETTERS.name) else PARTITIONS
            acks = [
                await producer.send(self.prefix + topic, value, key=str(number).encode(), headers=headers,
                                    partition=number % count)
                for number, (value, headers) in enumerate(records)
            ]  # fmt: skip
            for done in await asyncio.gather(*acks):
                self.sent.setdefault((topic, done.partition), []).append(done.offset)
        finally:
            await producer.stop()

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return list(self.client.query(sql, parameters=parameters).result_rows)

    def offsets(self, table: Table) -> list[tuple[int, int]]:
        return sorted(self.rows(f"SELECT kafka_partition, kafka_offset FROM {table.name}"))

    def expected(self, table: Table) -> list[tuple[int, int]]:
        return sorted(
            (partition, offset)
            for (topic, partition), offsets in self.sent.items()
            if topic == table.topic.name
            for offset in offsets
        )

    def has_tables(self) -> bool:
        return bool(self.rows("EXISTS TABLE otel_spans")[0][0])

    async def settled(self, timeout_s: float = 60) -> None:
        """Until everything that was sent is committed, and nothing is in doubt: then rollups are whole too."""
        wanted = {
            TopicPartition(self.prefix + topic, partition): (offsets[-1] + 1, "")
            for (topic, partition), offsets in self.sent.items()
        }
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker)
        await admin.start()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    found = await admin.list_consumer_group_offsets(GROUP, partitions=list(wanted))
                    if {place: tuple(commit) for place, commit in found.items()} == wanted:
                        return
                    await asyncio.sleep(0.2)
        finally:
            await admin.close()

    def is_complete(self) -> bool:
        return self.has_tables() and all(
            self.rows(f"SELECT count() FROM {t.name}")[0][0] >= len(self.expected(t)) for t in TABLES
        )

    def assert_exact(self) -> None:
        """Every record one row, and every rollup what its rows add up to."""
        for table in TABLES:
            assert self.offsets(table) == self.expected(table), table.name
        for rollup in ROLLUPS:
            assert self._kept(rollup.name) == self._recomputed(rollup.name), rollup.name

    def _kept(self, rollup: str) -> list[tuple[Any, ...]]:
        keys, sums = self._columns(rollup)
        added = ", ".join(f"sum({name})" for name in sums)
        return sorted(self.rows(f"SELECT {', '.join(keys)}, {added} FROM {rollup} GROUP BY {', '.join(keys)}"))

    def _recomputed(self, rollup: str) -> list[tuple[Any, ...]]:
        keys, sums = self._columns(rollup)
        [(select,)] = self.rows(
            "SELECT as_select FROM system.tables WHERE database = {d:String} AND name = {n:String}",
            d=self.address.database, n=f"{rollup}_view",
        )  # fmt: skip
        return sorted(self.rows(f"SELECT {', '.join([*keys, *sums])} FROM ({select})"))

    def _columns(self, rollup: str) -> tuple[list[str], list[str]]:
        rows = self.rows(
            "SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {n:String} ORDER BY position",
            d=self.address.database, n=rollup,
        )  # fmt: skip
        keys = [name for name, kind in rows if "AggregateFunction" not in kind]
        return keys, [name for name, kind in rows if kind.startswith("SimpleAggregateFunction")]

    def _variables(self) -> dict[str, str]:
        login = f"{self.address.user}:{self.address.password}@" if self.address.password else ""
        return {
            "MILLRACE_CONFIG": str(self.folder / "catalog.yaml"),
            "MILLRACE_DATA_DIR": str(self.folder),
            "MILLRACE_KAFKA_BOOTSTRAP": self.broker,
            "MILLRACE_TOPIC_PREFIX": self.prefix,
            "MILLRACE_PARTITIONS": str(PARTITIONS),
            "MILLRACE_PEPPER": "pepper",
            "MILLRACE_CLICKHOUSE_DSN": f"clickhouse://{login}{self.address.host}:{self.port}/{self.address.database}",
            "TEST_SIM_KEY": "sk-sim",
            "TEST_QUIET_KEYS": "mr_key-of-tenant-quiet",
            "TEST_OPEN_KEYS": "mr_key-of-tenant-open",
        }


@contextlib.asynccontextmanager
async def house(
    broker: str, address: ClickHouseAddress, client: Any, folder: Path, port: int | None = None
) -> AsyncIterator[House]:
    """A house whose topics exist; its sink is started by the test and killed at the end."""
    prefix = f"s{uuid.uuid4().hex[:8]}."
    (folder / "catalog.yaml").write_text(CATALOG)
    topics = [
        NamedTopic(table.topic, prefix + table.topic.name, 1 if table.topic.spread == "control" else PARTITIONS)
        for table in TABLES
    ]
    await ensure_topics(broker, topics)
    made = House(broker, address, client, folder, prefix, random.randrange(10**6), port or address.port)
    try:
        yield made
    finally:
        await made.end()


async def until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    """Ask ClickHouse again and again: it tells nobody when rows come."""
    async with asyncio.timeout(timeout_s):
        while True:
            if await asyncio.to_thread(holds):
                return
            await asyncio.sleep(0.2)


class Gate:
    """A way to ClickHouse that can be shut: connections break wherever they are."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.bytes = 0
        self.passed = asyncio.Event()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, there[1]}
        await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
        self._writers -= {writer, there[1]}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.bytes += len(data)
                self.passed.set()
                writer.write(data)
                await writer.drain()
        writer.close()
