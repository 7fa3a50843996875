"""`millrace export`: a tenant's requests as a file for training or analysis, redacted, with a manifest."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import clickhouse, connection
from pipeline.operations.running import Connection
from pipeline.settings import Settings, environment
from schemas.usage import UsageQuestion, usage_question

if TYPE_CHECKING:
    from pipeline.core.exporting import Wanted
    from pipeline.operations.exporting import Order

_PATIENCE_S = 120
Format = Literal["openai-chat", "preference", "csv"]


def export(
    format: Annotated[Format, typer.Option(help="openai-chat, preference or csv.")],
    tenant: Annotated[str, typer.Option(help="Whose requests; nobody else's are in it.")],
    out: Annotated[Path, typer.Option(help="The file; its manifest is beside it, PATH.manifest.json.")],
    start: Annotated[str | None, typer.Option("--from", help="Accepted at or after (RFC 3339, or a date).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Accepted before.")] = None,
    route: Annotated[str | None, typer.Option(help="Only where this route (or model) was asked for.")] = None,
    model: Annotated[str | None, typer.Option(help="Only answers of this model.")] = None,
    min_score: Annotated[float | None, typer.Option(min=0, max=1, help="Only rated so well by feedback.")] = None,
    source: Annotated[
        Literal["kafka", "clickhouse"] | None, typer.Option(help="[default: Kafka while it has everything]")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Export; the same arguments and data give the same bytes. What is left out is said on stderr."""
    from pipeline.operations.exporting import Order

    settings = settings_of(config, data_dir)
    asked = usage_question(None, start, end, tenant=tenant)
    if not isinstance(asked, UsageQuestion):
        raise UsageError(f"--{asked.param}: {asked.message}")
    where = _connection(settings)
    wanted = _wanted(settings, where, asked, format, route=route, model=model, min_score=min_score)
    manifest = asyncio.run(_export(settings, where, Order(wanted, out, source)))
    _say(manifest, out)
    if as_json:
        print_json(manifest)


def _wanted(
    settings: Settings, where: Connection | None, asked: UsageQuestion, format: str, **filters: Any
) -> "Wanted":
    from pipeline.catalog_file import load
    from pipeline.core.exporting import Wanted

    catalog = load(Path(where.catalog) if where else settings.config, environment()).catalog
    if (row := catalog.tenants.get(asked.tenant)) is None:
        raise UsageError(f"--tenant: the catalogue has no tenant {asked.tenant}")
    return Wanted(asked.tenant, format, asked.from_ms, asked.to_ms, row.store_bodies, **filters)


def _connection(settings: Settings) -> Connection | None:
    """None where only a ClickHouse is known."""
    try:
        return connection(settings)
    except CliError:
        if clickhouse(settings) is None:
            raise
        return None


async def _export(settings: Settings, where: Connection | None, order: "Order") -> dict[str, Any]:
    from connectors.clickhouse.reader import Reader
    from connectors.clickhouse.store import StoreError
    from pipeline.operations.exporting import ExportError, export

    address = clickhouse(settings)
    reader = Reader(address, limit_s=_PATIENCE_S) if address is not None else None
    try:
        return await export(order, where, reader, _tell)
    except ExportError as error:
        raise CliError(str(error)) from None
    except StoreError as error:
        raise CliError(f"ClickHouse: {error}") from None
    finally:
        if reader is not None:
            await reader.close()


def _tell(said: str) -> None:
    if sys.stderr.isatty():
        print(f"{said} ...", file=sys.stderr)


def _say(manifest: dict[str, Any], out: Path) -> None:
    """On stderr: stdout is for data."""
    requests, skipped = manifest["requests"], manifest["skipped"]
    print(f"{out}: {manifest['rows']} rows of {requests['read']} requests", file=sys.stderr)
    if skipped:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(skipped.items()))
        print(f"skipped {requests['skipped']}: {reasons}", file=sys.stderr)
    if "store_bodies" in skipped:
        print(f"tenant {manifest['arguments']['tenant']} has not agreed: store_bodies is false", file=sys.stderr)
    if manifest["redacted"]:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(manifest["redacted"].items()))
        print(f"redacted: {kinds}", file=sys.stderr)
