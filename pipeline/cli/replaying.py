"""A replay as a command carries it out: one at a time, its document kept, its progress on stderr."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.cli.errors import CliError
from pipeline.operations.events import rfc3339

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.operations.replaying.history import Progress

__all__ = ["Document", "Told", "Work", "carried_out", "print_document"]

Document = dict[str, Any]
Told = Callable[["Progress", Document], None]
Work = Callable[[Told, int], Coroutine[Any, Any, Document]]
"""What is done: is handed whom to tell, and since when the run may have left something (epoch ms; 0: nobody knows)."""


def carried_out(
    data_dir: "Path", head: Document, work: Work, *, resumes_for_ms: int | None = None, alone: str | None = None
) -> Document:
    """The run's document, kept while it goes on and at its end.

    Args:
        data_dir: where documents are kept.
        head: its beginning, with the run's id.
        work: does it; its result is the mode's own part.
        resumes_for_ms: a run that began longer ago is over, whatever its document says.
        alone: of all runs with this word one at a time.

    Raises:
        CliError: It ended without a result.
    """
    from connectors.clickhouse.store import StoreError
    from pipeline.operations.replaying.errors import ReplayError
    from pipeline.operations.replaying.runs import RunStore

    store = RunStore(data_dir)
    try:
        with store.held(alone or head["run_id"]), store.held(head["run_id"]) if alone else nullcontext():
            before, now_ms = store.read(head["run_id"]), int(time.time() * 1000)
            began_ms = _epoch_ms(before["started_at"]) if before else now_ms
            if before is not None and resumes_for_ms is not None and now_ms - began_ms > resumes_for_ms:
                return before
            since_ms = began_ms if before else 0
            kept = _Kept(store, {**head, "started_at": rfc3339(began_ms)})
            with _Shown() as shown:
                figures = asyncio.run(work(lambda progress, said: _tell(kept, shown, progress, said), since_ms))
            return kept.keep(figures, "done")
    except ReplayError as error:
        raise CliError(str(error)) from None
    except StoreError as error:
        raise CliError(f"ClickHouse: {error}") from None


def _epoch_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@dataclass(slots=True)
class _Kept:
    """Writes a run's document, twice a second at most while it is under way."""

    store: Any
    head: Document
    last_s: float = field(default=0.0)

    def keep(self, figures: Document, status: str) -> Document:
        document = {**self.head, "status": status, "updated_at": rfc3339(int(time.time() * 1000)), **figures}
        if status == "done" or time.monotonic() - self.last_s > 0.5:
            self.store.write(document)
            self.last_s = time.monotonic()
        return document


def _tell(kept: _Kept, shown: "_Shown", progress: "Progress", said: Document) -> None:
    kept.keep(said, "running")
    shown.show(progress, said)


class _Shown:
    """Progress with the time that is left, on stderr, where that is a terminal."""

    def __enter__(self) -> "_Shown":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._bar.start()
        self._task = self._bar.add_task("reading", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: "Progress", said: Document) -> None:
        text = ", ".join(f"{name} {value}" for name, value in said.items() if isinstance(value, int))
        self._bar.update(self._task, description=text, completed=progress.done, total=progress.total or None)


def print_document(document: Document) -> None:
    """For people: a line per figure; lists are for programs, and for the page of a replay."""
    from pipeline.operations.usage import usd

    for name, value in document.items():
        if value is None or value == {} or _has_list(value):
            continue
        shown = usd(value) if name.endswith("_nano_usd") and isinstance(value, int) else value
        if isinstance(shown, dict):
            shown = ", ".join(
                f"{key} {_short(number)}" for key, number in shown.items() if not isinstance(number, dict)
            )
        print(f"{name.removesuffix('_nano_usd').replace('_', ' '):<17} {shown}")


def _short(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _has_list(value: Any) -> bool:
    return isinstance(value, list) or (
        isinstance(value, dict) and any(isinstance(each, list) for each in value.values())
    )
