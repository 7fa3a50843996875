"""Who works in a data directory: one broker at a time, even after its parent was killed.

| lock of the directory | pid file         | meaning                                   | what a start does           |
|-----------------------|------------------|-------------------------------------------|-----------------------------|
| held                  | any              | another parent works here                 | `DataDirInUse`              |
| free                  | names our broker | its parent was killed, the JVM lives on   | stops it in order, goes on  |
| free                  | anything else    | nobody                                    | goes on                     |

The lock is an flock of the Python parent: it ends with the process, however that ends, and no child inherits it.
A pid alone proves nothing, pids come back: the process must have our properties file in its command line.
"""

import asyncio
import fcntl
import os
import signal
from pathlib import Path
from typing import TextIO

import psutil

from connectors.local_broker.errors import DataDirInUse, DataDirUnusable

_POLL_S = 0.05


class Occupancy:
    """The lock and the pid file of one data directory."""

    def __init__(self, data_dir: Path, properties_file: Path) -> None:
        self._data_dir = data_dir
        self._properties_file = properties_file
        self._pid_file = data_dir / "broker.pid"
        self._lock: TextIO | None = None

    def take(self) -> None:
        """Lock the directory, making it if need be; does nothing if it is ours already.

        Raises:
            DataDirInUse, DataDirUnusable
        """
        if self._lock is None:
            self._lock = _lock(self._data_dir)

    def leave(self) -> None:
        if self._lock is not None:
            self._pid_file.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def record(self, pid: int) -> None:
        """Written whole or not at all: a later start reads it to find an orphan."""
        draft = self._pid_file.with_suffix(".new")
        draft.write_text(f"{pid}\n")
        draft.replace(self._pid_file)

    def orphan(self) -> int | None:
        """The pid of a broker of this directory that outlived its parent."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if _works_on(pid, self._properties_file) else None

    async def stop_orphan(self, grace_s: float) -> int | None:
        """Stop it with SIGTERM, after `grace_s` with SIGKILL; returns the pid it had."""
        pid = self.orphan()
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if pid is not None and not await self._gone_after(pid, signum, grace_s):
                continue
            break
        return pid

    async def _gone_after(self, pid: int, signum: signal.Signals, grace_s: float) -> bool:
        send(pid, signum)
        deadline = asyncio.get_running_loop().time() + grace_s
        while _works_on(pid, self._properties_file):  # not our child, so there is no exit to await
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_POLL_S)
        return True


def send(pid: int, signum: signal.Signals) -> None:
    """Signal a broker and wake it, should it be frozen: it cannot stop in order while it sleeps."""
    try:
        os.kill(pid, signum)
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def _works_on(pid: int, properties_file: Path) -> bool:
    try:
        return str(properties_file) in psutil.Process(pid).cmdline()
    except (psutil.Error, ValueError):  # gone, a zombie, somebody else's, or no pid at all
        return False


def _lock(data_dir: Path) -> TextIO:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = (data_dir / "broker.lock").open("a+")
    except OSError as error:
        raise DataDirUnusable(data_dir, str(error)) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with file:
            file.seek(0)
            raise DataDirInUse(data_dir, file.read().strip()) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
