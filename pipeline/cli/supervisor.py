"""The supervisor: brings the platform up in order, keeps it up, takes it down in order.

1. broker (unless it is external): started, and started again on the same data if it ends;
2. topics;
3. demo: the model at the edge, the simulator of other providers without keys, and a catalogue derived for them;
4. the stages, each in its slot (`children.py`);
5. one ready line for everything; whoever starts again later has its ready line repeated;
6. the end: stages (SIGTERM, then SIGKILL), simulator and edge, broker, all within 10 s.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.catalog_file import (
    EDGE_ADDRESS,
    EDGE_PORT,
    LoadedCatalog,
    dump_document,
    load,
    offers_edge,
    read_document,
    simulated,
)
from pipeline.cli.children import Child
from pipeline.cli.errors import CliError
from pipeline.cli.layout import Slot, child_environment, edge_slot, sql_dsn
from pipeline.cli.options import print_json
from pipeline.cli.places import demo_key, pepper
from pipeline.operations.running import Running
from pipeline.settings import Settings, environment

SIM_KEY_ENV = "MILLRACE_SIM_KEY"
_SIM_KEY = "sk-sim-demo-0000"
_START_S = 120.0
_EDGE_START_S = 30.0
_FUTILE_STARTS = 4
# The model's threads wait for each other asleep, not spinning: the machine is shared.
_YIELDING = {"OMP_WAIT_POLICY": "passive"}
_END_S, _BROKER_SHARE_S = 9.0, 2.5
_log = logging.getLogger(__name__)

Tell = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What `up` was asked for. `bootstrap` None: a Kafka of our own on `kafka_port`."""

    settings: Settings
    slots: list[Slot]
    port: int
    admin_port: int
    kafka_port: int
    bootstrap: str | None
    demo: bool
    simulator_port: int
    sql_port: int | None = None

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir.absolute()

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin(self) -> str:
        host = self.settings.admin_host
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{self.admin_port}"

    @property
    def sql(self) -> str | None:
        """Of our own ClickHouse, if there is one."""
        return f"http://127.0.0.1:{self.sql_port}" if self.sql_port is not None else None

    @property
    def clickhouse(self) -> str | None:
        """The same as a DSN; the password stays in the environment."""
        return sql_dsn(self.settings.sql_host, self.sql_port, None) if self.sql_port is not None else None

    def sql_environment(self) -> dict[str, str]:
        """What tells the children where it is."""
        if self.sql_port is None:
            return {}
        host, key = self.settings.sql_host, self.settings.sql_key
        return {"MILLRACE_CLICKHOUSE_DSN": sql_dsn(host, self.sql_port, key.get_secret_value() if key else None)}


@dataclass(slots=True)
class Supervisor:
    plan: Plan
    tell: Tell
    demo_keys: str | None = None
    _children: list[Child] = field(default_factory=list)
    _simulator: Child | None = None
    _edge: Child | None = None
    _broker: Any = None
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _up: bool = False

    async def start(self) -> Running:
        """Steps 1 to 5. Raises BrokerError, CatalogError, CliError; then `stop` what is there already."""
        plan = self.plan
        bootstrap = plan.bootstrap or await self._start_broker()
        env = environment()
        catalog, loaded = plan.settings.config.absolute(), load(plan.settings.config, env)
        extra: dict[str, str] = {}
        if plan.demo:
            extra = self._demo_secrets(loaded, env)
            at_home = frozenset({EDGE_ADDRESS}) if await self._start_edge(env) else frozenset()
            catalog, loaded = self._demo_catalog(loaded, {**env, **extra}, at_home)
            await self._start_simulator({**env, **extra})
        self._say_warnings(loaded)
        partitions = await self._make_topics(bootstrap, loaded)
        await self._start_stages(
            child_environment(
                env, bootstrap=bootstrap, catalog=catalog, data_dir=plan.data_dir, partitions=partitions,
                topic_prefix=plan.settings.topic_prefix, pepper=pepper(plan.settings),
                extra={**extra, **plan.sql_environment()},
            )
        )  # fmt: skip
        self._up = True
        running = self._running(bootstrap, catalog, partitions)
        running.write(plan.data_dir)
        print_json(self._ready_line(bootstrap))
        return running

    def hang_up(self) -> None:
        """SIGHUP: read the catalogue again."""
        for child in self._children:
            child.signal(signal.SIGHUP)

    async def stop(self) -> None:
        """Step 6; whatever of it was started."""
        ends = time.monotonic() + _END_S
        (self.plan.data_dir / "up.json").unlink(missing_ok=True)
        for_stages = _END_S - _BROKER_SHARE_S - 0.5
        await asyncio.gather(*(child.stop(for_stages) for child in self._children))
        await asyncio.gather(*(child.stop(0.5) for child in (self._simulator, self._edge) if child is not None))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._broker is not None:
            await self._broker.stop(max(_BROKER_SHARE_S, ends - time.monotonic()))

    async def _start_broker(self) -> str:
        from connectors.local_broker import LocalBroker

        settings = self.plan.settings
        self._broker = LocalBroker(self.plan.data_dir / "kafka", self.plan.kafka_port, settings.cache_dir)
        await self._broker.start(self.tell)
        self._keep(self._keep_broker())
        return str(self._broker.bootstrap)

    async def _keep_broker(self) -> None:
        """As long as we run it does, on the same data."""
        from connectors.local_broker import BrokerError

        pause_s = 0.2
        while True:
            code = await self._broker.wait()
            _log.warning("broker ended", extra={"code": code})
            await asyncio.sleep(0.2)
            while True:
                try:
                    await self._broker.start()
                except BrokerError as error:
                    pause_s = min(pause_s * 2, 5.0)
                    _log.error("broker does not start", extra={"reason": str(error), "again_in_s": pause_s})
                    await asyncio.sleep(pause_s)
                    continue
                pause_s = 0.2
                self._changed()
                print_json(
                    {"event": "ready", "stage": "broker", "pid": self._broker.pid, "kafka": self._broker.bootstrap}
                )
                break

    def _demo_secrets(self, loaded: LoadedCatalog, env: dict[str, str]) -> dict[str, str]:
        self.demo_keys = env.get("MILLRACE_DEMO_KEYS") or demo_key(self.plan.data_dir)
        return {"MILLRACE_DEMO_KEYS": self.demo_keys, SIM_KEY_ENV: env.get(SIM_KEY_ENV) or _SIM_KEY}

    def _demo_catalog(
        self, loaded: LoadedCatalog, env: dict[str, str], at_home: frozenset[str]
    ) -> tuple[Path, LoadedCatalog]:
        """Providers without a key are played by the simulator, but for the addresses where somebody is at home."""
        document = simulated(
            read_document(self.plan.settings.config),
            off=loaded.off_providers,
            root_url=f"http://127.0.0.1:{self.plan.simulator_port}",
            key_env=SIM_KEY_ENV,
            at_home=at_home,
        )
        path = self.plan.data_dir / "catalog.yaml"
        path.write_text("# Derived by `millrace up --demo`; written again at each start.\n" + dump_document(document))
        return path, load(path, env)

    async def _start_edge(self, env: dict[str, str]) -> bool:
        """Whether the real model answers; why it does not is told, and the simulator plays it."""
        from connectors.edge import installed
        from connectors.local_broker.ports import is_free

        offered = offers_edge(read_document(self.plan.settings.config))
        slot = edge_slot(port=EDGE_PORT, offered=offered, installed=installed(), free=is_free(EDGE_PORT))
        if isinstance(slot, Slot):
            self.tell("starting the model at the edge", None)
            self._edge = Child(slot, {**env, **_YIELDING}, self._heard)
            self._keep(self._edge.keep_alive())
            try:
                await self._until_ready([self._edge], tries=1, within_s=_EDGE_START_S)
                return True
            except CliError as error:
                await self._edge.stop(0.5)
                slot = str(error)
        if slot is not None:
            self.tell(f"the model at the edge is simulated: {slot}", None)
        return False

    async def _start_simulator(self, env: dict[str, str]) -> None:
        arguments = ("simulate", "--port", str(self.plan.simulator_port), "--config", str(self.plan.settings.config))
        self._simulator = Child(Slot("simulate", 0, arguments), env, self._heard)
        self._keep(self._simulator.keep_alive())
        await self._until_ready([self._simulator])

    async def _make_topics(self, bootstrap: str, loaded: LoadedCatalog) -> int:
        """The tenant-keyed topics may be there already, with another count: theirs is the one in force."""
        from pipeline.cli.topics import make_topics

        self.tell("making the topics", None)
        return await make_topics(bootstrap, self.plan.settings, loaded.catalog)

    async def _start_stages(self, env: dict[str, str]) -> None:
        self.tell("starting the stages", None)
        self._children = [Child(slot, env, self._heard) for slot in self.plan.slots]
        for child in self._children:
            self._keep(child.keep_alive())
        await self._until_ready(self._children)

    async def _until_ready(
        self, children: list[Child], *, tries: int = _FUTILE_STARTS, within_s: float = _START_S
    ) -> None:
        """Raises CliError: one of them dies again and again, or does not get ready."""
        deadline = time.monotonic() + within_s
        while waiting := [child for child in children if not child.ready.is_set()]:
            for child in waiting:
                if child.deaths >= tries:
                    raise CliError(
                        f"{child.slot.stage} ended {child.deaths} times before it could work; see its log above"
                    )
            if time.monotonic() > deadline:
                names = ", ".join(child.slot.name for child in waiting)
                raise CliError(f"not ready within {within_s:.0f} s: {names}; see the log above")
            await asyncio.sleep(0.05)

    def _heard(self, child: Child, said: dict[str, Any]) -> None:
        """A line of a child: repeated once everything works; what it says of a failure at once, on stderr."""
        if self._up:
            self._changed()
            print_json(said)
        elif said.get("event") != "ready":
            print(f"{child.slot.name}: {said.get('reason')}: {said.get('detail')}", file=sys.stderr)

    def _changed(self) -> None:
        """Pids and admin ports in `up.json` are today's, before anybody is told."""
        from pipeline.operations.running import running_in

        if (before := running_in(self.plan.data_dir)) is not None:
            self._running(before.bootstrap, Path(before.catalog), before.partitions).write(self.plan.data_dir)

    def _running(self, bootstrap: str, catalog: Path, partitions: int) -> Running:
        pids = {
            child.slot.name: child.pid for child in (*self._children, self._simulator, self._edge) if child is not None
        }
        if self._broker is not None:
            pids["broker"] = self._broker.pid
        return Running(
            pid=os.getpid(), bootstrap=bootstrap, gateway=self.plan.gateway, catalog=str(catalog),
            topic_prefix=self.plan.settings.topic_prefix, partitions=partitions,
            pids={name: pid for name, pid in pids.items() if pid is not None}, admin=self.plan.admin,
            clickhouse=self.plan.clickhouse,
            admin_ports={child.slot.name: child.facts["admin_port"] for child in self._children if child.facts},
        )  # fmt: skip

    def _ready_line(self, bootstrap: str) -> dict[str, Any]:
        processes = [
            {"stage": child.slot.stage, "instance": child.slot.instance, "pid": child.pid,
             "admin_port": child.facts.get("admin_port")}
            for child in self._children
        ]  # fmt: skip
        return {
            "event": "ready", "stage": "all", "pid": os.getpid(), "gateway": self.plan.gateway, "admin": self.plan.admin,
            "sql": self.plan.sql, "kafka": bootstrap, "processes": processes,
        }  # fmt: skip

    def _say_warnings(self, loaded: LoadedCatalog) -> None:
        for warning in loaded.warnings:
            _log.warning("catalogue", extra={"line": warning.line, "path": warning.path, "what": warning.message})

    def _keep(self, work: Any) -> None:
        self._tasks.append(asyncio.ensure_future(work))
