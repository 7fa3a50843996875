"""`millrace run`, `simulate` and `broker`: single processes in the foreground."""

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, print_json, settings_of
from pipeline.settings import Settings

STAGES = ("gateway", "route", "call", "health", "retry", "alerts", "shadow", "bulk", "learn", "sink", "sql", "admin")


def stages_of(text: str) -> list[str]:
    """`route+call` -> its stages. Raises UsageError for what is none."""
    names = [name.strip() for name in text.split("+")]
    if unknown := [name for name in names if name not in STAGES]:
        raise UsageError(f"no such stage: {', '.join(unknown) or '(empty)'}; there are {', '.join(STAGES)}")
    return list(dict.fromkeys(names))


def run(
    stage: Annotated[str, typer.Argument(help="STAGE[+STAGE...]: " + " ".join(STAGES), metavar="STAGE[+STAGE...]")],
    provider: Annotated[str | None, typer.Option(help="Call only this provider.")] = None,
    instance_id: Annotated[int, typer.Option(min=0, help="Which of several equal processes this one is.")] = 0,
    port: Annotated[int | None, typer.Option(help="Of the gateway, of sql or of admin.")] = None,
    admin_port: Annotated[int, typer.Option(help="/metrics, /healthz and /readyz; 0 for any free one.")] = 0,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Run stages in this process until SIGTERM; prints a ready line for each."""
    settings = settings_of(config, data_dir)
    names = stages_of(stage)
    if names != ["sql"]:
        _ready_to_run(settings)
    gc.disable()  # until it has started: what imports make stays, and looking for garbage in it was a sixth of a start
    from pipeline.bootstrap import run_stages
    from pipeline.cli import logs

    logs.setup(settings.log)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # unless bootstrap listens to it: it must not end the process
    work = run_stages(names, settings, instance=instance_id, port=port, admin_port=admin_port, provider=provider)
    try:
        code = _run(work)
    except Exception as error:
        print_json(
            {"event": "exit", "stage": stage, "reason": type(error).__name__, "detail": " ".join(str(error).split())}
        )
        raise
    raise typer.Exit(code)


def _ready_to_run(settings: Settings) -> None:
    if settings.kafka_bootstrap is None:
        raise CliError("which Kafka? set MILLRACE_KAFKA_BOOTSTRAP=host:port, or start everything with `millrace up`")
    if settings.pepper is None:
        raise CliError("MILLRACE_PEPPER is not set: a secret that all processes share (`millrace up` makes one itself)")


def _run(work: Any) -> Any:
    """On uvloop where there is one."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def simulate(
    port: Annotated[int, typer.Option(help="0 for any free one.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Decides every text, delay and fault.")] = None,
    speed: Annotated[float, typer.Option(min=0, help="10 is ten times faster than life; 0: no delays.")] = 1.0,
    config: ConfigOption = None,
) -> None:
    """Wire-true simulated providers, for the models of the catalogue, until Ctrl-C."""
    settings = settings_of(config, seed=seed)
    asyncio.run(_simulate(settings, port, speed))


async def _simulate(settings: Settings, port: int, speed: float) -> None:
    from connectors.simulator import DEMO_BACKGROUND, serve

    stop = stop_event()
    try:
        simulator = await serve(port, settings.seed, speed, models=_models(settings.config), background=DEMO_BACKGROUND)
    except OSError:
        raise CliError(f"port {port} is already in use: choose another one with --port") from None
    print_json(
        {"event": "ready", "stage": "simulate", "instance": 0, "pid": os.getpid(), "port": simulator.port,
         "base_url": simulator.base_url}
    )  # fmt: skip
    await stop.wait()
    await simulator.close()


def _models(path: Path) -> tuple[str, ...]:
    """The providers' own names of all models that the catalogue offers."""
    from pipeline.catalog_file import read_document

    models = read_document(path).get("models") or {}
    return tuple(str((entry or {}).get("upstream") or name) for name, entry in models.items())


def broker(
    port: Annotated[int, typer.Option(help="Of Kafka.")] = 9092,
    data_dir: DataDirOption = None,
) -> None:
    """A real Kafka on this machine alone, until Ctrl-C."""
    asyncio.run(_broker(settings_of(data_dir=data_dir), port))


async def _broker(settings: Settings, port: int) -> None:
    from connectors.local_broker import LocalBroker

    stop = stop_event()
    kafka = LocalBroker(settings.data_dir / "kafka", port, settings.cache_dir)
    starting = asyncio.ensure_future(kafka.start(_tell))
    asking = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, asking}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    starting.result()
    print_json({"event": "ready", "stage": "broker", "pid": kafka.pid, "kafka": kafka.bootstrap})
    ended = asyncio.ensure_future(kafka.wait())
    await asyncio.wait({ended, asking}, return_when=asyncio.FIRST_COMPLETED)
    await kafka.stop()
    if not stop.is_set():
        raise CliError(f"Kafka ended with code {ended.result()}; see broker.log in {kafka.data_dir}")


def _tell(message: str, fraction: float | None) -> None:
    share = f" {fraction:.0%}" if fraction is not None and fraction < 1 else ""
    print(f"{message}{share}", file=sys.stderr)


def stop_event() -> asyncio.Event:
    """Set by SIGINT and SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    return stop
