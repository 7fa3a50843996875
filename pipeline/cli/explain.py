"""`millrace explain ID`: everything that happened to a request, from ClickHouse or the topics of the last 72 hours."""

import asyncio
from typing import Annotated, Any

import typer

from pipeline.cli.errors import CliError
from pipeline.cli.options import BodiesOption, ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import connection
from pipeline.settings import Settings


def explain(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="Of a request.")],
    tenant: Annotated[str | None, typer.Option(help="Where two tenants use the same id.")] = None,
    bodies: BodiesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Decisions, attempts, costs and the outcome of one request."""
    from pipeline.operations.explain import HOURS, is_found

    settings = settings_of(config, data_dir)
    document = asyncio.run(_document(settings, request_id, tenant=tenant, bodies=bodies))
    if not is_found(document):
        raise CliError(f"no request {request_id} in the last {HOURS} hours")
    if as_json:
        print_json(document)
    else:
        from pipeline.cli.explained import print_explained

        print_explained(request_id, document)


async def _document(settings: Settings, request_id: str, *, tenant: str | None, bodies: bool) -> dict[str, Any]:
    """ClickHouse is asked where the environment names one; bodies only the topics have."""
    from connectors.clickhouse.address import InvalidDsn, parse_dsn
    from connectors.clickhouse.reader import Reader
    from pipeline.operations.explain import collect, explain

    where = connection(settings)
    if bodies or settings.clickhouse_dsn is None:
        return await collect(where, request_id, tenant=tenant, bodies=bodies)
    try:
        reader = Reader(parse_dsn(settings.clickhouse_dsn))
    except InvalidDsn as error:
        raise CliError(f"MILLRACE_CLICKHOUSE_DSN: {error}") from None
    try:
        return await explain(where, reader, request_id, tenant=tenant)
    finally:
        await reader.close()
