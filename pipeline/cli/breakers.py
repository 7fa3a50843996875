"""`millrace breakers`: which endpoints are out and why; an operator may hold one open or closed."""

import asyncio
import getpass
from typing import Annotated, Any

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import connection
from pipeline.operations.running import Connection
from schemas import topics as t
from schemas.events import Breaker

_WORDS = ("open", "close", "auto")


def breakers(
    order: Annotated[
        str | None, typer.Argument(metavar="[open|close|auto]", help="Hold an endpoint, or let go.")
    ] = None,
    endpoint: Annotated[str | None, typer.Argument(help="provider/model/region, as listed.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """The breakers of all endpoints; `open` takes one out, `close` keeps it in whatever happens, `auto` ends either."""
    if (order is None) != (endpoint is None) or (order is not None and order not in _WORDS):
        raise UsageError("write `breakers` alone, or `breakers open|close|auto PROVIDER/MODEL/REGION`")
    settings = settings_of(config, data_dir)
    where = connection(settings)
    if order is not None and endpoint is not None:
        from pipeline.operations.breakers import ORDERS

        _check(settings, endpoint)
        asyncio.run(order_breaker(where, endpoint, ORDERS[order]))
    rows = asyncio.run(_rows(where))
    if as_json:
        print_json(rows)
    else:
        from pipeline.cli.tables import print_table

        print_table(rows)


def _check(settings: Any, endpoint: str) -> None:
    from pipeline.catalog_file import load
    from pipeline.settings import environment

    catalog = load(settings.config, environment()).catalog
    known = sorted(catalog.endpoint_of(name) for name in catalog.models)
    if endpoint not in known:
        raise UsageError(f"no such endpoint: {endpoint}; there are {', '.join(known)}")


async def read_breakers(where: Connection) -> dict[str, Breaker]:
    from pipeline.operations.breakers import board_of

    async with board_of(where) as board:
        return dict(sorted(board.breakers.items()))


async def order_breaker(where: Connection, endpoint: str, forced: str) -> None:
    """Sends the order and waits until health has carried it out. Raises CliError if it does not."""
    from pipeline.operations import breakers, records

    async with breakers.board_of(where) as board, records.producer(where) as client:
        try:
            await breakers.order(
                board, client.deliver, where.topic(t.SIGNALS.name),
                endpoint=endpoint, forced=forced, operator=getpass.getuser(),
            )  # fmt: skip
        except breakers.NotCarriedOut as error:
            raise CliError(str(error)) from None


async def _rows(where: Connection) -> list[dict[str, Any]]:
    from pipeline.operations.breakers import board_of

    async with board_of(where) as board:
        return board.rows()
