"""The commands, and what becomes of errors: one line on stderr and an exit code (1 failed, 2 usage)."""

import sys
from typing import NoReturn

import typer

from pipeline.cli import (
    bench,
    breakers,
    config,
    dlq,
    edge,
    explain,
    export,
    finetune,
    migrate,
    outage,
    replay,
    send,
    shadow,
    stages,
    topics,
    up,
    usage,
    watch,
)
from pipeline.cli.errors import CliError, UsageError

app = typer.Typer(
    name="millrace",
    help="A multi-LLM inference platform that runs as an event-streaming pipeline on Kafka.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(up.up)
app.command()(stages.run)
app.command()(stages.simulate)
app.command()(stages.broker)
app.command()(edge.edge)
app.add_typer(topics.app, name="topics")
app.add_typer(config.app, name="config")
app.command()(migrate.migrate)
app.command()(send.send)
app.command()(watch.watch)
app.command()(explain.explain)
app.command()(breakers.breakers)
app.command()(usage.usage)
app.add_typer(shadow.app, name="shadow")
app.command()(export.export)
app.command()(finetune.finetune)
app.command()(replay.replay)
app.add_typer(outage.app, name="demo")
app.add_typer(dlq.app, name="dlq")
app.command()(bench.bench)


def main() -> NoReturn:
    """The console script."""
    try:
        app()
    except UsageError as error:
        _end(str(error), 2)
    except CliError as error:
        _end(str(error), 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if (said := _known(error)) is None:
            raise
        _end(said, 1)
    sys.exit(0)


def _end(message: str, code: int) -> NoReturn:
    print(f"millrace: {message}", file=sys.stderr)
    sys.exit(code)


def _known(error: Exception) -> str | None:
    """Errors of our edges that are meant for people, by class name: their modules need not be loaded for that."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "CatalogError" in names:
        return f"the catalogue cannot be used: {error} (see: millrace config check)"
    if "BrokerError" in names:
        return str(error)
    if "KafkaError" in names:
        return f"Kafka does not answer as it should: {error or type(error).__name__}; does the broker run?"
    return None
