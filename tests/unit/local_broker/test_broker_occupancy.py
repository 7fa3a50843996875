"""Lock, pid file and ports, with an idle Python process in the role of the broker."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.local_broker import DataDirInUse, DataDirUnusable, PortBusy, ports
from connectors.local_broker.occupancy import Occupancy

STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read()"
ORDERLY = "import sys; print(flush=True); sys.stdin.read()"


def make_occupancy(data_dir: Path) -> Occupancy:
    return Occupancy(data_dir, data_dir / "server.properties")


@contextmanager
def running(program: str, argument: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", program, argument]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # its signal handlers stand
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_second_lock_is_refused_and_names_the_first_process(tmp_path: Path) -> None:
    first, second = make_occupancy(tmp_path), make_occupancy(tmp_path)
    first.take()
    try:
        with pytest.raises(DataDirInUse, match=rf"process {os.getpid()}\)"):
            second.take()
    finally:
        first.leave()
    second.take()
    second.leave()


def test_taking_twice_is_taking_once(tmp_path: Path) -> None:
    occupancy = make_occupancy(tmp_path / "new" / "folder")
    occupancy.take()
    occupancy.take()
    occupancy.leave()
    occupancy.leave()


def test_a_refused_start_leaves_the_pid_file_of_the_other_alone(tmp_path: Path) -> None:
    first, second = make_occupancy(tmp_path), make_occupancy(tmp_path)
    first.take()
    first.record(12345)
    with pytest.raises(DataDirInUse):
        second.take()
    second.leave()
    assert (tmp_path / "broker.pid").read_text() == "12345\n"
    first.leave()
    assert not (tmp_path / "broker.pid").exists()


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirUnusable, match="--data-dir"):
        make_occupancy(tmp_path / "file" / "data").take()


@pytest.mark.parametrize("text", ["", "no number", "-1", "99999999999", "4194305"])
def test_a_pid_file_with_nothing_behind_it_means_no_orphan(tmp_path: Path, text: str) -> None:
    (tmp_path / "broker.pid").write_text(text)
    assert make_occupancy(tmp_path).orphan() is None


def test_a_reused_pid_is_not_taken_for_our_broker(tmp_path: Path) -> None:
    with running(ORDERLY, str(tmp_path / "elsewhere" / "server.properties")) as process:
        occupancy = make_occupancy(tmp_path)
        occupancy.record(process.pid)
        assert occupancy.orphan() is None


async def test_an_orphan_is_stopped_in_order(tmp_path: Path) -> None:
    with running(ORDERLY, str(tmp_path / "server.properties")) as process:
        occupancy = make_occupancy(tmp_path)
        occupancy.record(process.pid)
        assert await occupancy.stop_orphan(grace_s=5) == process.pid
        assert process.wait() == -signal.SIGTERM


async def test_a_frozen_orphan_is_woken_to_stop(tmp_path: Path) -> None:
    with running(ORDERLY, str(tmp_path / "server.properties")) as process:
        process.send_signal(signal.SIGSTOP)
        occupancy = make_occupancy(tmp_path)
        occupancy.record(process.pid)
        assert await occupancy.stop_orphan(grace_s=5) == process.pid
        assert process.wait() == -signal.SIGTERM


async def test_a_stubborn_orphan_is_killed_after_its_grace(tmp_path: Path) -> None:
    with running(STUBBORN, str(tmp_path / "server.properties")) as process:
        occupancy = make_occupancy(tmp_path)
        occupancy.record(process.pid)
        assert await occupancy.stop_orphan(grace_s=0.2) == process.pid
        assert process.wait() == -signal.SIGKILL


def test_a_busy_port_is_refused_with_advice() -> None:
    with listening() as port, pytest.raises(PortBusy, match=rf"port {port} .*--kafka-port") as error:
        ports.check_free(port)
    assert error.value.port == port


def test_the_controller_port_is_remembered(tmp_path: Path) -> None:
    chosen = ports.controller_port(tmp_path / "controller.port", 9092)
    assert ports.controller_port(tmp_path / "controller.port", 9092) == chosen


def test_a_remembered_controller_port_that_somebody_took_is_replaced(tmp_path: Path) -> None:
    memory = tmp_path / "controller.port"
    with listening() as port:
        memory.write_text(f"{port}\n")
        chosen = ports.controller_port(memory, 9092)
    assert chosen != port
    assert memory.read_text() == f"{chosen}\n"


@pytest.mark.parametrize("text", ["", "not a port", "9092"])
def test_an_unusable_memory_of_the_controller_port_is_forgotten(tmp_path: Path, text: str) -> None:
    memory = tmp_path / "controller.port"
    memory.write_text(text)
    assert ports.controller_port(memory, 9092) in range(20_000, 32_000)
