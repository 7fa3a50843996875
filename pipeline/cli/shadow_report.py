"""`millrace shadow report NAME`: what an experiment has found so far, and what to do."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import clickhouse, connection
from pipeline.operations.experiments import Facts, experiments_of, facts_of
from pipeline.settings import Settings
from schemas.usage import UsageQuestion, usage_question

_PATIENCE_S = 120


def report(
    name: Annotated[str, typer.Argument(help="Of a shadow or a live split.")],
    start: Annotated[str | None, typer.Option("--from", help="Accepted at or after (RFC 3339, or a date).")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Accepted before.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Promote, keep, or how many more: win rate, cost and latency with bounds that hold however often you look."""
    asked = usage_question(None, start, end)
    if not isinstance(asked, UsageQuestion):
        raise UsageError(f"--{asked.param}: {asked.message}")
    settings = settings_of(config, data_dir)
    document = asyncio.run(_document(settings, name, asked))
    if as_json:
        print_json(document)
    else:
        _print_report(document)


async def _document(settings: Settings, name: str, asked: UsageQuestion) -> dict[str, Any]:
    """Raises CliError: no ClickHouse, no answer, or nothing of that name."""
    from connectors.clickhouse.experiments import Experiments, Range
    from connectors.clickhouse.reader import Reader
    from connectors.clickhouse.store import StoreError
    from pipeline.operations.report import experiment_report

    facts, known = _facts(settings, name)
    address = clickhouse(settings)
    if address is None:
        raise CliError(
            f"no ClickHouse is known: neither MILLRACE_CLICKHOUSE_DSN nor a `millrace up` in {settings.data_dir} names one"
        )
    reader = Reader(address, limit_s=_PATIENCE_S)
    try:
        document = await experiment_report(
            Experiments(reader),
            await _now(settings, facts or Facts(name)),
            Range(asked.from_ms, asked.to_ms),
            time.time_ns() // 1_000_000,
        )
    except StoreError as error:
        raise CliError(f"ClickHouse at {address.base_url}: {error}") from None
    finally:
        await reader.close()
    if facts is None and not document["pairs"] and not document["skipped"]:
        raise CliError(f"no experiment {name}: the catalogue has {', '.join(known) or 'none'}, and nothing was written")
    return document


async def _now(settings: Settings, facts: Facts) -> Facts:
    """With what its stage says, if that can be asked; the figures do not need a broker."""
    from aiokafka.errors import KafkaError

    from pipeline.operations.shadows import board_of

    try:
        async with board_of(connection(settings)) as board:
            return board.now(facts)
    except (CliError, KafkaError, LookupError):
        return facts


def _facts(settings: Settings, name: str) -> tuple[Facts | None, list[str]]:
    """By the catalogue of the running `up`, unless another one is named; and the names that it has."""
    from pipeline.catalog_file import load
    from pipeline.operations.running import running_in
    from pipeline.settings import environment

    running = None if "config" in settings.model_fields_set else running_in(settings.data_dir)
    catalog = load(running.catalog if running else settings.config, environment()).catalog
    return facts_of(catalog, name), [facts.name for facts in experiments_of(catalog)]


def _print_report(document: dict[str, Any]) -> None:
    from pipeline.cli.tables import print_table

    print(document["sentence"])
    for other in _others(document):
        print(other["sentence"])
    print()
    print_table([*_sides(document)])
    rows = [*_beside(document)]
    if rows:
        print()
        print_table(rows)


def _others(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Arms of a split besides those that are its primary and its shadow."""
    return list(document.get("arms", ())[1:])


def _sides(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from pipeline.operations.usage import usd

    sides = {side: document[side] for side in ("primary", "shadow")}
    sides |= {f"arm {other['arm']}": other["figures"] for other in _others(document)}

    def row(figure: str, shown: Mapping[str, Any]) -> dict[str, Any]:
        return {"figure": figure, **shown}

    for name in ("arm", "model", "requests", "errors"):
        if name in sides["primary"]:
            yield row(name, {side: figures[name] for side, figures in sides.items()})
    yield row("usd", {side: usd(figures["cost_nano_usd"]) for side, figures in sides.items()})
    for name in ("first_token_ms", "total_ms"):
        for place in ("p50", "p95"):
            yield row(f"{name} {place}", {side: figures[name][place] for side, figures in sides.items()})


def _beside(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Shadow less primary, agreement, skips and the budget."""
    from pipeline.operations.usage import usd

    for name, delta in document["deltas"].items():
        if delta is not None:
            yield _line(f"delta {name}", f"{delta['estimate']:.0f} ({delta['low']:.0f} to {delta['high']:.0f})")
    for name, share in document["agreement"].items():
        if share is not None:
            yield _line(f"agreement {name}", f"{share:.3f}")
    rated = document.get("quality", {}) | {f"arm {other['arm']}": other["quality"] for other in _others(document)}
    for side, quality in rated.items():
        if quality["rated"]:
            ends = f"({quality['low']:.3f} to {quality['high']:.3f})"
            yield _line(f"feedback {side}", f"{quality['estimate']:.3f} {ends} of {quality['rated']}")
    for reason, number in document["skipped"].items():
        yield _line(f"skipped {reason}", str(number))
    budget = document["budget"]
    if budget["limit_nano_usd"] is not None:
        yield _line(
            f"budget per {budget['per']}", f"{usd(budget['spent_nano_usd'])} of {usd(budget['limit_nano_usd'])}"
        )


def _line(figure: str, value: str) -> dict[str, Any]:
    return {"figure": figure, "value": value}
