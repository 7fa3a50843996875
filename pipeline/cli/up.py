"""`millrace up`: the whole platform on this machine, in a few processes, until Ctrl-C."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Annotated, Any, Literal

import typer

from pipeline.cli import logs
from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.layout import parse_scale, slots
from pipeline.cli.options import ConfigOption, DataDirOption, settings_of
from pipeline.settings import Settings, read_dotenv

Broker = Literal["auto", "kafka", "external"]


def up(
    data_dir: DataDirOption = None,
    broker: Annotated[Broker, typer.Option(help="auto: external if MILLRACE_KAFKA_BOOTSTRAP is set.")] = "auto",
    kafka_port: Annotated[int, typer.Option(help="Of the Kafka that is started here.")] = 9092,
    port: Annotated[int, typer.Option(help="Of the gateway.")] = 8080,
    admin_port: Annotated[int, typer.Option(help="Of the admin surface.")] = 8081,
    sql_port: Annotated[int, typer.Option(help="Of the embedded ClickHouse.")] = 8123,
    split: Annotated[bool, typer.Option("--split", help="Every stage in a process of its own.")] = False,
    scale: Annotated[list[str] | None, typer.Option(metavar="STAGE=N", help="Several processes of a stage.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Simulated providers where keys are missing; sends prompts.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Start everything: broker, topics, stages, gateway; restart what dies; Ctrl-C ends it in order."""
    read_dotenv()
    settings = settings_of(config, data_dir)
    logs.setup(settings.log)
    bootstrap = _bootstrap(broker, settings)
    counts = parse_scale(scale or [])
    from pipeline.cli.places import lock

    with lock(settings.data_dir):
        plan = _plan(
            settings, bootstrap, kafka_port=kafka_port, port=port, admin_port=admin_port,
            sql_port=_sql_port(settings, sql_port), split=split, counts=counts, demo=demo,
        )  # fmt: skip
        asyncio.run(_supervise(plan))


def _bootstrap(broker: Broker, settings: Settings) -> str | None:
    """None: a Kafka of our own."""
    if broker == "kafka" or (broker == "auto" and settings.kafka_bootstrap is None):
        return None
    if settings.kafka_bootstrap is None:
        raise UsageError("--broker external: say which with MILLRACE_KAFKA_BOOTSTRAP=host:port")
    return settings.kafka_bootstrap


def _sql_port(settings: Settings, port: int) -> int | None:
    """None: the environment names a ClickHouse, or the engine is not installed."""
    from connectors.sql_endpoint import installed

    if settings.clickhouse_dsn is not None:
        return None
    if not installed():
        _tell("no embedded ClickHouse: it is not installed (pip install 'millrace[local]')", None)
        return None
    return port


def _plan(
    settings: Settings,
    bootstrap: str | None,
    *,
    kafka_port: int,
    port: int,
    admin_port: int,
    sql_port: int | None,
    split: bool,
    counts: dict[str, int],
    demo: bool,
) -> Any:
    """Everything that can be refused is refused here, before anything starts."""
    from connectors.local_broker.ports import check_free, is_free, random_free_port
    from pipeline.catalog_file import load
    from pipeline.cli.supervisor import Plan
    from pipeline.settings import environment

    wanted = slots(
        split=split, scale=counts, port=port, admin_port=admin_port, sql_port=sql_port,
        has_clickhouse=settings.clickhouse_dsn is not None,
    )  # fmt: skip
    load(settings.config, environment())
    if not is_free(port):
        raise CliError(f"port {port} for the gateway is already in use: stop that program, or choose another --port")
    if not is_free(admin_port):
        raise CliError(
            f"port {admin_port} for the admin surface is already in use: stop that program, or choose another --admin-port"
        )
    if sql_port is not None and not is_free(sql_port):
        raise CliError(
            f"port {sql_port} for ClickHouse is already in use: stop that program, or choose another --sql-port"
        )
    if bootstrap is None and not _our_orphan(settings, kafka_port):
        check_free(kafka_port)
    simulator_port = random_free_port(besides=kafka_port)
    return Plan(settings, wanted, port, admin_port, kafka_port, bootstrap, demo, simulator_port, sql_port)


def _our_orphan(settings: Settings, kafka_port: int) -> bool:
    """A Kafka that outlived a killed `up` holds the port still; starting stops it first, and checks the port itself."""
    return (settings.data_dir / "kafka" / "broker.pid").exists()


async def _supervise(plan: Any) -> None:
    from pipeline.cli.supervisor import Supervisor

    supervisor = Supervisor(plan, _tell)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    loop.add_signal_handler(signal.SIGHUP, supervisor.hang_up)
    try:
        await _unless(stop, _work(supervisor))
    finally:
        await supervisor.stop()


async def _work(supervisor: Any) -> None:
    """Up, the demo if it is wanted, and then on and on."""
    running = await supervisor.start()
    if supervisor.plan.demo:
        from pipeline.cli.demo import show

        await show(running, supervisor.demo_keys, supervisor.plan.settings)
    await asyncio.Event().wait()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """The work, given up when `stop` is set."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


def _tell(message: str, fraction: float | None) -> None:
    """Progress on stderr: one line per step, shares on a terminal only."""
    if fraction is None or fraction >= 1:
        print(message, file=sys.stderr)
    elif sys.stderr.isatty():
        print(f"\r{message} {fraction:.0%}\033[K", end="\r", file=sys.stderr, flush=True)
