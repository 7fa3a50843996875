"""sql: the embedded ClickHouse of `up`, sole owner of its directory, behind an operator's port. Needs no Kafka."""

import asyncio
import time
from pathlib import Path

from connectors.admin.metrics import Metrics
from connectors.sql_endpoint import EndpointConfig, Passwords, SqlServer, serve
from pipeline.settings import Settings

__all__ = ["SqlStage"]

ASK_EVERY_S = 2.0
UNREADY_AFTER_S = 10.0
FOLDER = "clickhouse"


class SqlStage:
    """Ready while the engine answers; it is asked every other second."""

    def __init__(self, settings: Settings, metrics: Metrics, port: int) -> None:
        self._metrics = metrics
        self._folder = Path(settings.data_dir) / FOLDER
        self._config = EndpointConfig(settings.sql_host, port, _passwords(settings))
        self._server: SqlServer | None = None
        self._answered_at = time.monotonic()
        self._asking: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return self._server.port

    async def start(self) -> None:
        """Raises EngineStartError, OSError; then nothing is held."""
        self._server = await serve(self._folder, self._config, self._observe)
        self._answered_at = time.monotonic()
        self._asking = asyncio.create_task(self._ask(self._server))

    async def stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        if self._server is not None:
            await self._server.stop()

    def is_ready(self) -> bool:
        return time.monotonic() - self._answered_at < UNREADY_AFTER_S

    def refresh(self) -> None:
        """The gauges, before a scrape."""
        if self._server is not None:
            self._metrics.set("sql_running", self._server.running)
            self._metrics.set("sql_waiting", self._server.waiting)

    def _observe(self, kind: str, result: str, seconds: float) -> None:
        self._metrics.count("sql_statements_total", kind=kind, result=result)
        self._metrics.observe("sql_seconds", seconds, kind=kind)

    async def _ask(self, server: SqlServer) -> None:
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            if await server.answers():
                self._answered_at = time.monotonic()


def _passwords(settings: Settings) -> Passwords:
    key, reader = settings.sql_key, settings.sql_reader_key
    return Passwords(key=key.get_secret_value() if key else None, reader=reader.get_secret_value() if reader else None)
