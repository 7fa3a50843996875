"""What the demo shows of each request, and its sum: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

COLUMNS = ("id", "prompt", "by", "model", "outcome", "attempts", "ms", "cost")
_PROMPT_WIDTH = 38


@dataclass(slots=True)
class Row:
    """One request of ours. `expected` is the error code that it was written to meet; `ms` as the platform measured it."""

    request_id: str
    prompt: str
    by: str
    expected: str | None = None
    model: str = ""
    outcome: str = "sent"
    attempts: int = 0
    ms: int | None = None
    cost_nano_usd: int = 0
    done: bool = False

    def answer(self, response: dict[str, Any]) -> None:
        """The first outcome counts."""
        if self.done:
            return
        error = response.get("error") or {}
        self.model = response.get("model") or ""
        self.outcome = error.get("code") or "ok"
        self.attempts = response.get("attempts") or 0
        self.ms = (response.get("timings_ms") or {}).get("total")
        self.cost_nano_usd = response.get("cost_nano_usd") or 0
        self.done = True

    @property
    def as_wished(self) -> bool:
        return self.done and self.outcome == (self.expected or "ok")

    def cells(self) -> tuple[str, ...]:
        refused = f"{self.outcome} (expected)" if self.expected and self.as_wished else self.outcome
        return (
            self.request_id,
            self.prompt,
            self.by,
            self.model,
            refused,
            str(self.attempts) if self.done else "",
            str(self.ms) if self.ms is not None else "",
            usd(self.cost_nano_usd) if self.done else "",
        )


def row_of(request_id: str, envelope: dict[str, Any], by: str) -> Row:
    expected = (envelope.get("tags") or {}).get("expect")
    return Row(request_id, prompt_start(envelope), by, expected)


def prompt_start(envelope: dict[str, Any], width: int = _PROMPT_WIDTH) -> str:
    """The beginning of the last user message, on one line."""
    messages = (envelope.get("body") or {}).get("messages")
    asked = [m for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
    text = str(asked[-1].get("content") or "") if asked else str(messages)
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


def usd(nano: int) -> str:
    return f"${nano / 1e9:.6f}"


def percentile(values: Iterable[int], share: float) -> int | None:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 100) * len(ordered) // 100) - 1))] if ordered else None


def summary(rows: Iterable[Row]) -> str:
    """One line: answered, refused as expected, failed, open; how fast; what it cost."""
    rows = list(rows)
    answered = [row for row in rows if row.outcome == "ok" and row.done]
    refused = [row for row in rows if row.expected and row.as_wished]
    waiting = [row for row in rows if not row.done]
    failed = len(rows) - len(answered) - len(refused) - len(waiting)
    times = [row.ms for row in answered if row.ms is not None]
    parts = [
        f"{len(answered)} of {len(rows)} answered",
        f"{len(refused)} refused as expected",
        *([f"{failed} failed"] if failed else []),
        *([f"{len(waiting)} without an outcome yet"] if waiting else []),
        f"p50 {percentile(times, 0.5)} ms, p95 {percentile(times, 0.95)} ms",
        f"total cost {usd(sum(row.cost_nano_usd for row in rows))}",
    ]
    return ", ".join(parts)
