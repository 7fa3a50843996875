"""`millrace usage`: who asked for how much, and what it cost, out of ClickHouse; `--bill` as a statement."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import clickhouse
from pipeline.settings import Settings
from schemas.usage import UsageQuestion, UsageRow, usage_question

if TYPE_CHECKING:
    from connectors.clickhouse.archive import Archive

_PATIENCE_S = 120


def usage(
    tenant: Annotated[str | None, typer.Option(help="One tenant's [default: all].")] = None,
    by: Annotated[str | None, typer.Option(help="model, user, day, role, tenant or tag:NAME [default: model].")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Accepted at or after (RFC 3339, or a date).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Accepted before.")] = None,
    bill: Annotated[bool, typer.Option("--bill", help="A statement per tenant and model, as Markdown.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Requests, tokens and cost by group; money to the nano-dollar."""
    question = _question(tenant, by, start, end)
    if bill and (as_json or by):
        raise UsageError("--bill is a statement by tenant and model: leave out --by and --json")
    settings = settings_of(config, data_dir)
    if bill:
        asyncio.run(_asked(settings, lambda archive: _print_bill(archive, question)))
        return
    document = asyncio.run(_asked(settings, lambda archive: _document(archive, question)))
    if as_json:
        print_json(document)
    else:
        _print_rows(document["rows"], question)


def _question(tenant: str | None, by: str | None, start: str | None, end: str | None) -> UsageQuestion:
    """`tenant` is a group for operators only."""
    found = usage_question(None if by == "tenant" else by, start, end, tenant=tenant or "")
    if not isinstance(found, UsageQuestion):
        raise UsageError(f"--{found.param}: {found.message}")
    return UsageQuestion(by or found.by, found.tenant, found.from_ms, found.to_ms)


async def _asked(settings: Settings, work: Callable[["Archive"], Awaitable[Any]]) -> Any:
    """Raises CliError: no ClickHouse, or no answer."""
    from connectors.clickhouse.archive import Archive
    from connectors.clickhouse.reader import Reader
    from connectors.clickhouse.store import StoreError

    address = clickhouse(settings)
    if address is None:
        raise CliError(
            f"no ClickHouse is known: neither MILLRACE_CLICKHOUSE_DSN nor a `millrace up` in {settings.data_dir} names one"
        )
    archive = Archive(Reader(address, limit_s=_PATIENCE_S), patience_s=_PATIENCE_S)
    try:
        return await work(archive)
    except StoreError as error:
        raise CliError(f"ClickHouse at {address.base_url}: {error}") from None
    finally:
        await archive.close()


async def _document(archive: "Archive", question: UsageQuestion) -> dict[str, Any]:
    from pipeline.operations.usage import usage_document

    return await usage_document(archive, question)


async def _print_bill(archive: "Archive", question: UsageQuestion) -> None:
    from pipeline.operations.usage import bill_of, now, statement

    as_of = now()
    for line in statement(await bill_of(archive, question), question, as_of):
        print(line)


def _print_rows(rows: list[dict[str, Any]], question: UsageQuestion) -> None:
    from pipeline.cli.tables import print_table
    from pipeline.operations.usage import name_of, total, usd

    found = [UsageRow(**row) for row in rows]
    shown = [
        {question.by: name_of(row), "requests": row.requests, "input_tokens": row.input_tokens,
         "output_tokens": row.output_tokens, "usd": usd(row.cost_nano_usd)}
        for row in (*found, total(found))
    ]  # fmt: skip
    print_table(shown)
