"""admin: the platform for its operators. `breakers.v1`, `shadow-progress.v1` -> live tables; orders -> `signals.v1`, `shadows.v1`.

The rest is asked when needed.

It owns nothing and reads without a group: it may be away, and any number may run.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from connectors.clickhouse.address import parse_dsn
from connectors.clickhouse.experiments import Experiments, Range
from connectors.clickhouse.reader import Reader
from connectors.clickhouse.store import StoreError
from connectors.dashboard import (
    Access,
    ChildProcess,
    Desk,
    NoAnswer,
    UnknownEndpoint,
    UnknownExperiment,
    UnknownOrder,
    serve,
)
from pipeline.operations import breakers, dead_letters, explain, shadows
from pipeline.operations.experiments import Facts, experiments_of, facts_of
from pipeline.operations.plots import experiment_plots
from pipeline.operations.replaying.runs import RunStore
from pipeline.operations.report import experiment_report
from pipeline.operations.running import Connection, running_in
from pipeline.settings import Settings
from pipeline.tools import Tools
from schemas import topics as t
from schemas.catalog import Catalog

__all__ = ["AdminStage"]

PLATFORM = "_platform"
"""The tenant that the platform's own calls are booked under."""


class AdminStage:
    """`heard` takes the records of `breakers`, `shadows` and `shadow-progress`, from the beginning.

    Raises:
        InvalidDsn, KeyRequired: What the settings say cannot be used.
    """

    def __init__(self, tools: Tools, settings: Settings) -> None:
        self._tools, self._data_dir = tools, settings.data_dir
        self._access = _access(settings)
        self._where = Connection(
            tools.bootstrap, tools.topic_prefix, tools.partitions, str(settings.config), None, settings.client_options()
        )
        self._reader = Reader(parse_dsn(settings.clickhouse_dsn)) if settings.clickhouse_dsn else None
        self._runs = RunStore(settings.data_dir)
        self._board = breakers.BreakerBoard()
        self._runner: Any = None
        self._experiments = shadows.ShadowBoard()

    async def start(self, port: int, is_ready: Callable[[], bool]) -> int:
        """The port that it listens on. Raises OSError."""
        desk = Desk(
            breakers=lambda: self._board.rows(_endpoints(self._catalog)),
            order=self._order,
            shadows=lambda: self._experiments.rows(self._catalog),
            order_shadow=self._order_shadow,
            explain=self._explain,
            dead_letters=self._dead_letters,
            config=lambda: config_of(self._catalog),
            tenants=lambda: [*sorted(self._catalog.tenants), PLATFORM],
            children=lambda: children_of(self._data_dir),
            replays=self._runs.all,
            replay=self._runs.read,
            ask=self._ask,
            experiments=lambda: [asdict(self._experiments.now(facts)) for facts in experiments_of(self._catalog)],
            report=self._report,
            plots=self._plots,
            is_ready=is_ready,
        )
        self._runner = await serve(desk, self._access, port)
        return int(self._runner.addresses[0][1])

    def heard(self, record: Any) -> None:
        is_breaker = record.topic == self._tools.topic(t.BREAKERS.name)
        (self._board if is_breaker else self._experiments).heard(record)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._reader is not None:
            await self._reader.close()

    @property
    def _catalog(self) -> Catalog:
        return self._tools.loaded.catalog

    async def _order(self, endpoint: str, word: str) -> None:
        if word not in breakers.ORDERS:
            raise UnknownOrder(word)
        if endpoint not in _endpoints(self._catalog):
            raise UnknownEndpoint(endpoint)
        try:
            await breakers.order(
                self._board, self._tools.producers.deliver, self._tools.topic(t.SIGNALS.name),
                endpoint=endpoint, forced=breakers.ORDERS[word], operator="admin",
            )  # fmt: skip
        except breakers.NotCarriedOut as error:
            raise NoAnswer(str(error)) from None

    async def _order_shadow(self, name: str, word: str, from_ms: int | None) -> None:
        if word not in ("start", "stop") or (word == "stop" and from_ms is not None):
            raise UnknownOrder(word)
        if name not in {row.name for row in self._catalog.shadows}:
            raise UnknownExperiment(name)
        try:
            await shadows.order(
                self._experiments, self._tools.producers.deliver, self._tools.topic(t.SHADOWS.name),
                experiment=name, is_running=word == "start", from_ms=from_ms,
            )  # fmt: skip
        except shadows.NotConfirmed as error:
            raise NoAnswer(str(error)) from None

    async def _explain(self, request_id: str, tenant: str | None) -> dict[str, Any] | None:
        try:
            document = await explain.explain(self._where, self._reader, request_id, tenant=tenant)
        except KafkaError:
            raise NoAnswer("the broker does not answer") from None
        return document if explain.is_found(document) else None

    async def _dead_letters(self) -> list[dict[str, Any]]:
        try:
            return await dead_letters.dead_letters(self._where)
        except KafkaError:
            raise NoAnswer("the broker does not answer") from None

    async def _report(self, name: str) -> dict[str, Any] | None:
        facts = facts_of(self._catalog, name)
        asked = self._experiments.now(facts or Facts(name))
        try:
            document = await experiment_report(Experiments(self._tables), asked, Range(), self._tools.now_ms())
        except StoreError as error:
            raise NoAnswer(str(error)) from None
        return document if facts or document["pairs"] or document["skipped"] else None

    async def _plots(self, name: str) -> dict[str, Any]:
        facts = facts_of(self._catalog, name) or Facts(name)
        try:
            return await experiment_plots(Experiments(self._tables), facts, Range())
        except StoreError as error:
            raise NoAnswer(str(error)) from None

    async def _ask(self, sql: str, **parameters: str | int) -> list[dict[str, Any]]:
        try:
            return await self._tables.rows(sql, **parameters)
        except StoreError as error:
            raise NoAnswer(str(error)) from None

    @property
    def _tables(self) -> Reader:
        """Raises NoAnswer."""
        if self._reader is None:
            raise NoAnswer("no ClickHouse is configured (MILLRACE_CLICKHOUSE_DSN)")
        return self._reader


def _access(settings: Settings) -> Access:
    """Raises KeyRequired."""
    key = settings.admin_key.get_secret_value() if settings.admin_key else None
    return Access(settings.admin_host, frozenset(settings.admin_names.split()), key)


def config_of(catalog: Catalog) -> dict[str, Any]:
    """What is in force, by name. Providers and tenants hold the names of key variables: they are not shown."""
    return {
        "catalog": catalog.hash,
        "routes": {name: catalog.candidates_of(name) for name in catalog.routes},
        "models": {
            name: {"provider": model.provider, "endpoint": catalog.endpoint_of(name)}
            for name, model in catalog.models.items()
        },
        "tenants": sorted(catalog.tenants),
    }


def children_of(data_dir: Path) -> list[ChildProcess]:
    """The processes of the `up` in this directory; none beside another supervisor."""
    running = running_in(data_dir)
    if running is None:
        return []
    places = [(name.rpartition("#"), port) for name, port in running.admin_ports.items()]
    return [ChildProcess(stage, int(instance), port) for (stage, _, instance), port in places]


def _endpoints(catalog: Catalog) -> Iterable[str]:
    return {catalog.endpoint_of(name) for name in catalog.models}
