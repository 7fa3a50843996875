"""`millrace shadow`: experiments that mirror traffic, and live splits. Their rows stand in the catalogue."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli import shadow_report
from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import connection
from pipeline.operations.running import Connection
from pipeline.settings import Settings
from schemas.catalog import Catalog

app = typer.Typer(help="Experiments on your own traffic.", no_args_is_help=True)
app.command("report")(shadow_report.report)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of an experiment of the catalogue.")]


@app.command("list")
def list_shadows(as_json: JsonOption = False, config: ConfigOption = None, data_dir: DataDirOption = None) -> None:
    """All experiments of the catalogue: what they do, how far they are, what they have spent."""
    _print(asyncio.run(_rows(connection(settings_of(config, data_dir)))), as_json=as_json)


@app.command()
def start(
    name: NameArgument,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Go back to what was accepted then (RFC 3339).")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Start it, where it stopped or from a time on; returns when it runs."""
    from_ms = None if since is None else _epoch_ms(since)
    _ordered(settings_of(config, data_dir), name, is_running=True, from_ms=from_ms, as_json=as_json)


@app.command()
def stop(
    name: NameArgument, as_json: JsonOption = False, config: ConfigOption = None, data_dir: DataDirOption = None
) -> None:
    """Stop it: when this returns it makes no call any more. Its place in the log is kept."""
    _ordered(settings_of(config, data_dir), name, is_running=False, from_ms=None, as_json=as_json)


def _ordered(settings: Settings, name: str, *, is_running: bool, from_ms: int | None, as_json: bool) -> None:
    where = connection(settings)
    catalog = _catalog(where)
    known = [row.name for row in catalog.shadows]
    if name not in known:
        raise UsageError(f"no such experiment: {name}; the catalogue has {', '.join(known) or 'none'}")
    rows = asyncio.run(_order(where, catalog, name, is_running=is_running, from_ms=from_ms))
    row = next(row for row in rows if row["experiment"] == name)
    if as_json:
        print_json(row)
    else:
        _print([row], as_json=False)


async def _order(
    where: Connection, catalog: Catalog, name: str, *, is_running: bool, from_ms: int | None
) -> list[dict[str, Any]]:
    from pipeline.operations import records, shadows
    from schemas import topics as t

    async with shadows.board_of(where) as board, records.producer(where) as client:
        try:
            await shadows.order(
                board, client.deliver, where.topic(t.SHADOWS.name),
                experiment=name, is_running=is_running, from_ms=from_ms,
            )  # fmt: skip
        except shadows.NotConfirmed as error:
            raise CliError(str(error)) from None
        return board.rows(catalog)


async def _rows(where: Connection) -> list[dict[str, Any]]:
    from pipeline.operations.shadows import board_of

    async with board_of(where) as board:
        return board.rows(_catalog(where))


def _catalog(where: Connection) -> Catalog:
    from pipeline.catalog_file import load
    from pipeline.settings import environment

    return load(Path(where.catalog), environment()).catalog


def _epoch_ms(text: str) -> int:
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--from {text}: write a time such as 2026-11-28T12:00:00Z") from None
    return int((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp() * 1000)


def _print(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    from pipeline.cli.tables import print_table

    print_table([_for_people(row) for row in rows])


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    budget = row["budget"]
    spent = f"${budget['spent_nano_usd'] / 1e9:.4f} of ${budget['limit_nano_usd'] / 1e9:g} per {budget['per']}"
    skipped = ", ".join(f"{count} {reason}" for reason, count in sorted(row["skipped"].items()))
    status = f"{row['status']} ({ended_by})" if (ended_by := row["ended_by"]) else row["status"]
    return {
        "experiment": row["experiment"], "status": status, "model": row["model"], "judge": row["judge"],
        "pairs": row["pairs"], "skipped": skipped or 0, "spent": spent, "accepted until": row["accepted_until"],
    }  # fmt: skip
