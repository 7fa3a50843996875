"""Bootstrap: a process lives and dies here, and its clients are made here; `starting` puts the stages together out of them.

1. settings and catalogue are read; a mistake there ends the process with one JSON line
2. producers, scanner, metrics, admin port
3. each stage starts with its own consumer group and prints its ready line
4. until SIGTERM (drain, exit 0), or something fails (exit 1 with one JSON line; the supervisor restarts the slot)
"""

import asyncio
import gc
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import orjson

from connectors.admin import app as admin
from connectors.admin.metrics import Metrics
from connectors.kafka.producers import Producers
from connectors.kafka.scan import Scanner
from pipeline.catalog_file import CatalogError, LoadedCatalog, load
from pipeline.emit import Emit
from pipeline.settings import Settings, environment
from pipeline.slots import Slot, SlotBusy
from pipeline.starting import Running, Starter, import_for
from pipeline.tools import Tools
from pipeline.topology import BACKGROUND
from schemas.events import CatalogInForce

log = logging.getLogger(__name__)

CATALOG_POLL_S = 2.0
HEARTBEAT_S = 2.0
UNREADY_AFTER_S = 5.0
DECIDING = "route"
WITHOUT_KAFKA = frozenset({"sql"})


class Host:
    """One process: its tools, its stages, its end."""

    def __init__(
        self, settings: Settings, loaded: LoadedCatalog, stages: Sequence[str], instance: int, provider: str | None
    ) -> None:
        self._settings = settings
        bootstrap = settings.kafka_bootstrap or "127.0.0.1:9092"
        security = settings.client_options()
        self.tools = Tools(
            bootstrap=bootstrap,
            topic_prefix=settings.topic_prefix,
            partitions=settings.tenant_partitions,
            pepper=settings.pepper.get_secret_value().encode() if settings.pepper else b"",
            worker=f"{instance}-{secrets.token_hex(4)}",
            instance=instance,
            loaded=loaded,
            producers=Producers(bootstrap, is_patient=BACKGROUND.issuperset(stages), security=security),
            scanner=Scanner(bootstrap, security=security),
            metrics=Metrics(),
            provider=provider,
        )
        self.emit = Emit(self.tools)
        self.running: list[Running] = []
        self._broker_seen = time.monotonic()
        self._has_broker = False
        self._decides = False
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, stages: Sequence[str], port: int | None) -> None:
        self._has_broker = not WITHOUT_KAFKA.issuperset(stages)
        if self._has_broker:
            await self.tools.producers.start()
            await self.tools.scanner.start()
        self._decides = DECIDING in stages
        await self._log(self.tools.loaded)
        self.tools.metrics.set("config_info", 1, version=self.tools.loaded.catalog.hash)
        starter = Starter(self._settings, self.tools, self.emit, self.is_ready)
        for name in stages:
            self.running.append(await starter.start(name, port))

    async def stop(self) -> None:
        for stage in self.running:
            if stage.stop is not None:
                await stage.stop()
        if self._has_broker:
            await self.tools.producers.stop()
            await self.tools.scanner.stop()

    async def reload(self) -> None:
        """Validated whole, then swapped; a bad file leaves the old catalogue in force and says so."""
        async with self._reloading:
            await self._reload()

    def reload_soon(self) -> None:
        """For a signal's handler."""
        task = asyncio.get_running_loop().create_task(self.reload())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload(self) -> None:
        try:
            loaded = load(self._settings.config, environment())
        except CatalogError as error:
            log.error("catalogue refused, the old one stays: %s", said(error))
            return
        old = self.tools.loaded.catalog
        if (loaded.catalog.providers, loaded.catalog.retry) != (old.providers, old.retry):
            log.warning("providers or retry delays changed: these need a restart of the stages, the rest is in force")
        await self._log(loaded)
        self.tools.loaded = loaded
        self.tools.metrics.set("config_info", 0, version=old.hash)
        self.tools.metrics.set("config_info", 1, version=loaded.catalog.hash)

    async def _log(self, loaded: LoadedCatalog) -> None:
        """Before the first decision under it: what was decided can be decided again, also after a kill right now."""
        if self._decides:
            catalog = loaded.catalog
            await self.emit.catalog(CatalogInForce(catalog.hash, catalog.document(), self.tools.now_ms()))

    async def watch_catalog(self) -> None:
        """A look at the file's time every few seconds costs nothing and works on every file system."""
        path = self._settings.config
        seen = path.stat().st_mtime_ns
        while True:
            await asyncio.sleep(CATALOG_POLL_S)
            if path.exists() and (changed := path.stat().st_mtime_ns) != seen:
                seen = changed
                await self.reload()

    async def heartbeat(self) -> None:
        """How late this loop runs, and when the broker last answered."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + HEARTBEAT_S
            await asyncio.sleep(HEARTBEAT_S)
            self.tools.metrics.observe("event_loop_lag_seconds", max(0.0, loop.time() - due))
            if not self._has_broker or await self.tools.producers.is_reachable(HEARTBEAT_S):
                self._broker_seen = time.monotonic()

    def is_ready(self) -> bool:
        """False while nothing is assigned, or when the broker has not answered for 5 s."""
        is_away = time.monotonic() - self._broker_seen > UNREADY_AFTER_S
        return bool(self.running) and not is_away and all(stage.is_ready() for stage in self.running)

    def refresh(self) -> None:
        for stage in self.running:
            for gauge in stage.refresh:
                gauge()


async def run_stages(
    stages: Sequence[str],
    settings: Settings,
    *,
    instance: int = 0,
    port: int | None = None,
    admin_port: int = 0,
    provider: str | None = None,
) -> int:
    """Run these stages in this process until SIGTERM or a failure; the exit code."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        import_for(stages)
        loaded = load(settings.config, environment())
        slots = [Slot(settings.data_dir, f"{stage}-{instance}") for stage in stages]
        host = Host(settings, loaded, stages, instance, provider)
        return await _live(host, stages, port, admin_port, stopping, slots)
    except CatalogError as error:
        return _give_up("invalid catalogue", said(error))
    except SlotBusy as error:
        return _give_up("slot in use", str(error))
    except Exception as error:
        return _give_up(type(error).__name__, str(error))


def said(error: CatalogError) -> str:
    """The first problems of a catalogue in one line."""
    return "; ".join(f"line {p.line}: {p.path}: {p.message}" for p in error.problems[:5])


async def _live(
    host: Host,
    stages: Sequence[str],
    port: int | None,
    admin_port: int,
    stopping: asyncio.Event,
    _slots: list[Slot],
) -> int:
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, host.reload_soon)
    runner = await admin.serve(host.tools.metrics, host.is_ready, host.refresh, admin_port)
    starting = asyncio.ensure_future(host.start(stages, port))
    stop_asked = asyncio.ensure_future(stopping.wait())
    await asyncio.wait([starting, stop_asked], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return 0
    starting.result()
    gc.freeze()  # what is there now stays
    gc.enable()
    _print_ready(host, admin.port_of(runner))
    failures = [failure for stage in host.running for failure in stage.failed]
    beside = [asyncio.ensure_future(host.watch_catalog()), asyncio.ensure_future(host.heartbeat())]
    ends: list[asyncio.Future[Any]] = [stop_asked, *beside, *failures]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    failed = next((future.result() for future in failures if future.done()), None)
    if failed is not None:
        # Fail-stop: nothing is acked any more and no drain may hang; a restart in this slot is what kill -9 is tested for.
        os._exit(_give_up(type(failed).__name__, str(failed)))
    for task in beside:
        if task.done():
            task.result()
        task.cancel()
    await host.stop()
    await runner.cleanup()
    return 0


def _print_ready(host: Host, admin_port: int) -> None:
    for stage in host.running:
        line = {
            "event": "ready",
            "stage": stage.name,
            "instance": host.tools.instance,
            "pid": os.getpid(),
            "port": stage.port,
            "admin_port": admin_port,
            "catalog": host.tools.loaded.catalog.hash,
        }
        sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()


def _give_up(reason: str, detail: str) -> int:
    sys.stdout.write(orjson.dumps({"event": "exit", "reason": reason, "detail": detail[:500]}).decode() + "\n")
    sys.stdout.flush()
    return 1
