"""docs/tables.md, made of the migrations: every table, its columns, and the OpenTelemetry attribute that a column is."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connectors.clickhouse.ddl import Declared, declared
from connectors.clickhouse.migrate import MIGRATIONS
from connectors.clickhouse.tables import TABLES

__all__ = ["ATTRIBUTES", "main", "page"]

ATTRIBUTES: Final = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "chosen": "gen_ai.request.model",
    "stream": "gen_ai.request.stream",
    "streamed": "gen_ai.request.stream",
    "max_tokens": "gen_ai.request.max_tokens",
    "finish_reason": "gen_ai.response.finish_reasons",
    "first_event_ms": "gen_ai.response.time_to_first_chunk (there in seconds)",
    "timings_ms_first_token": "gen_ai.response.time_to_first_chunk (there in seconds)",
    "usage_input_tokens": "gen_ai.usage.input_tokens",
    "usage_output_tokens": "gen_ai.usage.output_tokens",
    "usage_cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "usage_cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "usage_reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "conversation_id": "gen_ai.conversation.id",
    "error_kind": "error.type",
    "requests.body": "gen_ai.input.messages",
    "responses.body": "gen_ai.output.messages",
    "score": "gen_ai.evaluation.score.value",
    "label": "gen_ai.evaluation.score.label",
    "comment": "gen_ai.evaluation.explanation",
}
"""By column, or by table and column. Semantic conventions for GenAI 1.42, status `development`."""

_HEAD = """# Tables

Generated from `connectors/clickhouse/migrations` by `make topology`; do not edit. Database `millrace`.

- A row is a record. `kafka_partition` and `kafka_offset` say which; nothing is lost and nothing is there twice.
- Records may be repeated, and the first one counts: the views `outcomes`, `ledger` and `otel_spans` apply that rule.
- Columns are named as the fields of the events, nested ones joined by `_`. Times are UTC, money is integer nano-dollars.
- `body`, `value`, `comment` and `edit` are filled for tenants with `store_bodies: true` only.
- `retention_days` is the tenant's: rows go after it.
- Rollups hold partial sums: add up with `sum()`, and read states with `quantilesTDigestIfMerge(0.5, 0.95, 0.99)(...)`.

Questions and their queries: [analytics.md](analytics.md)."""


def page() -> str:
    """The whole page."""
    topics = {table.name: table.topic.name for table in TABLES}
    parts = [_HEAD]
    for one in declared(MIGRATIONS).values():
        source = f" Filled from `{topics[one.name]}`." if one.name in topics else ""
        parts.append("\n".join([f"## {one.name}", "", f"{one.about.rstrip('.')}.{source}", *_columns(one)]))
    return "\n\n".join(parts) + "\n"


def _columns(one: Declared) -> Iterator[str]:
    if one.is_view:
        return
    yield from ("", "| column | type | OpenTelemetry |", "|---|---|---|")
    for column in one.columns:
        if not column.is_twin:
            attribute = ATTRIBUTES.get(f"{one.name}.{column.name}") or ATTRIBUTES.get(column.name)
            yield f"| `{column.name}` | {column.plain_type} | {f'`{attribute}`' if attribute else ''} |"


def main(arguments: list[str]) -> int:
    """`--write FILE` or `--check FILE`."""
    mode, path = arguments
    if mode == "--write":
        Path(path).write_text(page(), encoding="utf-8")
        return 0
    if Path(path).read_text(encoding="utf-8") == page():
        return 0
    sys.stderr.write(f"{path} is stale: run `make topology`\n")
    return 1
