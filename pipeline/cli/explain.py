"""`millrace explain ID`: everything that happened to a request, from the topics of the last 72 hours."""

import asyncio
import time
from typing import Annotated, Any

import typer

from pipeline.cli.errors import CliError
from pipeline.cli.options import BodiesOption, ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import Connection, connection

_HOURS = 72
_PLACES = {
    "requests.v1": "request",
    "enriched.v1": "enriched",
    "decisions.v1": "decisions",
    "attempts.v1": "attempts",
    "costs.v1": "costs",
    "responses.v1": "response",
}
_MANY = ("decisions", "attempts", "costs")


def explain(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="Of a request.")],
    tenant: Annotated[str | None, typer.Option(help="Where two tenants use the same id.")] = None,
    bodies: BodiesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Decisions, attempts, costs and the outcome of one request."""
    where = connection(settings_of(config, data_dir))
    document = asyncio.run(collect(where, request_id, tenant=tenant, bodies=bodies))
    if not any(document[name] for name in _PLACES.values()):
        raise CliError(f"no request {request_id} in the last {_HOURS} hours")
    if as_json:
        print_json(document)
    else:
        from pipeline.cli.explained import print_explained

        print_explained(request_id, document)


async def collect(where: Connection, request_id: str, *, tenant: str | None, bodies: bool) -> dict[str, Any]:
    """The document of the contract. The first outcome counts, as for every reader."""
    from pipeline.cli import records
    from pipeline.cli.events import value_of, without_bodies
    from schemas.topics import TOPICS

    events = {topic.name: topic.event for topic in TOPICS}
    document: dict[str, Any] = {
        "request": None, "enriched": None, "decisions": [], "attempts": [], "costs": [], "response": None,
        "shadow": [], "feedback": [],
    }  # fmt: skip
    since_ms = int(time.time() * 1000) - _HOURS * 3_600_000
    async for record in records.scan(where, [where.topic(name) for name in _PLACES], since_ms):
        name = record.topic.removeprefix(where.topic_prefix)
        if not may_be_of(record, request_id):
            continue
        value = value_of(events[name], record.value)
        if not is_of(record, value, request_id=request_id, tenant=tenant):
            continue
        _put(document, _PLACES[name], value if bodies else without_bodies(value))
    return document


def may_be_of(record: Any, request_id: str) -> bool:
    """Cheap: by header; records of foreign producers may carry none, then by the bytes."""
    from schemas import headers as h

    said = h.text(record.headers, h.REQUEST_ID)
    return said == request_id if said is not None else request_id.encode() in (record.value or b"")


def is_of(record: Any, value: Any, *, request_id: str, tenant: str | None) -> bool:
    from pipeline.cli.events import tenant_of
    from schemas import headers as h

    said = h.text(record.headers, h.REQUEST_ID) or (value.get("request_id") if isinstance(value, dict) else None)
    return said == request_id and (tenant is None or tenant_of(record, value) == tenant)


def _put(document: dict[str, Any], place: str, value: Any) -> None:
    if place in _MANY:
        document[place].append(value)
    elif document[place] is None:
        document[place] = value
