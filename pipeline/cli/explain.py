"""`millrace explain ID`: everything that happened to a request, from ClickHouse or the topics of the last 72 hours."""

import asyncio
from typing import Annotated, Any

import typer

from pipeline.cli.errors import CliError
from pipeline.cli.options import BodiesOption, ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import clickhouse, connection
from pipeline.operations.running import Connection
from pipeline.settings import Settings


def explain(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="Of a request.")],
    tenant: Annotated[str | None, typer.Option(help="Where two tenants use the same id.")] = None,
    bodies: BodiesOption = False,
    live: Annotated[bool, typer.Option("--live", help="From the topics, whatever ClickHouse has.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Decisions, attempts, costs and the outcome of one request."""
    from pipeline.operations.explain import HOURS, is_found

    settings = settings_of(config, data_dir)
    document = asyncio.run(_document(settings, request_id, tenant=tenant, bodies=bodies, live=live))
    if not is_found(document):
        raise CliError(f"no request {request_id}: neither in ClickHouse nor in the topics of the last {HOURS} hours")
    if as_json:
        print_json(document)
    else:
        from pipeline.cli.explained import print_explained

        print_explained(request_id, document)


async def _document(
    settings: Settings, request_id: str, *, tenant: str | None, bodies: bool, live: bool
) -> dict[str, Any]:
    """Bodies only the topics have. A Kafka is needed where no ClickHouse is known."""
    from connectors.clickhouse.reader import Reader
    from connectors.clickhouse.store import StoreError
    from pipeline.operations.explain import collect, explain

    address = None if live or bodies else clickhouse(settings)
    if address is None:
        return await collect(connection(settings), request_id, tenant=tenant, bodies=bodies)
    reader = Reader(address)
    try:
        return await explain(_topics(settings), reader, request_id, tenant=tenant)
    except StoreError as error:
        raise CliError(f"ClickHouse at {address.base_url}: {error}") from None
    finally:
        await reader.close()


def _topics(settings: Settings) -> Connection | None:
    """None where only a ClickHouse is known."""
    try:
        return connection(settings)
    except CliError:
        return None
