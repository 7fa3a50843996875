"""`millrace breakers`: which endpoints are out and why; an operator may hold one open or closed."""

import asyncio
import dataclasses
import getpass
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import Connection, connection
from schemas import headers as h
from schemas import topics as t
from schemas.events import Breaker, Signal

_ORDERS: Mapping[str, str] = {"open": "open", "close": "closed", "auto": "auto"}
_ACCEPTED_S = 10.0
_TIMES = ("since", "at", "open_until", "limited_until")


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
    if (order is None) != (endpoint is None) or (order is not None and order not in _ORDERS):
        raise UsageError("write `breakers` alone, or `breakers open|close|auto PROVIDER/MODEL/REGION`")
    settings = settings_of(config, data_dir)
    where = connection(settings)
    if order is not None and endpoint is not None:
        _check(settings, endpoint)
        asyncio.run(order_breaker(where, endpoint, _ORDERS[order]))
    rows = [_row(breaker) for breaker in asyncio.run(read_breakers(where)).values()]
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
    from connectors.kafka.scan import scan
    from schemas.codec import decode

    found: dict[str, Breaker] = {}
    async for record in scan(where.bootstrap, where.topic(t.BREAKERS.name), 0, security=where.client_options):
        breaker = decode(Breaker, record.value)
        if isinstance(breaker, Breaker) and breaker.epoch >= found.get(breaker.endpoint, breaker).epoch:
            found[breaker.endpoint] = breaker
    return dict(sorted(found.items()))


async def order_breaker(where: Connection, endpoint: str, forced: str) -> None:
    """Sends the order and waits until health has carried it out. Raises CliError if it does not."""
    from connectors.kafka.producers import Producers
    from schemas.avro_schema import schema_name
    from schemas.codec import encode

    signal = Signal(endpoint, f"operator-{getpass.getuser()}", time.time_ns() // 1_000_000, forced=forced)
    producers = Producers(where.bootstrap, security=where.client_options)
    await producers.start()
    try:
        await producers.deliver(
            where.topic(t.SIGNALS.name),
            encode(signal),
            key=endpoint.encode(),
            headers=h.build(schema=schema_name("signal")),
        )
    finally:
        await producers.stop()
    deadline = time.monotonic() + _ACCEPTED_S
    while time.monotonic() < deadline:
        breaker = (await read_breakers(where)).get(endpoint, Breaker(endpoint))
        if breaker.forced == (forced != "auto") and (forced in ("auto", breaker.state)):
            return
        await asyncio.sleep(0.2)
    raise CliError("the order was sent, but the stage `health` has not carried it out; does it run?")


def _row(breaker: Breaker) -> dict[str, Any]:
    """Times as RFC 3339."""
    from pipeline.cli.events import rfc3339

    row = dataclasses.asdict(breaker)
    return row | {name: rfc3339(row[name]) if row[name] else None for name in _TIMES}
