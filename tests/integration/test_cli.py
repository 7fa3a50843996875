"""`millrace up` on a real broker: found by other commands, restarts what dies, ends in order."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.local_broker.ports import random_free_port

pytestmark = pytest.mark.alone

READY_S = 90


class Up:
    """A running `millrace up` without the demo: the edge provider only, nobody at home there."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port, self.kafka_port, self.admin_port = random_free_port(), random_free_port(), random_free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "up", "--data-dir", str(data_dir), "--port", str(self.port),
             "--kafka-port", str(self.kafka_port), "--sql-port", str(random_free_port()),
             "--admin-port", str(self.admin_port)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=clean, start_new_session=True,
        )  # fmt: skip
        self.ready = self.line("all")

    def line(self, stage: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            said: dict[str, Any] = json.loads(text)
            if said.get("stage") == stage:
                return said
        raise AssertionError("up ended early")

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pipeline", *arguments, "--data-dir", str(self.data_dir)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = Up(tmp_path_factory.mktemp("up"))
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(15)
        assert running.process.stdout is not None
        running.process.stdout.close()


@pytest.mark.timeout(READY_S)
def test_the_ready_line_names_everything(up: Up) -> None:
    assert up.ready["gateway"] == f"http://127.0.0.1:{up.port}"
    assert up.ready["kafka"] == f"127.0.0.1:{up.kafka_port}"
    assert up.ready["admin"] == f"http://127.0.0.1:{up.admin_port}"
    stages = {process["stage"] for process in up.ready["processes"]}
    assert stages == {"gateway", "route+call", "health+retry+alerts", "sql", "sink", "admin+shadow", "bulk"}


def test_other_commands_find_it_by_its_data_dir(up: Up) -> None:
    rows = json.loads(up.run("topics", "describe", "--json").stdout)
    assert all(row["exists"] for row in rows)


def test_a_refused_request_has_its_outcome_and_is_explained(up: Up) -> None:
    sent = up.run("send", "hello", "--model", "no-such-model", "--wait", "--json", "--timeout", "30")
    outcome = json.loads(sent.stdout)
    assert (sent.returncode, outcome["error"]["code"]) == (1, "model_not_found")
    document = json.loads(up.run("explain", outcome["request_id"], "--json").stdout)
    assert document["response"]["request_id"] == document["request"]["request_id"] == outcome["request_id"]
    assert "hello" not in json.dumps(document)


def test_a_second_up_is_refused_at_once(up: Up) -> None:
    started = time.monotonic()
    refused = up.run("up")
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert time.monotonic() - started < 10


def test_a_killed_child_comes_back_in_its_slot(up: Up) -> None:
    pid = next(process["pid"] for process in up.ready["processes"] if process["stage"] == "gateway")
    os.kill(pid, signal.SIGKILL)
    again = up.line("gateway")
    assert (again["port"], again["pid"] != pid) == (up.port, True)


def test_sigterm_ends_everything_in_order_within_ten_seconds(up: Up) -> None:
    pids = json.loads((up.data_dir / "up.json").read_text())["pids"].values()
    started = time.monotonic()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(15) == 0
    assert time.monotonic() - started < 10
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
