"""`millrace dlq`: what could not be processed - listed, shown, sent again."""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Annotated, Any

import orjson
import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import BodiesOption, ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import connection
from pipeline.operations.running import Connection
from schemas import headers as h
from schemas import topics as t

app = typer.Typer(help="Dead letters: list, show, send again.", no_args_is_help=True)
PlaceArgument = Annotated[str, typer.Argument(metavar="PARTITION/OFFSET", help="Of the dead letter: see `dlq list`.")]
_ANSWERED_HOURS = 72


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """All that are kept, the oldest first."""
    from pipeline.operations.dead_letters import dead_letters

    where = connection(settings_of(config, data_dir))
    rows = [row for row in asyncio.run(dead_letters(where)) if tenant is None or row["tenant"] == tenant]
    if as_json:
        print_json(rows)
    else:
        from pipeline.cli.tables import print_table

        print_table(rows)


@app.command()
def show(
    place: PlaceArgument,
    bodies: BodiesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """One of them, with all its headers."""
    from pipeline.operations.events import as_document

    where = connection(settings_of(config, data_dir))
    record = asyncio.run(_one(where, place))
    document = as_document(record, _event(record), bodies=bodies)
    if as_json:
        print_json(document)
    else:
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


@app.command()
def redrive(
    places: Annotated[list[str] | None, typer.Argument(metavar="[PARTITION/OFFSET]...")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are kept.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Send the original bytes again where they came from; under a new request id if the old one has its outcome."""
    if bool(places) == everything:
        raise UsageError("name dead letters as PARTITION/OFFSET (see `dlq list`), or all of them with --all")
    where = connection(settings_of(config, data_dir))
    sent = asyncio.run(_redrive(where, places))
    if as_json:
        print_json(sent)
    else:
        from pipeline.cli.tables import print_table

        print_table(sent)


def parse_place(text: str) -> tuple[int, int]:
    """`0/17` -> partition and offset. Raises UsageError."""
    partition, _, offset = text.partition("/")
    if not partition.isdigit() or not offset.isdigit():
        raise UsageError(f"{text}: write PARTITION/OFFSET, such as 0/17")
    return int(partition), int(offset)


@dataclass(frozen=True, slots=True)
class Again:
    """What is sent: `request_id` is the id it goes under, where it has one."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    request_id: str | None


def again(record: Any, *, answered: bool, fresh_id: str) -> Again:
    """Pure. Raises CliError if the letter does not say where it comes from."""
    topic = h.text(record.headers, h.DLQ_TOPIC)
    if topic is None:
        raise CliError(f"the dead letter {record.partition}/{record.offset} does not say its topic (dlq-topic)")
    from pipeline.operations.dead_letters import identity

    kept = [(name, value) for name, value in record.headers if not name.startswith(h.DLQ_PREFIX)]
    old = identity(record)[1]
    if old is None or not answered or topic.endswith(t.FEEDBACK.name):  # feedback speaks of an answered request
        return Again(topic, record.key, record.value, kept, old)
    moved = {h.REQUEST_ID, h.REDRIVE_OF, h.DEADLINE_MS}  # the deadline of the old life is over
    kept = [(name, value) for name, value in kept if name not in moved]
    named = [*kept, *h.build(request_id=fresh_id, redrive_of=old)]
    return Again(topic, record.key, _renamed(record.value, fresh_id), named, fresh_id)


def _renamed(value: bytes | None, request_id: str) -> bytes | None:
    """A request carries its id in the value too; bytes that are no request stay as they are."""
    from schemas.codec import Undecodable, decode, encode
    from schemas.events import Request

    if value is None:
        return None
    try:
        if value[:1] == b"{":
            envelope = orjson.loads(value)
            return orjson.dumps({**envelope, "request_id": request_id}) if isinstance(envelope, dict) else value
    except orjson.JSONDecodeError:
        return value
    request = decode(Request, value)
    if isinstance(request, Undecodable):
        return value
    return encode(replace(request, request_id=request_id))


async def _redrive(where: Connection, places: list[str] | None) -> list[dict[str, Any]]:
    from pipeline.cli import sending
    from pipeline.operations import records
    from pipeline.operations.dead_letters import identity, letters

    chosen = [await _one(where, place) for place in places] if places else await letters(where)
    answered = await _answered(where, {identity(letter) for letter in chosen})
    sent = []
    async with records.producer(where) as client:
        for letter in chosen:
            new = again(letter, answered=identity(letter) in answered, fresh_id=sending.new_id())
            await client.deliver(new.topic, new.value, key=new.key, headers=new.headers)
            sent.append(
                {"partition": letter.partition, "offset": letter.offset, "topic": new.topic,
                 "request_id": new.request_id, "redrive_of": h.text(new.headers, h.REDRIVE_OF)}
            )  # fmt: skip
    return sent


async def _answered(
    where: Connection, identities: set[tuple[str | None, str | None]]
) -> set[tuple[str | None, str | None]]:
    """Which of them have an outcome. A letter without a tenant counts by its request id alone."""
    from pipeline.operations import records
    from pipeline.operations.dead_letters import identity

    found = set()
    since_ms = int(time.time() * 1000) - _ANSWERED_HOURS * 3_600_000
    async for record in records.scan(where, [where.topic(t.RESPONSES.name)], since_ms):
        tenant, request_id = identity(record)
        found |= {(tenant, request_id), (None, request_id)} & identities
    return found


async def _one(where: Connection, place: str) -> Any:
    from pipeline.operations import records

    partition, offset = parse_place(place)
    record = await records.one(where, where.topic(t.DEAD_LETTERS.name), partition, offset)
    if record is None:
        raise CliError(f"no dead letter stands at {place}: see `millrace dlq list`")
    return record


def _event(record: Any) -> str | None:
    from pipeline.operations.events import event_of

    return event_of(record, None)
