"""The desk: everything that the surface can ask and order, as functions. It knows no stage, no topic and no database."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.dashboard.children import ChildProcess

__all__ = ["Ask", "Desk", "NoAnswer", "Row", "UnknownEndpoint", "UnknownExperiment", "UnknownOrder"]

Row = dict[str, Any]
Ask = Callable[..., Awaitable[list[Row]]]


class UnknownEndpoint(LookupError):
    """The catalogue has no such endpoint."""


class UnknownExperiment(LookupError):
    """The catalogue has no such experiment."""


class UnknownOrder(ValueError):
    """Not open, close or auto."""


class NoAnswer(Exception):
    """Somebody behind the surface does not answer; says who."""


@dataclass(slots=True, frozen=True)
class Desk:
    """Rows are those that the command line prints.

    Attributes:
        breakers: every endpoint of the catalogue, by name.
        order: endpoint and word (open, close, auto); returns when it is carried out. Raises UnknownEndpoint, UnknownOrder,
            NoAnswer.
        shadows: every experiment of the catalogue.
        order_shadow: name, start or stop, and for a start since when (epoch ms); returns when it is carried out. Raises
            UnknownExperiment, UnknownOrder, NoAnswer.
        explain: request id and, where two use the same, tenant -> the document, None if there is none. Raises NoAnswer.
        dead_letters: the oldest first. Raises NoAnswer.
        config: what is in force; never a key.
        tenants: names of the catalogue.
        children: the processes of this installation, with their admin ports.
        replays: documents of the runs of `millrace replay`, the newest first.
        replay: one of them by its run id, None if there is none.
        ask: SQL and its parameters -> rows. Raises NoAnswer.
        experiments: shadows and live splits of the catalogue: name, kind, status, primary, shadow, judge.
        report: experiment's name -> the document of `millrace shadow report`, None if nobody knows it. Raises NoAnswer.
        plots: experiment's name -> names of both sides, columns of win_rate, total_ms and cost_nano_usd. Raises NoAnswer.
        is_ready: whether the stage can work.
    """

    breakers: Callable[[], list[Row]]
    order: Callable[[str, str], Awaitable[None]]
    shadows: Callable[[], list[Row]]
    order_shadow: Callable[[str, str, int | None], Awaitable[None]]
    explain: Callable[[str, str | None], Awaitable[Row | None]]
    dead_letters: Callable[[], Awaitable[list[Row]]]
    config: Callable[[], Row]
    tenants: Callable[[], Sequence[str]]
    children: Callable[[], Sequence[ChildProcess]]
    replays: Callable[[], Sequence[Row]]
    replay: Callable[[str], Row | None]
    ask: Ask
    experiments: Callable[[], Sequence[Row]]
    report: Callable[[str], Awaitable[Row | None]]
    plots: Callable[[str], Awaitable[Row]]
    is_ready: Callable[[], bool]
