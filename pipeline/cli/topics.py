"""`millrace topics`: make them, list them, describe them as the broker has them."""

import asyncio
from typing import Annotated, Any

import typer

from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import connection
from pipeline.operations.running import Connection
from pipeline.settings import Settings, environment
from schemas.catalog import Catalog
from schemas.topics import NamedTopic, named_topics

app = typer.Typer(help="Create, list and describe the topics of this installation.", no_args_is_help=True)


def wanted(settings: Settings, catalog: Catalog, prefix: str, partitions: int) -> list[NamedTopic]:
    return named_topics(prefix, partitions, sorted(catalog.providers), catalog.retry.delays_s)


async def make_topics(bootstrap: str, settings: Settings, catalog: Catalog) -> int:
    """Create what is missing; returns the partition count of the tenant-keyed topics, which may be older than we are."""
    from connectors.kafka.admin import ensure_topics
    from pipeline.operations.records import partition_counts

    options = settings.client_options()
    first = settings.topic_prefix + "requests.v1"
    count = (await partition_counts(bootstrap, [first], options))[first] or settings.tenant_partitions
    await ensure_topics(bootstrap, wanted(settings, catalog, settings.topic_prefix, count), security=options)
    return count


@app.command()
def create(config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Create the topics that are missing; those that exist are left as they are."""
    settings = settings_of(config, data_dir)
    where, catalog = connection(settings), _catalog(settings)
    count = asyncio.run(make_topics(where.bootstrap, settings, catalog))
    rows = [_row(topic) for topic in wanted(settings, catalog, where.topic_prefix, count)]
    _print(rows, as_json)


@app.command("list")
def list_(config: ConfigOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """The topics that this installation has by its catalogue; no broker is asked."""
    settings = settings_of(config, data_dir)
    _print([_row(topic) for topic in _wanted_offline(settings)], as_json)


@app.command()
def describe(
    topic: Annotated[str | None, typer.Argument(help="Only this one, with or without the prefix.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the broker has: partitions and the number of records kept."""
    settings = settings_of(config, data_dir)
    where = connection(settings)
    names = [t.name for t in wanted(settings, _catalog(settings), where.topic_prefix, where.partitions)]
    if topic is not None:
        names = [full_name(where, topic)]
    _print(asyncio.run(_describe(where, names)), as_json)


def full_name(where: Connection, topic: str) -> str:
    """`responses`, `responses.v1` and `llm.responses.v1` are one topic."""
    name = topic.removeprefix(where.topic_prefix)
    if "." not in name or not name.rsplit(".", 1)[1].startswith("v"):
        name += ".v1"
    return where.topic(name)


async def _describe(where: Connection, names: list[str]) -> list[dict[str, Any]]:
    from pipeline.operations.records import spans

    found = await spans(where, names)
    return [
        {
            "topic": name,
            "exists": bool(found[name]),
            "partitions": len(found[name]),
            "records": sum(end - begin for begin, end in found[name].values()),
            "ends": {str(partition): end for partition, (_, end) in sorted(found[name].items())},
        }
        for name in names
    ]


def _wanted_offline(settings: Settings) -> list[NamedTopic]:
    return wanted(settings, _catalog(settings), settings.topic_prefix, settings.tenant_partitions)


def _catalog(settings: Settings) -> Catalog:
    from pipeline.catalog_file import load

    return load(settings.config, environment()).catalog


def _row(named: NamedTopic) -> dict[str, Any]:
    return {
        "topic": named.name,
        "partitions": named.partitions,
        "retention_ms": named.topic.retention_ms,
        "cleanup": named.config["cleanup.policy"],
        "event": named.topic.event,
        "key": named.topic.key,
    }


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    from pipeline.cli.tables import print_table

    print_table([{name: value for name, value in row.items() if name != "ends"} for row in rows])
