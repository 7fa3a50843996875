"""One export from order to file: source, choice, lines, manifest. Nothing half-written stays behind.

The manifest says with which arguments, out of which records, and what was left out. Of the offsets it names the first and
last per partition of what is in the file, so that it does not change with what others do.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from connectors.clickhouse.reader import Reader
from pipeline.core.exporting import (
    FORMAT_VERSION,
    HEADER,
    Choice,
    Exchange,
    Line,
    Place,
    Skip,
    Wanted,
    choose,
    lines_of,
)
from pipeline.core.redaction import REDACTION_VERSION, Redactor
from pipeline.operations.events import rfc3339
from pipeline.operations.exporting.from_rows import gather_rows
from pipeline.operations.exporting.from_topics import are_there, gather_topics
from pipeline.operations.exporting.gathering import Gathered, Spool
from pipeline.operations.running import Connection

__all__ = ["ExportError", "Order", "export", "manifest_path"]

Source = Literal["kafka", "clickhouse"]


class ExportError(Exception):
    """It cannot be done; for people."""


@dataclass(slots=True, frozen=True)
class Order:
    """`source` None: Kafka while it has everything since `from_ms`, else ClickHouse."""

    wanted: Wanted
    out: Path
    source: Source | None = None


@dataclass(slots=True)
class _Written:
    """What is in the file so far."""

    digest: Any = field(default_factory=hashlib.sha256)
    bytes: int = 0
    rows: int = 0
    exported: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    redacted: Counter[str] = field(default_factory=Counter)
    spans: dict[str, dict[int, list[int]]] = field(default_factory=dict)

    def note(self, topic: str, place: Place) -> None:
        span = self.spans.setdefault(topic, {}).setdefault(place.partition, [place.offset, place.offset])
        span[:] = [min(span[0], place.offset), max(span[1], place.offset)]


def manifest_path(out: Path) -> Path:
    return out.with_name(out.name + ".manifest.json")


async def export(
    order: Order, where: Connection | None, reader: Reader | None, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Write file and manifest; the manifest. `tell` hears what is being done.

    Raises:
        ExportError: No source has the data, or the file cannot be written.
        KafkaError, StoreError: The source does not answer.
    """
    if not order.out.parent.is_dir():
        raise ExportError(f"there is no directory {order.out.parent}")
    if order.out.is_dir():
        raise ExportError(f"{order.out} cannot be written: it is a directory")
    source = order.source or await _source(order.wanted, where, reader)
    gathered = Gathered(Spool(order.out.parent))
    try:
        tell(f"reading {source}")
        if source == "kafka":
            await gather_topics(_there(where, "Kafka"), order.wanted, gathered)
        else:
            await gather_rows(_there(reader, "ClickHouse"), order.wanted, gathered)
        choice = choose(order.wanted, gathered.asked.values(), gathered.answered, gathered.ratings, gathered.versus)
        tell(f"writing {order.out}: {len(choice.exchanges)} of {len(gathered.asked)} requests")
        return _write(order, source, gathered, choice)
    except OSError as error:
        raise ExportError(f"{order.out} cannot be written: {error.strerror}") from None
    finally:
        gathered.spool.close()


def _there(source: Any, name: str) -> Any:
    if source is None:
        raise ExportError(f"no {name} is known")
    return source


async def _source(wanted: Wanted, where: Connection | None, reader: Reader | None) -> Source:
    if where is not None and await are_there(where, wanted.from_ms):
        return "kafka"
    if reader is not None:
        return "clickhouse"
    raise ExportError(
        "Kafka no longer has everything since --from, and no ClickHouse is known; --source kafka exports what is left"
    )


def _write(order: Order, source: Source, gathered: Gathered, choice: Choice) -> dict[str, Any]:
    written = _Written(skipped=choice.skipped)
    with _replaced(order.out) as file, _replaced(manifest_path(order.out)) as beside:
        if order.wanted.format == "csv":
            _put(file, written, HEADER)
        for exchange in choice.exchanges:
            _put_exchange(file, written, order.wanted.format, exchange, gathered)
        document = _manifest(order.wanted, source, len(gathered.asked), written)
        beside.write(json.dumps(document, indent=2, sort_keys=True).encode() + b"\n")
    return document


def _put_exchange(file: IO[bytes], written: _Written, format: str, exchange: Exchange, gathered: Gathered) -> None:
    redactor = Redactor()
    lines = lines_of(format, exchange, gathered.bodies(exchange), redactor)
    if isinstance(lines, Skip):
        written.skipped[lines.reason] += 1
        return
    written.exported += 1
    written.rows += len(lines)
    written.redacted += redactor.counts
    written.note("enriched.v1", exchange.asked.place)
    written.note("responses.v1", exchange.answered.place)
    for line in lines:
        _put_line(file, written, line)


def _put_line(file: IO[bytes], written: _Written, line: Line) -> None:
    _put(file, written, line.text)
    for topic, place in line.sources:
        written.note(topic, place)


def _put(file: IO[bytes], written: _Written, data: bytes) -> None:
    file.write(data)
    written.digest.update(data)
    written.bytes += len(data)


def _manifest(wanted: Wanted, source: Source, requests: int, written: _Written) -> dict[str, Any]:
    return {
        "format": wanted.format,
        "format_version": FORMAT_VERSION,
        "redaction_version": REDACTION_VERSION,
        "arguments": {
            "tenant": wanted.tenant, "from": rfc3339(wanted.from_ms), "to": rfc3339(wanted.to_ms), "route": wanted.route,
            "model": wanted.model, "min_score": wanted.min_score, "source": source,
        },
        "store_bodies": wanted.has_consent,
        "sha256": written.digest.hexdigest(),
        "bytes": written.bytes,
        "rows": written.rows,
        "requests": {"read": requests, "exported": written.exported, "skipped": sum(written.skipped.values())},
        "skipped": dict(written.skipped),
        "redacted": dict(written.redacted),
        "offsets": {
            topic: {str(partition): {"first": first, "last": last} for partition, (first, last) in parts.items()}
            for topic, parts in written.spans.items()
        },
    }  # fmt: skip


@contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    """The file appears whole, under its name, or not at all. Its owner alone may read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
