"""Child processes of `up`: started in a session of their own, read, reaped, started again in the same slot.

A child dies with its supervisor (Linux: PR_SET_PDEATHSIG), however that ends. Restart after 0.2 s (reference: the recovery
time of a static member is its own start-up, then), doubling to 5 s while it dies within 5 s of its start.
"""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.cli.background import go_to_background
from pipeline.cli.layout import Slot

_PAUSE_S, _LONGEST_PAUSE_S, _YOUNG_S = 0.2, 5.0, 5.0
_PR_SET_PDEATHSIG = 1
_LINE_LIMIT = 1024 * 1024
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_log = logging.getLogger(__name__)

OnLine = Callable[["Child", dict[str, Any]], None]


def next_pause(pause_s: float, lived_s: float) -> float:
    """How long to wait before the next start."""
    return _PAUSE_S if lived_s >= _YOUNG_S else min(max(_PAUSE_S, pause_s * 2), _LONGEST_PAUSE_S)


class Child:
    """One slot and whoever works in it. `ready` is set while its present process has said so for all its stages."""

    def __init__(self, slot: Slot, env: Mapping[str, str], on_line: OnLine) -> None:
        self.slot = slot
        self.ready = asyncio.Event()
        self.facts: dict[str, Any] = {}
        self.deaths = 0
        self._env = dict(env)
        self._on_line = on_line
        self._process: Process | None = None
        self._stopping = False
        self._said: set[str] = set()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def keep_alive(self) -> None:
        """Run it, again and again, until `stop`."""
        pause_s = _PAUSE_S / 2
        while not self._stopping:
            started = time.monotonic()
            code = await self._live()
            if self._stopping:
                return
            lived_s = time.monotonic() - started
            pause_s = next_pause(pause_s, lived_s)
            self.deaths += 1
            _log.warning("child ended", extra={"slot": self.slot.name, "code": code, "again_in_s": pause_s})
            await asyncio.sleep(pause_s)

    def signal(self, signum: int) -> None:
        if self._process is not None and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signum)

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, after `grace_s` SIGKILL; a frozen child is woken to hear it."""
        self._stopping = True
        if self._process is None or self.pid is None:
            return
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            await asyncio.wait_for(self._process.wait(), grace_s)
        except TimeoutError:
            _log.warning("child killed", extra={"slot": self.slot.name, "grace_s": grace_s})
            self.signal(signal.SIGKILL)
            await self._process.wait()

    async def _live(self) -> int:
        """From start to reaped."""
        self._said.clear()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pipeline", *self.slot.arguments,
            env=self._env, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, start_new_session=True, limit=_LINE_LIMIT,
            preexec_fn=_prepared(os.getpid(), self.slot.is_background),
        )  # fmt: skip
        self._process = process
        if self._stopping:  # asked to stop while it was being made
            self.signal(signal.SIGTERM)
        try:
            await self._read(process)
        finally:
            self.ready.clear()
        return await process.wait()

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        ended = asyncio.ensure_future(process.wait())
        while True:
            reading = asyncio.ensure_future(process.stdout.readline())
            await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():  # a grandchild may hold the pipe open: the child's end is the end
                reading.cancel()
                return
            if not (line := reading.result()):
                await ended
                return
            self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            sys.stderr.buffer.write(line)
            return
        if said.get("event") == "ready":
            self.facts = said
            self._said |= set(str(said.get("stage", "")).split("+"))
            if self.slot.stages <= self._said:
                self.ready.set()
        self._on_line(self, said)


def _prepared(parent: int, is_background: bool) -> Callable[[], None]:
    """Run in the child between fork and exec: its priority, and (Linux) SIGTERM when the supervisor's main thread ends."""

    def prepare() -> None:
        if is_background:
            go_to_background()
        if _LIBC is None:
            return
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we said so
            os._exit(1)

    return prepare
