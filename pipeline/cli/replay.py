"""`millrace replay`: history decided again, sent again, priced again. Its document stays in the data directory."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.cli.errors import CliError, UsageError
from pipeline.cli.options import ConfigOption, DataDirOption, JsonOption, print_json, settings_of
from pipeline.cli.places import clickhouse, connection
from pipeline.cli.replaying import Document, Told, carried_out, print_document
from pipeline.settings import Settings
from schemas.usage import UsageQuestion, usage_question

if TYPE_CHECKING:
    from pipeline.operations.replaying.history import Span

Mode = Literal["decide", "send", "reprice"]
Source = Literal["kafka", "clickhouse"]

_NANO = 1_000_000_000
_KEPT_MS = 71 * 3_600_000
"""So long the topics surely say what a run sent; afterwards its document does."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line, checked."""

    mode: Mode
    question: UsageQuestion
    policy: Path | None
    model: str | None
    rate: float | None
    budget_nano_usd: int | None
    source: Source | None
    html: Path | None
    settings: Settings

    @property
    def span(self) -> "Span":
        from pipeline.operations.replaying.history import Span

        return Span(self.question.from_ms, self.question.to_ms, self.question.tenant)


def replay(
    mode: Annotated[
        Mode,
        typer.Option(help="decide: what would be chosen; send: put it through again; reprice: correct the ledger."),
    ],
    start: Annotated[str, typer.Option("--from", help="Accepted at or after (RFC 3339, or a date).")],
    end: Annotated[str, typer.Option("--to", help="Accepted before.")],
    tenant: Annotated[str | None, typer.Option(help="One tenant's [default: all].")] = None,
    policy: Annotated[
        Path | None, typer.Option(help="A catalogue: the policy to decide by, or the corrected price book.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="send: a model or route, instead of what was asked for.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="send: requests per second at most.")] = None,
    budget: Annotated[str | None, typer.Option(help="send: US dollars that the run may cost.")] = None,
    source: Annotated[
        Source | None, typer.Option(help="Where history is read [default: Kafka, before that ClickHouse].")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="decide: the report as a page, to this file.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Replay the history of a range. The same arguments go on with the same run."""
    question = usage_question(None, start, end, tenant=tenant or "")
    if not isinstance(question, UsageQuestion):
        raise UsageError(f"--{question.param}: {question.message}")
    asked = Asked(mode, question, policy, model, rate, _nano_usd(budget), source, html, settings_of(config, data_dir))
    _check(asked)
    document = _MODES[mode](asked)
    if as_json:
        print_json(document)
    else:
        print_document(document)


def _check(asked: Asked) -> None:
    """What belongs to another mode is a mistake, not ignored. Raises UsageError."""
    given = {
        "--model": (asked.model, ("send",)),
        "--rate": (asked.rate, ("send",)),
        "--budget": (asked.budget_nano_usd, ("send",)),
        "--source": (asked.source, ("send", "decide")),
        "--html": (asked.html, ("decide",)),
        "--policy": (asked.policy, ("decide", "reprice")),
    }
    for name, (value, modes) in given.items():
        if value is not None and asked.mode not in modes:
            raise UsageError(f"{name} belongs to --mode {' and '.join(modes)}")
    if asked.mode == "reprice" and asked.policy is None:
        raise UsageError("--mode reprice needs the corrected price book: --policy CATALOGUE")


def _nano_usd(text: str | None) -> int | None:
    """Exact, to nine places. Raises UsageError."""
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0 or amount != round(amount, 9) or amount > 10**9:
        raise UsageError(f"--budget {text}: write US dollars such as 2.50")
    return int(amount * _NANO)


# --- the modes --------------------------------------------------------------------------------------------------------


def _decide(asked: Asked) -> Document:
    from pipeline.catalog_file import load
    from pipeline.core.replaying import run_id
    from pipeline.operations.redeciding.deciding import History, ReplayFailed, replay_decide
    from pipeline.operations.redeciding.page import page
    from pipeline.operations.replaying.history import Progress
    from pipeline.settings import environment

    policy = None if asked.policy is None else load(asked.policy, environment()).catalog
    where, reader = connection(asked.settings), _reader(asked.settings)
    if reader is None and asked.source == "clickhouse":
        raise CliError("--source clickhouse: no ClickHouse is known")
    named = run_id("decide", {**_range(asked), "policy": policy.hash if policy else None})

    async def work(told: Told, _since_ms: int) -> Document:
        question = asked.question
        try:
            return await replay_decide(
                History(where, reader, asked.source), from_ms=question.from_ms, to_ms=question.to_ms, policy=policy,
                tell=lambda done, total: told(Progress(done, total), {}), tenant=question.tenant,
            )  # fmt: skip
        except ReplayFailed as error:
            raise CliError(str(error)) from None
        finally:
            if reader is not None:
                await reader.close()

    document = carried_out(asked.settings.data_dir, _head(asked, named, policy=policy.hash if policy else None), work)
    if asked.html is not None:
        asked.html.write_text(page(document), encoding="utf-8")
    return document


def _send(asked: Asked) -> Document:
    from pipeline.catalog_file import load
    from pipeline.core.replaying import run_id
    from pipeline.operations.replaying.sending import Order, replay_send
    from pipeline.settings import environment

    where = connection(asked.settings)
    catalog = load(where.catalog, environment()).catalog
    if asked.model is not None and asked.model not in catalog.models and asked.model not in catalog.routes:
        raise UsageError(f"--model {asked.model}: no model or route of the catalogue has this name")
    named = run_id("send", {**_range(asked), "model": asked.model})

    async def work(told: Told, since_ms: int) -> Document:
        order = Order(
            named, asked.span, asked.model, asked.rate, asked.budget_nano_usd, asked.source,
            max(since_ms, asked.question.from_ms),
        )  # fmt: skip
        reader = _reader(asked.settings)
        if reader is None and asked.source == "clickhouse":
            raise CliError("--source clickhouse: no ClickHouse is known")
        try:
            return await replay_send(where, catalog, reader, order, told)
        finally:
            if reader is not None:
                await reader.close()

    head = _head(asked, named, model=asked.model)
    return carried_out(asked.settings.data_dir, head, work, resumes_for_ms=_KEPT_MS)


def _reprice(asked: Asked) -> Document:
    """Each time a run of its own: what it adds to the ledger stays on the list."""
    from pipeline.catalog_file import load
    from pipeline.cli.sending import shards_of
    from pipeline.core.replaying import run_id
    from pipeline.operations.replaying.repricing import replay_reprice
    from pipeline.settings import environment

    assert asked.policy is not None
    prices = load(asked.policy, environment()).catalog
    where = connection(asked.settings)
    shards = shards_of(where)
    reader = _reader(asked.settings)
    if reader is None:
        raise CliError("--mode reprice reads the ledger in ClickHouse, and none is known")
    named = run_id("reprice", {**_range(asked), "policy": prices.hash, "at": time.time_ns() // 1_000_000})

    async def work(told: Told, _since_ms: int) -> Document:
        from connectors.clickhouse.past import PastLedger

        gc.disable()  # rows hold no cycles, a slice bounds them, and looking for some takes a third of the time
        try:
            ledger = PastLedger(reader, tenant=asked.question.tenant)
            return await replay_reprice(where, prices, shards, ledger, asked.span, told)
        finally:
            await reader.close()

    return carried_out(asked.settings.data_dir, _head(asked, named, policy=prices.hash), work, alone="reprice")


_MODES: dict[Mode, Callable[[Asked], Document]] = {"decide": _decide, "send": _send, "reprice": _reprice}


def _range(asked: Asked) -> dict[str, str | int | None]:
    """The arguments that every run's identity has."""
    return {"from": asked.question.from_ms, "to": asked.question.to_ms, "tenant": asked.question.tenant or None}


def _head(asked: Asked, named: str, **more: str | None) -> Document:
    """The part of its document that every run has, and what else it was asked."""
    from pipeline.operations.events import rfc3339

    return {
        "run_id": named,
        "mode": asked.mode,
        "from": rfc3339(asked.question.from_ms),
        "to": rfc3339(asked.question.to_ms),
        "tenant": asked.question.tenant or None,
        **more,
    }


def _reader(settings: Settings) -> Any:
    """None where no ClickHouse is known."""
    from connectors.clickhouse.reader import Reader

    address = clickhouse(settings)
    return None if address is None else Reader(address, limit_s=120)
