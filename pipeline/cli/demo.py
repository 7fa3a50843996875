"""What `up --demo` does when everything works: sends our own prompts, shows what became of each, and what to try next.

Most go straight to the topic, as plain JSON and as Avro by turns, as other services would send them; those that
stream go through the gateway. Their outcomes are read from `responses`, all the same way.
"""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.cli import sending
from pipeline.cli.demo_rows import COLUMNS, Row, row_of, summary
from pipeline.operations import records
from pipeline.operations.running import Connection, Running
from pipeline.settings import Settings

_PROMPTS = Path("infra/demo/prompts.jsonl")
_CHECKOUT = Path(__file__).resolve().parent.parent.parent
_PACE_S = 0.15
_PATIENCE_S = 90.0
_log = logging.getLogger(__name__)


class Show:
    """The rows as they come: a live table on a terminal, a line per outcome elsewhere. All on stderr: stdout is for JSON."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.rows = {row.request_id: row for row in rows}
        self.all_done = asyncio.Event()
        self.console = Console(stderr=True)
        self.live: Live | None = None
        self.sent = False
        self.early: dict[str, dict[str, Any]] = {}

    def add(self, row: Row) -> None:
        self.rows[row.request_id] = row
        self.refresh()
        if (response := self.early.pop(row.request_id, None)) is not None:
            self.hear(response)

    def hear(self, response: dict[str, Any]) -> None:
        """Over HTTP the id is known with the first piece; an answer without pieces may be heard of before."""
        request_id = str(response.get("request_id"))
        row = self.rows.get(request_id)
        if row is None:
            self.early[request_id] = response
            return
        if row.done:
            return
        row.answer(response)
        if self.live is None:
            print("  ".join(cell or "-" for cell in row.cells()), file=sys.stderr, flush=True)
        self.refresh()

    def refresh(self) -> None:
        if self.sent and not self.open:
            self.all_done.set()
        if self.live is not None:
            self.live.update(self.table())

    @property
    def open(self) -> int:
        return sum(not row.done for row in self.rows.values())

    def table(self, *, whole: bool = False) -> Table:
        """On a small terminal the last ones only, until the end."""
        table = Table(box=None, header_style="bold", title=f"{len(self.rows) - self.open} of {len(self.rows)} done")
        for name in COLUMNS:
            table.add_column(name, no_wrap=True, justify="right" if name in ("attempts", "ms", "cost") else "left")
        fits = max(5, self.console.height - 5)
        for row in list(self.rows.values())[0 if whole else -fits :]:
            table.add_row(*(Text(cell) for cell in row.cells()), style=_style(row))
        return table


def _style(row: Row) -> str:
    if not row.done:
        return "dim"
    return "" if row.as_wished else "red"


async def show(running: Running, keys: str | None, settings: Settings) -> None:
    """Send, watch, sum up; a demo that goes wrong is said, and the platform goes on."""
    key = (keys or "").split(",")[0].strip()
    board = Show()
    try:
        await _play(_connection(running, settings), running, key, board)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        _log.error("demo ended early", extra={"reason": f"{type(error).__name__}: {error}"})
    _close(board, running, key, settings)


def _connection(running: Running, settings: Settings) -> Connection:
    local = running.bootstrap != settings.kafka_bootstrap
    return Connection(
        running.bootstrap, running.topic_prefix, running.partitions, running.catalog, running.gateway,
        {} if local else settings.client_options(),
    )  # fmt: skip


async def _play(where: Connection, running: Running, key: str, board: Show) -> None:
    envelopes = prompts()
    async with sending.outcomes(where, board.hear), records.producer(where) as client:
        if board.console.is_terminal:
            board.live = Live(board.table(), console=board.console, refresh_per_second=8, transient=True)
            board.live.start()
        try:
            await _send_all(where, client, running.gateway, key, envelopes, board)
            board.sent = True
            board.refresh()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(board.all_done.wait(), _PATIENCE_S)
        finally:
            if board.live is not None:
                board.live.stop()


async def _send_all(
    where: Connection, client: Any, gateway: str, key: str, envelopes: list[dict[str, Any]], board: Show
) -> None:
    streams = []
    async with httpx.AsyncClient(base_url=gateway, timeout=_PATIENCE_S, trust_env=False) as http:
        for number, envelope in enumerate(envelopes):
            if over_http(envelope):
                streams.append(asyncio.ensure_future(_stream(http, key, envelope, board)))
            else:
                request = sending.outgoing(envelope, avro=number % 2 == 1)
                board.add(row_of(request.request_id, envelope, "Kafka, Avro" if number % 2 else "Kafka, JSON"))
                await sending.produce(where, client, [request])
            await asyncio.sleep(_PACE_S)
        for ended in await asyncio.gather(*streams, return_exceptions=True):
            if isinstance(ended, Exception):
                _log.warning("demo request over HTTP failed", extra={"reason": f"{type(ended).__name__}: {ended}"})


def over_http(envelope: dict[str, Any]) -> bool:
    """Those that stream; never batch work, never what is written to be refused."""
    refused = "expect" in (envelope.get("tags") or {})
    return bool(envelope.get("stream")) and not refused and envelope.get("priority") != "batch"


async def _stream(http: httpx.AsyncClient, key: str, envelope: dict[str, Any], board: Show) -> None:
    """One chat completion with server-sent events, read to its end as a client would."""
    body = {**envelope["body"], "model": envelope["model"], "stream": True}
    async with http.stream("POST", "/v1/chat/completions", json=body, headers=http_headers(key, envelope)) as answer:
        request_id = answer.headers.get("x-request-id") or sending.new_id()
        board.add(row_of(request_id, envelope, "HTTP, stream"))
        raw = await answer.aread()
    if answer.status_code >= 400:  # refused at the door: no record of it may come
        board.hear({"request_id": request_id, "error": {"code": _code(raw, answer.status_code)}})


def _code(raw: bytes, status: int) -> str:
    try:
        return str(json.loads(raw)["error"]["code"])
    except (ValueError, LookupError, TypeError):
        return f"HTTP {status}"


def http_headers(key: str, envelope: dict[str, Any]) -> dict[str, str]:
    """What stands in the envelope of a record stands in headers of a request."""
    tags = ",".join(f"{name}={value}" for name, value in (envelope.get("tags") or {}).items())
    said = {
        "authorization": f"Bearer {key}",
        "x-tags": tags,
        "x-conversation-id": envelope.get("conversation_id"),
        "x-user-id": envelope.get("user"),
        "x-sensitivity": envelope.get("sensitivity"),
    }
    return {name: value for name, value in said.items() if value}


def prompts() -> list[dict[str, Any]]:
    path = _PROMPTS if _PROMPTS.is_file() else _CHECKOUT / _PROMPTS
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _close(board: Show, running: Running, key: str, settings: Settings) -> None:
    if board.live is not None:
        board.console.print(board.table(whole=True))
    for line in closing_words(board.rows.values(), running, key, settings.data_dir):
        print(line, file=sys.stderr)


def closing_words(rows: Iterable[Row], running: Running, key: str, data_dir: Path) -> list[str]:
    rows = list(rows)
    beside = "" if str(data_dir) == ".millrace" else f" --data-dir {data_dir}"
    example = next((row.request_id for row in rows if row.outcome == "ok"), "ID")
    return [
        "",
        summary(rows),
        "",
        f"gateway   {running.gateway}",
        f"dashboard {running.admin}",
        f"Kafka     {running.bootstrap}",
        f"demo key  {key}",
        "",
        "try next:",
        f"  curl -N {running.gateway}/v1/chat/completions -H 'authorization: Bearer {key}' \\",
        "    -H 'content-type: application/json' \\",
        """    -d '{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}'""",
        f"  .venv/bin/millrace send 'Why is the sky blue?' --wait --bodies{beside}",
        f"  .venv/bin/millrace explain {example}{beside}",
        f"  .venv/bin/millrace watch responses --from beginning{beside}",
        "",
        "Ctrl-C ends everything.",
    ]
