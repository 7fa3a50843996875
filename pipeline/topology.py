"""The map: every stage in the order of a request's journey. Start here, then open the module that a row names.

`python -m pipeline.topology --write docs/topology.md` draws it; `--check` fails if the drawing is stale.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from connectors.clickhouse.tables import TABLES
from schemas import topics as t
from schemas.topics import Topic


@dataclass(slots=True, frozen=True)
class Stage:
    """One row: a stage or an agent of one. `process` is what `millrace run` calls it.

    `reads` with the stage's consumer group; `looks_at` without a group, whole topics; `emits` is waited for before the
    input is acked, `logs` too, but batched.
    """

    name: str
    process: str
    module: str
    purpose: str
    reads: tuple[Topic, ...] = ()
    looks_at: tuple[Topic, ...] = ()
    emits: tuple[Topic, ...] = ()
    logs: tuple[Topic, ...] = ()
    hands_to: str = ""


FLOW: tuple[Stage, ...] = (
    Stage("gateway", "gateway", "connectors/gateway/app.py", "OpenAI-compatible HTTP in, the outcome out",
          looks_at=(t.REQUESTS, t.RESPONSES, t.DELTAS), emits=(t.REQUESTS, t.CANCELS, t.FEEDBACK)),
    Stage("enrich", "route", "pipeline/agents/enrich.py", "validate, classify, place",
          reads=(t.REQUESTS,), emits=(t.REQUESTS, t.DEAD_LETTERS), logs=(t.ENRICHED,), hands_to="route"),
    Stage("route", "route", "pipeline/agents/route.py", "own the request: decide, forward, park, end",
          reads=(t.RETRIES_DUE,), looks_at=(t.CANCELS, t.RESPONSES, t.IDEMPOTENCY, t.BREAKERS),
          emits=(t.CALLS, t.RETRIES, t.RESPONSES, t.DELTAS, t.ATTEMPTS), logs=(t.DECISIONS, t.IDEMPOTENCY, t.CATALOGS)),
    Stage("call", "call", "pipeline/agents/call.py", "ask the provider, answer the caller",
          reads=(t.CALLS,), looks_at=(t.CANCELS, t.BREAKERS),
          emits=(t.ATTEMPTS, t.DELTAS, t.RESPONSES, t.DEAD_LETTERS), logs=(t.SIGNALS,)),
    Stage("settle", "route", "pipeline/agents/settle.py", "book every finished attempt, drive its request",
          reads=(t.ATTEMPTS,), looks_at=(t.COSTS,), logs=(t.COSTS,), hands_to="route"),
    Stage("health", "health", "pipeline/agents/health.py", "judge the endpoints, probe those that are out",
          reads=(t.SIGNALS,), looks_at=(t.BREAKERS,), emits=(t.BREAKERS, t.CALLS, t.DEAD_LETTERS)),
    Stage("retry", "retry", "pipeline/agents/retry.py", "hold what waits until it is due",
          reads=(t.RETRIES,), emits=(t.RETRIES_DUE,)),
    Stage("alerts", "alerts", "pipeline/agents/alerts.py", "judge the catalogue's rules, tell webhooks",
          reads=(t.ALERTS,), looks_at=(t.BREAKERS, t.ATTEMPTS, t.DEAD_LETTERS), emits=(t.ALERTS,)),
    Stage("shadow", "shadow", "pipeline/agents/shadow.py", "mirror requests to other models, compare the answers",
          reads=(t.SHADOWS, t.ENRICHED),
          looks_at=(t.RESPONSES, t.ATTEMPTS, t.SHADOW_COMPARISONS, t.SHADOW_PROGRESS, t.DECISIONS, t.BREAKERS),
          emits=(t.CALLS_BULK, t.SHADOW_COMPARISONS, t.SHADOW_PROGRESS, t.ATTEMPTS, t.CANCELS, t.DEAD_LETTERS),
          logs=(t.DECISIONS,)),
    Stage("bulk", "bulk", "pipeline/agents/call.py", "ask providers for experiments",
          reads=(t.CALLS_BULK,), looks_at=(t.CANCELS, t.BREAKERS), emits=(t.ATTEMPTS, t.RESPONSES, t.DEAD_LETTERS)),
    Stage("admin", "admin", "pipeline/agents/admin.py", "show operators the platform, take their orders",
          looks_at=(t.BREAKERS, t.SHADOWS, t.SHADOW_PROGRESS), emits=(t.SIGNALS, t.SHADOWS)),
    Stage("sink", "sink", "pipeline/agents/sink.py", "make every record a row in ClickHouse, exactly once",
          reads=tuple(table.topic for table in TABLES), emits=(t.DEAD_LETTERS,)),
)  # fmt: skip

BACKGROUND = frozenset({"sql", "sink", "admin", "shadow", "bulk"})
"""Processes of analytics and experiments, which nobody waits for: they take what requests leave, and write in batches."""

PROCESSES: tuple[str, ...] = tuple(dict.fromkeys(stage.process for stage in FLOW))


def markdown() -> str:
    """The flow as a Mermaid graph and the topics as a table."""
    return "\n".join(
        [
            "# Topology",
            "",
            "Generated from `pipeline/topology.py` and `schemas/topics.py` by `make topology`; do not edit.",
            "",
            "```mermaid",
            "flowchart LR",
            *_edges(),
            "```",
            "",
            "Dotted: read without a consumer group. Thin: logs, batched.",
            "",
            "| stage | process | module | does |",
            "|---|---|---|---|",
            *(f"| {s.name} | {s.process} | `{s.module}` | {s.purpose} |" for s in FLOW),
            "",
            "| topic | event | key | keeps | what |",
            "|---|---|---|---|---|",
            *(_topic_row(topic) for topic in t.TOPICS),
            "",
        ]
    )


def _edges() -> list[str]:
    lines = []
    for stage in FLOW:
        lines += [f"    {_node(topic)} --> {stage.name}" for topic in stage.reads]
        lines += [f"    {_node(topic)} -.-> {stage.name}" for topic in stage.looks_at]
        lines += [f"    {stage.name} ==> {_node(topic)}" for topic in stage.emits]
        lines += [f"    {stage.name} --> {_node(topic)}" for topic in stage.logs]
        if stage.hands_to:
            lines.append(f"    {stage.name} -- in process --> {stage.hands_to}")
    return lines


def _node(topic: Topic) -> str:
    plain = "".join(char if char.isalnum() else "_" for char in topic.name)
    return f'{plain}[("{topic.name}")]'


def _topic_row(topic: Topic) -> str:
    hours = topic.retention_ms / t.HOUR_MS
    keeps = "compacted, " if topic.compacted else ""
    return f"| `{topic.name}` | {topic.event or 'as it came'} | {topic.key} | {keeps}{hours:g} h | {topic.purpose} |"


def main(arguments: list[str]) -> int:
    """`--write FILE` or `--check FILE`."""
    mode, path = arguments
    if mode == "--write":
        Path(path).write_text(markdown())
        return 0
    if Path(path).read_text() == markdown():
        return 0
    sys.stderr.write(f"{path} is stale: run `make topology`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
