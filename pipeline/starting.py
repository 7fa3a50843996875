"""Starting: how each stage is put together out of real clients, and how it says that it is ready, failed, or over.

A process imports only what its own stages need: most of a start is imports, and much of its memory.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from connectors.clickhouse.address import InvalidDsn
from connectors.kafka.tail import Tail
from pipeline.emit import Emit
from pipeline.settings import Settings
from pipeline.tools import Tools, epoch_ms
from schemas import topics as t
from schemas.bodies import check_body
from schemas.events import Ref

if TYPE_CHECKING:
    from connectors.providers.driver import Driver
    from pipeline.agents.call import CallStage
    from pipeline.agents.sensing import Sensing
    from pipeline.stage import StageApp
    from schemas.roles import Lane

__all__ = ["Running", "Starter", "import_for"]

START_DEADLINE_S = 60
LOOK_BACK_MS = 15 * t.MINUTE_MS
SQL_PORT = 8123
ADMIN_PORT = 8081
_HEAVY = {
    "gateway": ("connectors.gateway", "pipeline.agents.history", "pipeline.core.classify"),
    "route": ("pipeline.stage", "pipeline.agents.route"),
    "call": ("pipeline.stage", "pipeline.agents.call"),
    "health": ("pipeline.stage", "pipeline.agents.health"),
    "retry": ("pipeline.agents.retry",),
    "alerts": ("pipeline.agents.alerts",),
    "bulk": ("pipeline.stage", "pipeline.agents.call"),
    "shadow": ("pipeline.agents.shadow",),
    "sink": ("pipeline.agents.sink",),
    "admin": ("pipeline.agents.admin",),
    "sql": ("pipeline.agents.sql",),
}


@dataclass(slots=True)
class Running:
    """A started stage: how it says that it failed, what its readiness is, how it ends."""

    name: str
    port: int | None = None
    failed: "Sequence[asyncio.Future[BaseException]]" = ()
    is_ready: Callable[[], bool] = lambda: True
    stop: Callable[[], Awaitable[None]] | None = None
    refresh: list[Callable[[], None]] = field(default_factory=list)


def import_for(stages: Sequence[str]) -> None:
    """Before the first of them works: an import holds up everything that runs beside it."""
    for module in (module for name in stages for module in _HEAVY.get(name, ())):
        import_module(module)


class Starter:
    """Of one process; `is_ready` tells of all its stages."""

    def __init__(self, settings: Settings, tools: Tools, emit: Emit, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready
        self._settings = settings
        self._tools = tools
        self._emit = emit
        self._security = settings.client_options()

    async def start(self, name: str, port: int | None) -> Running:
        """Returns when it can work. Raises LookupError for a stage that is not there yet."""
        makers = {
            "gateway": self._gateway,
            "route": self._route,
            "call": self._call,
            "bulk": self._bulk,
            "health": self._health,
            "retry": self._retry,
            "alerts": self._alerts,
            "shadow": self._shadow,
            "sink": self._sink,
            "admin": self._admin,
            "sql": self._sql,
        }
        if name not in makers:
            raise LookupError(f"the stage `{name}` is not there yet; there are {', '.join(makers)}")
        return await makers[name](port)

    def _app(self, name: str, slot: str = "", *, is_patient: bool = False) -> "StageApp":
        from pipeline.stage import StageApp

        return StageApp(
            name,
            bootstrap=self._tools.bootstrap,
            slot=f"{slot or name}-{self._tools.instance}",
            security=self._security,
            is_patient=is_patient,
        )

    def _tail(self, topics: Sequence[t.Topic], handle: Callable[[Any], None], since_ms: int | None = None) -> Tail:
        names = [self._tools.topic(topic.name) for topic in topics]
        return Tail(self._tools.bootstrap, names, handle, since_ms=since_ms, security=self._security)

    async def _route(self, _port: int | None) -> Running:
        from pipeline.agents.route import RouteStage

        app = self._app("route")
        stage = RouteStage(self._tools, self._emit, app)
        app.agent("enrich", [self._tools.topic(t.REQUESTS.name)], stage.handle_requests)
        app.agent("route", [self._tools.topic(t.RETRIES_DUE.name)], stage.handle_due)
        app.agent("settle", [self._tools.topic(t.ATTEMPTS.name)], stage.handle_attempts)
        tails = [self._tail([t.CANCELS], stage.cancel), self._tail([t.BREAKERS], stage.endpoints.heard, since_ms=0)]
        running = await self._faust("route", app, tails, drain=None)
        running.refresh.append(stage.endpoints.show)
        return running

    async def _call(self, _port: int | None) -> Running:
        app, stage, sensing = self._lane("call", "interactive")
        running = await self._serve_lane(app, stage, "interactive")
        app.spawn(sensing.speak())
        app.spawn(sensing.listen(stage.evacuate))
        return running

    async def _bulk(self, _port: int | None) -> Running:
        app, stage, _ = self._lane("bulk", "bulk")
        return await self._serve_lane(app, stage, "bulk")

    def _lane(self, name: str, lane: "Lane") -> "tuple[StageApp, CallStage, Sensing]":
        from pipeline.agents.call import LANES, CallStage
        from pipeline.agents.sensing import Sensing

        # Providers that are off are subscribed too: a static member must not come back with another subscription.
        provider = self._tools.provider
        names = [provider] if provider else list(self._tools.loaded.catalog.providers)
        app = self._app(name, f"{name}-{provider}" if provider else name, is_patient=lane == "bulk")
        sensing = Sensing(self._tools, self._emit)
        stage = CallStage(self._tools, self._emit, app, self._drivers(names), sensing, lane)
        for each in names:  # an agent each: a provider whose places are all taken must not hold up the others
            app.agent(f"{name}-{each}", [self._tools.topic(LANES[lane].named(provider=each))], stage.handle)
        return app, stage, sensing

    async def _serve_lane(self, app: "StageApp", stage: "CallStage", lane: "Lane") -> Running:
        tails = [self._tail([t.CANCELS], stage.cancel), self._tail([t.BREAKERS], stage.breaker_changed, since_ms=0)]
        running = await self._faust(app.name, app, tails, drain=stage.drain)
        running.refresh.append(lambda: self._show_in_flight(stage.in_flight(), lane))
        return running

    async def _faust(
        self, name: str, app: "StageApp", tails: Sequence[Tail], drain: Callable[[], Awaitable[None]] | None
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
        from pipeline.agents.health import HealthStage

        app = self._app("health")
        stage = HealthStage(self._tools, self._emit, app)
        app.agent("health", [self._tools.topic(t.SIGNALS.name)], stage.handle)
        running = await self._faust("health", app, [self._tail([t.BREAKERS], stage.overheard)], drain=None)
        app.spawn(stage.watch())
        return running

    async def _retry(self, _port: int | None) -> Running:
        from pipeline.agents.retry import RetryRelay

        relay = RetryRelay(self._tools)
        await relay.start()
        return Running("retry", failed=[relay.failed], stop=relay.stop)

    async def _alerts(self, _port: int | None) -> Running:
        from pipeline.agents.alerts import Alerts

        alerts = Alerts(self._tools, self._emit, security=self._security)
        await alerts.start()
        running = Running("alerts", failed=[alerts.failed], is_ready=alerts.is_ready, stop=alerts.stop)
        running.refresh.append(alerts.show)
        return running

    async def _shadow(self, _port: int | None) -> Running:
        from pipeline.agents.shadow import ShadowStage

        shadow = ShadowStage(self._tools, self._emit, security=self._security)
        tail = self._tail([t.BREAKERS], shadow.heard_breaker, since_ms=0)
        await tail.start()
        await tail.caught_up.wait()
        await asyncio.wait_for(shadow.start(), START_DEADLINE_S)

        async def stop() -> None:
            await shadow.stop()
            await tail.stop()

        failed = [shadow.failed, asyncio.ensure_future(_end_of(tail))]
        return Running("shadow", failed=failed, is_ready=shadow.is_ready, stop=stop)

    async def _sink(self, _port: int | None) -> Running:
        from pipeline.agents.sink import Sink

        if self._settings.clickhouse_dsn is None:
            raise InvalidDsn("which ClickHouse? set MILLRACE_CLICKHOUSE_DSN=clickhouse://host:port")
        sink = Sink(self._tools, self._emit, self._settings.clickhouse_dsn, security=self._security)
        await sink.start()
        running = Running("sink", failed=[sink.failed], is_ready=sink.is_ready, stop=sink.stop)
        running.refresh.append(sink.show)
        return running

    async def _admin(self, port: int | None) -> Running:
        from pipeline.agents.admin import AdminStage

        stage = AdminStage(self._tools, self._settings)
        tail = self._tail([t.BREAKERS, t.SHADOWS, t.SHADOW_PROGRESS], stage.heard, since_ms=0)
        await tail.start()
        port = await stage.start(ADMIN_PORT if port is None else port, self._is_ready)

        async def stop() -> None:
            await stage.stop()
            await tail.stop()

        failed = [asyncio.ensure_future(_end_of(tail))]
        return Running("admin", port=port, failed=failed, is_ready=tail.caught_up.is_set, stop=stop)

    async def _sql(self, port: int | None) -> Running:
        from pipeline.agents.sql import SqlStage

        stage = SqlStage(self._settings, self._tools.metrics, SQL_PORT if port is None else port)
        await stage.start()
        return Running("sql", port=stage.port, is_ready=stage.is_ready, stop=stage.stop, refresh=[stage.refresh])

    async def _gateway(self, port: int | None) -> Running:
        from connectors.gateway import GatewayConfig, Waiting, create_app, serve
        from pipeline.agents.history import History
        from pipeline.core.classify import count_input_tokens

        waiting = Waiting(self._tools.topic_prefix, epoch_ms)
        tail = self._tail([t.REQUESTS, t.RESPONSES, t.DELTAS], waiting.handle, since_ms=epoch_ms() - LOOK_BACK_MS)
        await tail.start()
        history = History(self._tools, self._settings.clickhouse_dsn) if self._settings.clickhouse_dsn else None
        app = create_app(
            GatewayConfig(
                topic_prefix=self._tools.topic_prefix, pepper=self._tools.pepper, partitions=self._tools.partitions
            ),
            catalog=lambda: self._tools.loaded.catalog,
            keys=lambda: self._tools.loaded.tenant_keys,
            log=self._tools.producers,
            waiting=waiting,
            scan=self._scan,
            fetch=self._fetch,
            check_body=check_body,
            count_tokens=count_input_tokens,
            now_ms=epoch_ms,
            random_bytes=secrets.token_bytes,
            lookup=history.outcome if history else None,
            conversation=history.conversation if history else None,
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
        return self._tools.scanner.read(topic, partition, since_ms=since_ms)

    async def _fetch(self, ref: Ref) -> Any:
        return await self._tools.scanner.fetch(ref.topic, ref.partition, ref.offset)

    def _drivers(self, names: Sequence[str]) -> "dict[str, Driver]":
        from connectors.providers.driver import Driver, ProviderEndpoint
        from connectors.providers.limits import Timeouts
        from pipeline.agents.estimate import estimated_usage

        drivers = {}
        for name in set(names) - self._tools.loaded.off_providers:
            row = self._tools.loaded.catalog.providers[name]
            key = self._tools.loaded.provider_keys.get(name)
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

    def _show_lag(self, app: "StageApp") -> None:
        lags: Counter[str] = Counter()
        for (topic, _), lag in app.lag().items():
            lags[topic] += lag
        for topic, lag in lags.items():
            self._tools.metrics.set("consumer_lag", lag, topic=topic)
        for topic, age_s in app.oldest_unacked_s().items():
            self._tools.metrics.set("oldest_unacked_seconds", age_s, topic=topic)

    def _show_in_flight(self, counts: dict[str, int], lane: "Lane") -> None:
        for provider, count in counts.items():
            self._tools.metrics.set("in_flight", count, provider=provider, lane=lane)


async def _end_of(tail: Tail) -> BaseException:
    """A tail never ends by itself: one that does has left its stage deaf."""
    try:
        await tail.wait()
    except Exception as error:
        return error
    return RuntimeError("a tail ended")
