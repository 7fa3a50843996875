"""`millrace replay --mode decide`: what would have been decided in a range, under the catalogues of then or another one."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import clickhouse, connection
from pipeline.settings import Settings, environment
from schemas.usage import UsageQuestion, usage_question

if TYPE_CHECKING:
    from pipeline.operations.redeciding.deciding import History, Tell
    from schemas.catalog import Catalog

Mode = Literal["decide"]
Source = Literal["kafka", "clickhouse"]


def replay(
    mode: Annotated[Mode, typer.Option(help="decide: what would be chosen.")],
    start: Annotated[str, typer.Option("--from", help="Accepted at or after (RFC 3339, or a date).")],
    end: Annotated[str, typer.Option("--to", help="Accepted before.")],
    tenant: Annotated[str | None, typer.Option(help="One tenant's [default: all].")] = None,
    policy: Annotated[Path | None, typer.Option(help="Decide by this catalogue [default: those of then].")] = None,
    source: Annotated[
        Source | None, typer.Option(help="Where history is read [default: Kafka, before that ClickHouse].")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="The report as a page, to this file.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Replay the history of a range."""
    question = usage_question(None, start, end, tenant=tenant or "")
    if not isinstance(question, UsageQuestion):
        raise UsageError(f"--{question.param}: {question.message}")
    document = _document(settings_of(config, data_dir), question, mode, policy, source)
    if html is not None:
        from pipeline.operations.redeciding.page import page

        html.write_text(page(document), encoding="utf-8")
    if as_json:
        print_json(document)
    else:
        for name in ("decisions", "identical", "changed", "cost_nano_usd", "expected_quality", "by_model", "left_out"):
            print(f"{name:<18}{document[name]}")


def _document(
    settings: Settings, question: UsageQuestion, mode: Mode, policy: Path | None, source: Source | None
) -> dict[str, Any]:
    from pipeline.catalog_file import load
    from pipeline.operations.events import rfc3339

    catalog = None if policy is None else load(policy, environment()).catalog
    said = f"{question.from_ms}/{question.to_ms}/{question.tenant}/{catalog.hash if catalog else ''}"
    return {
        "run_id": f"{mode}-{hashlib.sha256(said.encode()).hexdigest()[:20]}",
        "mode": mode,
        "from": rfc3339(question.from_ms),
        "to": rfc3339(question.to_ms),
        **asyncio.run(_replayed(settings, question, catalog, source)),
    }


async def _replayed(
    settings: Settings, question: UsageQuestion, policy: "Catalog | None", source: Source | None
) -> dict[str, Any]:
    from connectors.clickhouse.reader import Reader
    from connectors.clickhouse.store import StoreError
    from pipeline.operations.redeciding.deciding import History, ReplayFailed

    address = clickhouse(settings)
    if address is None and source == "clickhouse":
        raise CliError("--source clickhouse: no ClickHouse is known")
    reader = None if address is None else Reader(address, limit_s=120)
    try:
        return await _shown(History(connection(settings), reader, source), question, policy)
    except ReplayFailed as error:
        raise CliError(str(error)) from None
    except StoreError as error:
        raise CliError(f"ClickHouse: {error}") from None
    finally:
        if reader is not None:
            await reader.close()


async def _shown(history: "History", question: UsageQuestion, policy: "Catalog | None") -> dict[str, Any]:
    from pipeline.operations.redeciding.deciding import replay_decide

    with _bar() as tell:
        return await replay_decide(
            history, from_ms=question.from_ms, to_ms=question.to_ms, policy=policy, tell=tell, tenant=question.tenant
        )


@contextmanager
def _bar() -> "Iterator[Tell]":
    """Progress with the time that is left, on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("deciding again", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
