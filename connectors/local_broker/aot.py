"""Makes the next starts quicker: an AOT cache of the broker's classes (JDK 24+; JEP 483, 514, 515).

Saves two thirds of a start (3.0 s -> 1.1 s until the port listens) and half its CPU time; costs one run of a throw-away
broker, about 12 s at the lowest priority, and 66 MB in the cache. So whoever keeps a broker running calls `train` in
the background once everything else works, and cancels it on the way out; `python -m connectors.local_broker` calls it
beforehand, for the test suite's dozens of starts. A start takes the cache if it is there; a JVM that does not like it
goes on without.
"""

import asyncio
import shutil
import tempfile
from pathlib import Path

from connectors.local_broker.jars import KafkaRuntime, ensure_kafka, locked
from connectors.local_broker.kafka import LocalBroker
from connectors.local_broker.ports import random_free_port

_ASSEMBLY_S = 120  # the JVM writes the cache while it ends
_KEPT = 3  # one per JVM in use on this machine; pip gives each venv another one
_LOWEST_PRIORITY = 19


async def train(cache_dir: Path | None = None) -> bool:
    """Build the AOT cache unless it is there or being built; says whether it did.

    Cancelling it stops its broker and leaves nothing behind.

    Raises:
        BrokerError: the throw-away broker did not start; nothing depends on it.
    """
    runtime = await asyncio.to_thread(ensure_kafka, cache_dir, lambda _message, _fraction: None)
    if runtime.aot_cache.exists():
        return False
    home = runtime.aot_cache.parent
    try:
        with locked(home / ".train.lock", _give_up):
            for leftover in home.glob(".train-*/"):
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=".train-", dir=home, ignore_cleanup_errors=True) as scratch:
                return await _run_once(Path(scratch), runtime, cache_dir)
    except BlockingIOError:
        return False


def _give_up() -> None:
    raise BlockingIOError


async def _run_once(scratch: Path, runtime: KafkaRuntime, cache_dir: Path | None) -> bool:
    draft = scratch / "draft.aot"
    options = [f"-XX:AOTCacheOutput={draft}"]
    port = random_free_port()
    broker = LocalBroker(scratch / "broker", port, cache_dir, jvm_options=options, niceness=_LOWEST_PRIORITY)
    try:
        await broker.start()
        await broker.stop(_ASSEMBLY_S)
    finally:
        await broker.stop(0)
    if not draft.exists():
        return False
    draft.replace(runtime.aot_cache)
    _forget_old_ones(runtime.aot_cache.parent)
    return True


def _forget_old_ones(home: Path) -> None:
    newest_first = sorted(home.glob("*.aot"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in newest_first[_KEPT:]:
        path.unlink(missing_ok=True)
