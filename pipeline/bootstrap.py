"""Bootstrap: the one place where real clients are made and plugged in, and a process lives and dies.

1. settings and catalogue are read; a mistake there ends the process with one JSON line
2. producers, scanner, metrics, admin port
3. each stage starts with its own consumer group and prints its ready line
4. until SIGTERM (drain, exit 0), or something fails (exit 1 with one JSON line; the supervisor restarts the slot)
"""

import asyncio
import logging
import os
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from connectors.admin import app as admin
from connectors.admin.metrics import Metrics
from connectors.clickhouse.address import InvalidDsn
from connectors.gateway import GatewayConfig, Waiting, create_app, serve
from connectors.kafka.producers import Producers
from connectors.kafka.scan import Scanner
from connectors.kafka.tail import Tail
from connectors.providers.driver import Driver, ProviderEndpoint
from connectors.providers.limits import Timeouts
from pipeline.agents.alerts import Alerts
from pipeline.agents.call import CallStage
from pipeline.agents.estimate import estimated_usage
from pipeline.agents.health import HealthStage
from pipeline.agents.history import History
from pipeline.agents.retry import RetryRelay
from pipeline.agents.route import RouteStage
from pipeline.agents.sensing import Sensing
from pipeline.agents.sink import Sink
from pipeline.catalog_file import CatalogError, LoadedCatalog, load
from pipeline.core.classify import count_input_tokens
from pipeline.emit import Emit
from pipeline.settings import Settings, environment
from pipeline.slots import Slot, SlotBusy
from pipeline.stage import StageApp
from pipeline.tools import Tools, epoch_ms
from schemas import topics as t
from schemas.bodies import check_body
from schemas.events import Ref

log = logging.getLogger(__name__)

START_DEADLINE_S = 60
CATALOG_POLL_S = 2.0
HEARTBEAT_S = 2.0
UNREADY_AFTER_S = 5.0
LOOK_BACK_MS = 15 * t.MINUTE_MS
WITHOUT_KAFKA = frozenset({"sql"})
SQL_PORT = 8123
ADMIN_PORT = 8081


@dataclass(slots=True)
class Running:
    """A started stage: how it says that it failed, what its readiness is, how it ends."""

    name: str
    port: int | None = None
    failed: "Sequence[asyncio.Future[BaseException]]" = ()
    is_ready: Callable[[], bool] = lambda: True
    stop: Callable[[], Awaitable[None]] | None = None
    refresh: list[Callable[[], None]] = field(default_factory=list)


class Host:
    """One process: its tools, its stages, its end."""

    def __init__(self, settings: Settings, loaded: LoadedCatalog, instance: int, provider: str | None) -> None:
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
            producers=Producers(bootstrap, security=security),
            scanner=Scanner(bootstrap, security=security),
            metrics=Metrics(),
            provider=provider,
        )
        self.emit = Emit(self.tools)
        self.running: list[Running] = []
        self._security = security
        self._broker_seen = time.monotonic()
        self._has_broker = False

    async def start(self, stages: Sequence[str], port: int | None) -> None:
        self._has_broker = not WITHOUT_KAFKA.issuperset(stages)
        if self._has_broker:
            await self.tools.producers.start()
            await self.tools.scanner.start()
        self.tools.metrics.set("config_info", 1, version=self.tools.loaded.catalog.hash)
        for name in stages:
            self.running.append(await self._start_stage(name, port))

    async def stop(self) -> None:
        for stage in self.running:
            if stage.stop is not None:
                await stage.stop()
        if self._has_broker:
            await self.tools.producers.stop()
            await self.tools.scanner.stop()

    def reload(self) -> None:
        """Validated whole, then swapped; a bad file leaves the old catalogue in force and says so."""
        try:
            loaded = load(self._settings.config, environment())
        except CatalogError as error:
            log.error("catalogue refused, the old one stays: %s", said(error))
            return
        old = self.tools.loaded.catalog
        if (loaded.catalog.providers, loaded.catalog.retry) != (old.providers, old.retry):
            log.warning("providers or retry delays changed: these need a restart of the stages, the rest is in force")
        self.tools.loaded = loaded
        self.tools.metrics.set("config_info", 0, version=old.hash)
        self.tools.metrics.set("config_info", 1, version=loaded.catalog.hash)

    async def watch_catalog(self) -> None:
        """A look at the file's time every few seconds costs nothing and works on every file system."""
        path = self._settings.config
        seen = path.stat().st_mtime_ns
        while True:
            await asyncio.sleep(CATALOG_POLL_S)
            if path.exists() and (changed := path.stat().st_mtime_ns) != seen:
                seen = changed
                self.reload()

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

    async def _start_stage(self, name: str, port: int | None) -> Running:
        makers = {
            "gateway": self._gateway,
            "route": self._route,
            "call": self._call,
            "health": self._health,
            "retry": self._retry,
            "alerts": self._alerts,
            "sink": self._sink,
            "admin": self._admin,
            "sql": self._sql,
        }
        if name not in makers:
            raise LookupError(f"the stage `{name}` is not there yet; there are {', '.join(makers)}")
        return await makers[name](port)

    def _app(self, name: str, slot: str = "") -> StageApp:
        return StageApp(
            name,
            bootstrap=self.tools.bootstrap,
            slot=f"{slot or name}-{self.tools.instance}",
            security=self._security,
        )

    def _tail(self, topics: Sequence[t.Topic], handle: Callable[[Any], None], since_ms: int | None = None) -> Tail:
        names = [self.tools.topic(topic.name) for topic in topics]
        return Tail(self.tools.bootstrap, names, handle, since_ms=since_ms, security=self._security)

    async def _route(self, _port: int | None) -> Running:
        app = self._app("route")
        stage = RouteStage(self.tools, self.emit, app)
        app.agent("enrich", [self.tools.topic(t.REQUESTS.name)], stage.handle_requests)
        app.agent("route", [self.tools.topic(t.RETRIES_DUE.name)], stage.handle_due)
        app.agent("settle", [self.tools.topic(t.ATTEMPTS.name)], stage.handle_attempts)
        tails = [self._tail([t.CANCELS], stage.cancel), self._tail([t.BREAKERS], stage.endpoints.heard, since_ms=0)]
        running = await self._faust("route", app, tails, drain=None)
        running.refresh.append(stage.endpoints.show)
        return running

    async def _call(self, _port: int | None) -> Running:
        # Providers that are off are subscribed too: a static member must not come back with another subscription.
        provider = self.tools.provider
        names = [provider] if provider else list(self.tools.loaded.catalog.providers)
        app = self._app("call", f"call-{provider}" if provider else "call")
        sensing = Sensing(self.tools, self.emit)
        stage = CallStage(self.tools, self.emit, app, self._drivers(names), sensing)
        for name in names:  # an agent each: a provider whose places are all taken must not hold up the others
            app.agent(f"call-{name}", [self.tools.topic(t.CALLS.named(provider=name))], stage.handle)
        tails = [self._tail([t.CANCELS], stage.cancel), self._tail([t.BREAKERS], stage.breaker_changed, since_ms=0)]
        running = await self._faust("call", app, tails, drain=stage.drain)
        app.spawn(sensing.speak())
        app.spawn(sensing.listen(stage.evacuate))
        running.refresh.append(lambda: self._show_in_flight(stage.in_flight()))
        return running

    async def _faust(
        self, name: str, app: StageApp, tails: Sequence[Tail], drain: Callable[[], Awaitable[None]] | None
    ) -> Running:
        for tail in tails:
            await tail.start()
        await app.start()
        await asyncio.wait_for(app.ready.wait(), START_DEADLINE_S)

        async def stop() -> None:
            if drain is not None:
                await drain()
            await app.stop()
            for tail in tails:
                await tail.stop()

        failed = [app.failed, *(asyncio.ensure_future(_end_of(tail)) for tail in tails)]
        running = Running(name, failed=failed, is_ready=app.is_assigned, stop=stop)
        running.refresh.append(lambda: self._show_lag(app))
        return running

    async def _health(self, _port: int | None) -> Running:
        app = self._app("health")
        stage = HealthStage(self.tools, self.emit, app)
        app.agent("health", [self.tools.topic(t.SIGNALS.name)], stage.handle)
        running = await self._faust("health", app, [self._tail([t.BREAKERS], stage.overheard)], drain=None)
        app.spawn(stage.watch())
        return running

    async def _retry(self, _port: int | None) -> Running:
        relay = RetryRelay(self.tools)
        await relay.start()
        return Running("retry", failed=[relay.failed], stop=relay.stop)

    async def _alerts(self, _port: int | None) -> Running:
        alerts = Alerts(self.tools, self.emit, security=self._security)
        await alerts.start()
        running = Running("alerts", failed=[alerts.failed], is_ready=alerts.is_ready, stop=alerts.stop)
        running.refresh.append(alerts.show)
        return running

    async def _sink(self, _port: int | None) -> Running:
        if self._settings.clickhouse_dsn is None:
            raise InvalidDsn("which ClickHouse? set MILLRACE_CLICKHOUSE_DSN=clickhouse://host:port")
        sink = Sink(self.tools, self.emit, self._settings.clickhouse_dsn, security=self._security)
        await sink.start()
        running = Running("sink", failed=[sink.failed], is_ready=sink.is_ready, stop=sink.stop)
        running.refresh.append(sink.show)
        return running

    async def _admin(self, port: int | None) -> Running:
        from pipeline.agents.admin import AdminStage

        stage = AdminStage(self.tools, self._settings)
        tail = self._tail([t.BREAKERS], stage.heard, since_ms=0)
        await tail.start()
        port = await stage.start(ADMIN_PORT if port is None else port, self.is_ready)

        async def stop() -> None:
            await stage.stop()
            await tail.stop()

        failed = [asyncio.ensure_future(_end_of(tail))]
        return Running("admin", port=port, failed=failed, is_ready=tail.caught_up.is_set, stop=stop)

    async def _sql(self, port: int | None) -> Running:
        from pipeline.agents.sql import SqlStage

        stage = SqlStage(self._settings, self.tools.metrics, SQL_PORT if port is None else port)
        await stage.start()
        return Running("sql", port=stage.port, is_ready=stage.is_ready, stop=stage.stop, refresh=[stage.refresh])

    async def _gateway(self, port: int | None) -> Running:
        waiting = Waiting(self.tools.topic_prefix, epoch_ms)
        tail = self._tail([t.REQUESTS, t.RESPONSES, t.DELTAS], waiting.handle, since_ms=epoch_ms() - LOOK_BACK_MS)
        await tail.start()
        history = History(self.tools, self._settings.clickhouse_dsn) if self._settings.clickhouse_dsn else None
        app = create_app(
            GatewayConfig(
                topic_prefix=self.tools.topic_prefix, pepper=self.tools.pepper, partitions=self.tools.partitions
            ),
            catalog=lambda: self.tools.loaded.catalog,
            keys=lambda: self.tools.loaded.tenant_keys,
            log=self.tools.producers,
            waiting=waiting,
            scan=self._scan,
            fetch=self._fetch,
            check_body=check_body,
            count_tokens=count_input_tokens,
            now_ms=epoch_ms,
            random_bytes=secrets.token_bytes,
            lookup=history.outcome if history else None,
            usage=history.usage if history else None,
            ready=tail.caught_up.is_set,
        )
        server = await serve(app, "127.0.0.1", 8080 if port is None else port)

        async def stop() -> None:
            await server.stop()
            await tail.stop()
            if history is not None:
                await history.close()

        outbox = app.state.gateway.outbox
        failed = [asyncio.ensure_future(_end_of(tail))]
        return Running("gateway", port=server.port, failed=failed, is_ready=lambda: outbox.is_ready, stop=stop)

    def _scan(self, topic: str, partition: int, since_ms: int) -> Any:
        return self.tools.scanner.read(topic, partition, since_ms=since_ms)

    async def _fetch(self, ref: Ref) -> Any:
        return await self.tools.scanner.fetch(ref.topic, ref.partition, ref.offset)

    def _drivers(self, names: Sequence[str]) -> dict[str, Driver]:
        drivers = {}
        for name in set(names) - self.tools.loaded.off_providers:
            row = self.tools.loaded.catalog.providers[name]
            key = self.tools.loaded.provider_keys.get(name)
            drivers[name] = Driver(
                ProviderEndpoint(
                    name=name,
                    base_url=str(row.base_url),
                    adapter=row.adapter,
                    api_key=key.get_secret_value() if key else None,
                    timeouts=Timeouts(**row.timeouts.model_dump()),
                    allow_private_egress=row.allow_private_egress,
                    max_connections=row.max_in_flight + 16,
                ),
                estimate=estimated_usage,
            )
        return drivers

    def _show_lag(self, app: StageApp) -> None:
        lags: Counter[str] = Counter()
        for (topic, _), lag in app.lag().items():
            lags[topic] += lag
        for topic, lag in lags.items():
            self.tools.metrics.set("consumer_lag", lag, topic=topic)
        for topic, age_s in app.oldest_unacked_s().items():
            self.tools.metrics.set("oldest_unacked_seconds", age_s, topic=topic)

    def _show_in_flight(self, counts: dict[str, int]) -> None:
        for provider, count in counts.items():
            self.tools.metrics.set("in_flight", count, provider=provider, lane="interactive")


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
        loaded = load(settings.config, environment())
        slots = [Slot(settings.data_dir, f"{stage}-{instance}") for stage in stages]
        host = Host(settings, loaded, instance, provider)
        return await _live(host, stages, port, admin_port, stopping, slots)
    except CatalogError as error:
        return _give_up("invalid catalogue", said(error))
    except SlotBusy as error:
        return _give_up("slot in use", str(error))
    except Exception as error:
        return _give_up(type(error).__name__, str(error))


async def _end_of(tail: Tail) -> BaseException:
    """A tail never ends by itself: one that does has left its stage deaf."""
    try:
        await tail.wait()
    except Exception as error:
        return error
    return RuntimeError("a tail ended")


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
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, host.reload)
    runner = await admin.serve(host.tools.metrics, host.is_ready, host.refresh, admin_port)
    starting = asyncio.ensure_future(host.start(stages, port))
    stop_asked = asyncio.ensure_future(stopping.wait())
    await asyncio.wait([starting, stop_asked], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return 0
    starting.result()
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
