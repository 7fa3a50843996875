"""`millrace watch TOPIC`: one JSON object per record, until Ctrl-C."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import BodiesOption, ConfigOption, DataDirOption, print_json, settings_of
from pipeline.cli.places import connection
from pipeline.operations.running import Connection


def watch(
    topic: Annotated[str, typer.Argument(help="Such as responses or llm.responses.v1.")],
    start: Annotated[str, typer.Option("--from", help="beginning, end or a time (RFC 3339).")] = "end",
    tenant: Annotated[str | None, typer.Option(help="Only records of this tenant.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many records.")] = None,
    bodies: BodiesOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show the records of a topic as they come."""
    from pipeline.cli.topics import full_name

    where = connection(settings_of(config, data_dir))
    work = _watch(where, full_name(where, topic), start_of(start), tenant=tenant, count=count, bodies=bodies)
    asyncio.run(_until_signal(work))


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Ctrl-C and SIGTERM end it, and that is no failure."""
    from pipeline.cli.stages import stop_event

    stop = stop_event()
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def _watch(
    where: Connection, topic: str, start: str | int, *, tenant: str | None, count: int | None, bodies: bool
) -> None:
    from pipeline.operations import records
    from pipeline.operations.events import as_document, event_of, tenant_of

    async with records.consumer(where.bootstrap, where.client_options) as client:
        parts = await records.partitions_of(client, [topic])
        if not parts:
            raise CliError(f"there is no topic {topic}: `millrace topics list` shows them")
        await records.start_at(client, parts, start)
        shown = 0
        async for record in client:
            document = as_document(record, event_of(record, event_named(where, topic)), bodies=bodies)
            if tenant is not None and tenant_of(record, document["value"]) != tenant:
                continue
            print_json(document)
            shown += 1
            if shown == count:
                return


def event_named(where: Connection, topic: str) -> str | None:
    """The event that a topic carries by the table; None for dead letters and strangers."""
    from schemas.topics import TOPICS

    name = topic.removeprefix(where.topic_prefix)
    for known in TOPICS:
        head, _, tail = known.name.partition("{")
        tail = tail.partition("}")[2]
        if name == known.name or ("{" in known.name and name.startswith(head) and name.endswith(tail)):
            return known.event
    return None


def start_of(text: str) -> str | int:
    """`beginning`, `end`, or a time as epoch milliseconds. Raises UsageError."""
    if text in ("beginning", "end"):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--from {text}: write beginning, end, or a time such as 2026-11-25T15:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
