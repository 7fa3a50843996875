"""The README's commands, as they stand there, beside a running `millrace up --demo` on other ports and another data dir."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from tests.chaos.platform import free_port
from tests.integration.test_readme import LINES, ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


class Shell:
    """Runs lines of the README where the demo runs."""

    def __init__(self, data_dir: Path, port: int) -> None:
        self.port = port
        self.data_dir = data_dir
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._env = os.environ | {"MILLRACE_DATA_DIR": str(data_dir), "PATH": path}
        self._env.pop("MILLRACE_KAFKA_BOOTSTRAP", None)

    async def start(self, line: str) -> asyncio.subprocess.Process:
        line = line.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}").replace(".millrace/", f"{self.data_dir}/")
        return await asyncio.create_subprocess_shell(
            f"exec {line}" if line.startswith("millrace") else line,
            cwd=ROOT, env=self._env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, limit=2**22,
        )  # fmt: skip

    async def run(self, line: str) -> str:
        process = await self.start(line)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        return out.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    folder = tmp_path_factory.mktemp("readme")
    shell = Shell(folder / "data", free_port())
    ports = f"--kafka-port {free_port()} --port {shell.port} --admin-port {free_port()}"
    up = await shell.start(f"millrace up --demo {ports}")
    assert up.stdout is not None
    assert up.stderr is not None
    async with asyncio.timeout(120):
        while b"Ctrl-C ends" not in (line := await up.stderr.readline()):
            assert line, "it ended before its summary"
    yield shell
    up.send_signal(signal.SIGINT)
    await up.communicate()
    assert up.returncode == 0


def line_of(start: str) -> str:
    return next(line for line in LINES if line.startswith(start))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def request_id(shell: Shell) -> str:
    """Of the README's one request, by curl."""
    answer = orjson.loads(await shell.run(f"{line_of('MILLRACE_DEMO_KEY=')}\n{line_of('curl')}"))
    assert answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    return str(answer["id"]).removeprefix("chatcmpl-")


async def test_explain_shows_the_request_of_the_readme(shell: Shell, request_id: str) -> None:
    shown = await shell.run(line_of("millrace explain").replace("REQUEST_ID", request_id))
    assert request_id in shown
    assert "gpt-4.1" in shown


async def test_watch_prints_outcomes_until_it_is_stopped(shell: Shell, request_id: str) -> None:
    watching = await shell.start(line_of("millrace watch"))
    assert watching.stdout is not None
    first = orjson.loads(await asyncio.wait_for(watching.stdout.readline(), 60))
    watching.send_signal(signal.SIGINT)
    await watching.communicate()
    assert first["topic"] == "llm.responses.v1"
    assert first["value"]["outcome"] in ("ok", "error")


SEEN_ELSEWHERE = re.compile(r"make |MILLRACE_DEMO_KEY=|curl|millrace (explain|watch)")


@pytest.mark.parametrize("line", [line for line in LINES if not SEEN_ELSEWHERE.match(line)])
async def test_other_commands_of_the_readme_work(shell: Shell, line: str) -> None:
    assert (await shell.run(line)).strip()
