"""`millrace explain ID`: everything that happened to a request, from the topics of the last 72 hours."""

import asyncio
from typing import Annotated

import typer

from pipeline.cli.errors import CliError
from pipeline.cli.options import BodiesOption, ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import connection


def explain(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="Of a request.")],
    tenant: Annotated[str | None, typer.Option(help="Where two tenants use the same id.")] = None,
    bodies: BodiesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Decisions, attempts, costs and the outcome of one request."""
    from pipeline.operations.explain import HOURS, collect, is_found

    where = connection(settings_of(config, data_dir))
    document = asyncio.run(collect(where, request_id, tenant=tenant, bodies=bodies))
    if not is_found(document):
        raise CliError(f"no request {request_id} in the last {HOURS} hours")
    if as_json:
        print_json(document)
    else:
        from pipeline.cli.explained import print_explained

        print_explained(request_id, document)
