"""The sink on a real broker and a real ClickHouse: exactly once, whatever happens.

`MILLRACE_TEST_SINK_EVENTS`, `..._KILLS` and `..._SQL_KILLS` set the size of the run with kills.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from connectors.clickhouse.address import ClickHouseAddress
from connectors.clickhouse.tables import TABLES, table_of
from schemas import headers as h
from schemas.codec import encode
from schemas.events import Feedback
from tests.integration.sink_house import SECRET, Events, Gate, House, house, until
from tests.integration.sql.house import House as Sql

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

EVENTS = int(os.environ.get("MILLRACE_TEST_SINK_EVENTS", "4200"))
KILLS = int(os.environ.get("MILLRACE_TEST_SINK_KILLS", "4"))
SQL_KILLS = int(os.environ.get("MILLRACE_TEST_SINK_SQL_KILLS", "2"))
TOPICS = [table.topic.name for table in TABLES]


@pytest_asyncio.fixture(loop_scope="session")
async def gate(clickhouse: ClickHouseAddress) -> AsyncIterator[Gate]:
    made = Gate(clickhouse.host, clickhouse.port)
    await made.open()
    yield made
    await made.shut()


@pytest_asyncio.fixture(loop_scope="session")
async def at(
    broker: str, clickhouse: ClickHouseAddress, clickhouse_client: Any, gate: Gate, tmp_path: Path
) -> AsyncIterator[House]:
    async with house(broker, clickhouse, clickhouse_client, tmp_path, gate.port) as made:
        yield made


def _events(seed: int) -> Events:
    return Events(seed, time.time_ns() // 1_000_000)


async def _send_all(at: House, events: Events, count: int) -> None:
    for topic in TOPICS:
        await at.send(topic, [events.any(topic, "quiet" if n % 3 else "open") for n in range(count // len(TOPICS))])


@pytest.mark.skipif(find_spec("chdb") is None, reason="needs the extra 'local'")
async def test_every_event_is_one_row_though_sink_and_clickhouse_are_killed_again_and_again(
    broker: str, tmp_path: Path
) -> None:
    chance, events = random.Random(11), _events(11)
    sql = Sql(tmp_path / "sql")
    port = int(sql.said["port"])
    address = ClickHouseAddress("127.0.0.1", port, user="default")
    async with house(broker, address, None, tmp_path) as at:
        await at.start()
        for number in range(KILLS):
            await _send_all(at, events, EVENTS // KILLS)
            await asyncio.sleep(chance.uniform(0, 1.2))  # a kill comes at any moment
            if number % (KILLS // SQL_KILLS) == 0:
                await asyncio.to_thread(sql.end, signal.SIGKILL)
                sql = await asyncio.to_thread(Sql, tmp_path / "sql", port)
            await at.kill()
            await at.start()
        at.client = sql.client(database="millrace", autogenerate_session_id=False)
        await at.settled(60 + EVENTS / 500)
        at.assert_exact()
        assert await at.stop() == 0
        at.client.close()
    assert await asyncio.to_thread(sql.end) == 0


async def test_connections_that_break_inside_inserts_neither_lose_nor_double_rows(at: House, gate: Gate) -> None:
    chance, events = random.Random(5), _events(5)
    await at.start()
    await until(at.has_tables)
    for _ in range(6):
        await _send_all(at, events, 2100)
        until_bytes = gate.bytes + chance.randrange(1, 400_000)
        async with asyncio.timeout(30):
            while gate.bytes < until_bytes and not at.is_complete():
                gate.passed.clear()
                await asyncio.wait_for(gate.passed.wait(), 5)
        await gate.shut()
        await gate.open()
    await at.settled(120)
    at.assert_exact()


async def test_clickhouse_may_be_away_at_the_start_and_in_between(at: House, gate: Gate) -> None:
    events = _events(7)
    await gate.shut()
    await at.start()
    await _send_all(at, events, 700)
    await gate.open()
    await at.settled()
    await gate.shut()
    await _send_all(at, events, 700)
    await gate.open()
    await at.settled()
    at.assert_exact()


async def test_broken_records_become_dead_letters_and_their_neighbours_rows(at: House) -> None:
    events = _events(3)
    good = [events.any("attempts.v1", "quiet") for _ in range(40)]
    broken = [
        (b"no avro at all", h.build(tenant="quiet")),
        (good[0][0][:-9], h.build(tenant="quiet", request_id="cut")),
        (b"", []),
    ]
    await at.start()
    await until(at.has_tables)
    await at.send("attempts.v1", [*good[:20], *broken, *good[20:]])
    places = [(number % 2, number // 2) for number in range(20, 23)]
    await until(lambda: at.rows("SELECT count() FROM dead_letters")[0][0] == len(broken))
    await until(lambda: at.rows("SELECT count() FROM attempts")[0][0] == len(good))
    assert not set(places) & set(at.offsets(table_of("attempts.v1")))
    kept = at.rows("SELECT partition, offset, stage, reason, topic, tenant, value IS NULL FROM dead_letters")
    assert sorted((row[0], row[1]) for row in kept) == sorted(places)
    assert {row[2] for row in kept} == {"sink"}
    assert {row[3] for row in kept} == {"unknown_schema", "truncated", "empty"}
    assert {row[4] for row in kept} == {f"{at.prefix}attempts.v1"}
    assert all(row[6] for row in kept)
    assert await _dead_letters(at, len(broken)) == {value for value, _ in broken}


async def test_feedback_is_taken_as_json_and_as_avro_and_refused_with_a_reason(at: House) -> None:
    """Tenant and user stand in the value; what is no feedback is a dead letter."""
    said = b'"tenant":"open","user":"u-1","request_id":"r-1"'
    avro = Feedback("", "c-1", "quiet", "", time.time_ns() // 1_000_000, label="down", comment="no", edit="not kept")
    refused = {
        b'{%b,"score":1.2}' % said: "invalid_request",
        b'{%b,"score":1,"stars":5}' % said: "invalid_request",
        b'{%b}' % said: "invalid_request",
        b'{"tenant":"nobody","request_id":"r-1","score":1}': "unknown_tenant",
        b'{"tenant":': "invalid_json",
        encode(Feedback("r-1", "", "open", "u-1", 1, score=7.0)): "invalid_request",
    }  # fmt: skip
    await at.start()
    await until(at.has_tables)
    good = [b'{%b,"score":0.25}' % said, b'{%b,"score":0.75,"edit":"so"}' % said, encode(avro)]
    await at.send("feedback.v1", [(value, []) for each in good for value in (each, *refused)])
    await at.settled()
    columns = "tenant, request_id, conversation_id, user, score, label, comment, edit"
    found = at.rows(f"SELECT {columns} FROM feedback FINAL ORDER BY tenant")
    assert [row for row in found if row[0] == "quiet"] == [("quiet", "", "c-1", "", None, "down", None, None)]
    last = [row for row in found if row[0] == "open"]
    assert last == [("open", "r-1", "", "u-1", 0.75, None, None, "so")]
    wanted = sorted(list(refused.values()) * len(good))
    await until(lambda: sorted(row[0] for row in at.rows("SELECT reason FROM dead_letters")) == wanted)


async def _dead_letters(at: House, count: int) -> set[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=at.broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(f"{at.prefix}dead-letters.v1", 0)])
        return {(await consumer.getone()).value for _ in range(count)}
    finally:
        await consumer.stop()


async def test_bodies_are_kept_for_tenants_that_said_so_and_nowhere_else(at: House) -> None:
    events = _events(9)
    await at.start()
    for table in TABLES:  # feedback of nobody's would be buried
        tenants = ("quiet", "open", *(() if table.form else ("nobody", "")))
        await at.send(table.topic.name, [events.any(table.topic.name, name) for name in tenants for _ in range(5)])
    await at.settled()
    for table in TABLES:
        for body in table.bodies:
            kept = at.rows(f"SELECT countIf({body} IS NOT NULL), countIf(position(toString({body}), "
                           f"'{SECRET.decode()}') > 0) FROM {table.name}")  # fmt: skip
            assert kept == [(5, 5)], table.name
    rows = at.rows("SELECT DISTINCT tenant, retention_days FROM responses ORDER BY tenant")
    assert rows == [("", 30), ("nobody", 30), ("open", 90), ("quiet", 30)]
    columns = at.rows(
        "SELECT table, name FROM system.columns WHERE database = {d:String} AND default_kind != 'EPHEMERAL'",
        d=at.address.database,
    )
    for table in TABLES:
        others = [f"toString({name})" for where, name in columns if where == table.name and name not in table.bodies]
        found = at.rows(
            f"SELECT countIf(position(concat({', '.join(others)}), '{SECRET.decode()}') > 0) FROM {table.name}"
        )
        assert found == [(0,)], table.name


async def test_a_stop_leaves_nothing_in_doubt(at: House) -> None:
    events = _events(13)
    await at.start()
    await _send_all(at, events, 700)
    await at.settled()
    assert await at.stop() == 0
    await at.start()
    await _send_all(at, events, 70)
    await at.settled()
    at.assert_exact()
    assert "in doubt" not in (at.folder / "sink.log").read_text()


async def test_a_sink_that_was_frozen_and_replaced_adds_nothing_when_it_wakes(at: House, tmp_path: Path) -> None:
    """Its session ends, another one takes its partitions over; then it goes on where it stood."""
    events, second = _events(17), replace(at, instance=at.instance + 1, process=None)
    await at.start()
    await _send_all(at, events, 2100)
    at.signal(signal.SIGSTOP)
    await second.start()
    await _send_all(at, events, 2100)
    await at.settled(90)
    at.signal(signal.SIGCONT)
    await _send_all(at, events, 700)
    await at.settled(90)
    assert await second.stop() == 0
    await _send_all(at, events, 700)
    await at.settled(90)
    at.assert_exact()


async def test_a_group_whose_commits_are_gone_doubles_nothing(at: House) -> None:
    events = _events(19)
    await at.start()
    await _send_all(at, events, 2100)
    await at.settled()
    await at.kill()
    await at.forget_commits()
    await _send_all(at, events, 700)
    await at.start()
    await at.settled()
    at.assert_exact()
