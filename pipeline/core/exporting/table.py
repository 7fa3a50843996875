"""Rows of CSV for analysts (RFC 4180, but lines end with a line feed). Cells that a spreadsheet would compute are made text.

Formula injection: https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from pipeline.core.exporting.messages import answer_of, last_question, parsed, text_of
from pipeline.core.exporting.records import Bodies, Exchange
from pipeline.core.redaction import Redactor

__all__ = ["COLUMNS", "HEADER", "row_of"]

COLUMNS: Final = (
    "request_id", "accepted_at", "finished_at", "user", "conversation_id", "route", "model", "provider", "region", "operation",
    "language", "task", "complexity", "band", "sensitivity", "finish_reason", "cached", "attempts", "input_tokens",
    "output_tokens", "cache_read_tokens", "cost_nano_usd", "queue_ms", "first_token_ms", "total_ms", "score", "ratings",
    "tags", "prompt", "answer",
)  # fmt: skip

_FORMULA = re.compile(r"\s*[=+\-@|%＝＋－＠]|[\t\r\n]")  # noqa: RUF001 - spreadsheets read full-width signs too


def row_of(exchange: Exchange, bodies: Bodies, redactor: Redactor) -> bytes:
    """With its line end; what is not known is an empty cell."""
    asked, answered = exchange.asked, exchange.answered
    answer = answer_of(bodies.answered)
    cells = {name: getattr(asked, name) for name in COLUMNS if hasattr(asked, name)}
    cells |= {name: getattr(answered, name) for name in COLUMNS if hasattr(answered, name)}
    cells |= {
        "accepted_at": _time(asked.accepted_at),
        "finished_at": _time(answered.finished_at),
        "user": redactor.text(asked.user),
        "route": asked.target,
        "score": exchange.score,
        "ratings": len(exchange.ratings),
        "tags": redactor.json(orjson.dumps(asked.tags, option=orjson.OPT_SORT_KEYS).decode()) if asked.tags else "",
        "prompt": redactor.text(last_question(parsed(bodies.asked) or {})),
        "answer": redactor.text(text_of((answer or {}).get("content"))),
    }
    return _encoded([_cell(cells[name]) for name in COLUMNS])


def _cell(value: Any) -> str:
    """Numbers are ours, text is anybody's."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    return f"'{value}" if _FORMULA.match(value) else value


def _encoded(cells: list[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode()


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


HEADER: Final = _encoded(list(COLUMNS))
