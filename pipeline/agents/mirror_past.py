"""What was written of an experiment's calls before we came: read once, when it starts or is rewound."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.kafka.scan import Scanner
from pipeline.core.shadowing import Budget
from pipeline.tools import Tools
from schemas import headers as h
from schemas import topics as t
from schemas.codec import decode
from schemas.events import Attempt, Decision, Response, ShadowComparison
from schemas.ids import shadow_request_id
from schemas.roles import BULK_ROLES

__all__ = ["Past", "judged_before", "read_past"]

SLACK_MS = 60_000
"""Clocks differ, and a record may wait for the broker."""


@dataclass(slots=True)
class Past:
    """By shadow request id. `done`: (tenant, request id) that have their comparison."""

    done: set[tuple[str, str]] = field(default_factory=set)
    events: defaultdict[str, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    answers: defaultdict[str, list[Response]] = field(default_factory=lambda: defaultdict(list))
    decisions: dict[str, Decision] = field(default_factory=dict)


async def read_past(
    tools: Tools,
    scanner: Scanner,
    experiment: str,
    budget: Budget,
    *,
    comparisons_ms: int | None,
    calls_ms: int | None,
    with_decisions: bool,
) -> Past:
    """And fold the comparisons into the budget.

    Args:
        tools: of the process.
        scanner: the stage's own.
        experiment: its name.
        budget: with what it knew; takes what came later.
        comparisons_ms: since when comparisons are read; None: from the beginning.
        calls_ms: since when calls may have been made that are open; None if there are none.
        with_decisions: whether a route chose the model, so that it may choose another one today.
    """
    past, done = Past(), set[str]()
    for partition in range(await tools.producers.partition_count(tools.topic(t.SHADOW_COMPARISONS.name))):
        await _comparisons(tools, scanner, experiment, partition, budget, comparisons_ms, past)
        if calls_ms is not None:
            done |= {shadow_request_id(tenant, request_id, experiment) for tenant, request_id in past.done}
            await _calls(tools, scanner, partition, calls_ms - SLACK_MS, past, done)
            if with_decisions:
                await _decisions(tools, scanner, partition, calls_ms - SLACK_MS, past)
    return past


async def _comparisons(
    tools: Tools, scanner: Scanner, experiment: str, partition: int, budget: Budget, since_ms: int | None, past: Past
) -> None:
    topic = tools.topic(t.SHADOW_COMPARISONS.name)
    since_ms = None if since_ms is None else since_ms - SLACK_MS
    async for record in scanner.read(topic, partition, since_ms=since_ms):
        if h.text(record.headers, h.EXPERIMENT) != experiment:
            continue
        comparison = decode(ShadowComparison, record.value)
        if isinstance(comparison, ShadowComparison):
            past.done.add((comparison.tenant, comparison.request_id))
            budget.fold(comparison, partition, record.offset)


async def judged_before(tools: Tools, scanner: Scanner, experiment: str, folded: Mapping[str, int]) -> dict[str, int]:
    """Pairs by their winner among the comparisons before those places: what progress of version 1 does not say."""
    found = Counter[str]()
    for partition, end in folded.items():
        async for record in scanner.read(tools.topic(t.SHADOW_COMPARISONS.name), int(partition)):
            if record.offset >= end or h.text(record.headers, h.EXPERIMENT) != experiment:
                continue
            comparison = decode(ShadowComparison, record.value)
            if isinstance(comparison, ShadowComparison) and comparison.status == "compared" and comparison.winner:
                found[comparison.winner] += 1
    return dict(found)


async def _calls(tools: Tools, scanner: Scanner, partition: int, since_ms: int, past: Past, done: set[str]) -> None:
    """Events and answers of every experiment that are not known to be done: whose they are is known once their requests are."""
    async for record in scanner.read(tools.topic(t.ATTEMPTS.name), partition, since_ms=since_ms):
        if h.text(record.headers, h.REQUEST_ID) in done:
            continue
        if is_bulk(record) and isinstance(event := decode(Attempt, record.value), Attempt):
            past.events[event.request_id].append(event)
    async for record in scanner.read(tools.topic(t.RESPONSES.name), partition, since_ms=since_ms):
        if h.text(record.headers, h.REQUEST_ID) in done:
            continue
        if is_bulk(record) and isinstance(answer := decode(Response, record.value), Response):
            past.answers[answer.request_id].append(answer)


async def _decisions(tools: Tools, scanner: Scanner, partition: int, since_ms: int, past: Past) -> None:
    async for record in scanner.read(tools.topic(t.DECISIONS.name), partition, since_ms=since_ms):
        decision = decode(Decision, record.value)
        if isinstance(decision, Decision) and decision.cause == "shadow":
            past.decisions.setdefault(decision.request_id, decision)


def is_bulk(record: Any) -> bool:
    """A record of `attempts` or `responses` that belongs to an experiment, by its header."""
    return h.text(record.headers, h.ROLE) in BULK_ROLES
