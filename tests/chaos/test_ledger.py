"""The ledger over a mixed load with faults, cuts, cached prompts and kills: one line per attempt, exact to the nano-dollar."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas.events import Attempt, Cost
from tests.chaos.books import Books, books_of, complete
from tests.chaos.platform import Platform, platform, produce

REQUESTS = int(os.environ.get("MILLRACE_LEDGER_REQUESTS", "600"))
RATE = float(os.environ.get("MILLRACE_LEDGER_RATE", "60"))
KILLS = int(os.environ.get("MILLRACE_LEDGER_KILLS", "2"))
FIRST = "gpt-4.1-mini"
LONG = "The mill wheel turns as long as the water runs, and nobody asks it why. " * 120
"""Long enough to be read from the vendor's cache the second time."""
WISHES = (
    "[[sim: latency_ms=60]]",
    "[[sim: latency_ms=60 tokens=30]]",
    f"[[sim: fault=provider_fault model={FIRST}]]",
    "[[sim: fault=overloaded fail_attempts=1]]",
    f"[[sim: fault=reset_mid_stream after=8 tokens=40 cadence_ms=10 model={FIRST}]]",
    f"[[sim: fault=early_end after=5 tokens=40 cadence_ms=10 model={FIRST}]]",
    "[[sim: fault=no_usage tokens=25]]",
    "[[sim: fault=content_filtered]]",
)


async def records() -> AsyncIterator[dict[str, Any]]:
    draw, loop = random.Random(3), asyncio.get_running_loop()
    start = loop.time()
    for number in range(REQUESTS):
        await asyncio.sleep(max(0.0, start + number / RATE - loop.time()))
        text = f"number {number} {draw.choice(WISHES)}"
        messages = [{"role": "user", "content": text}]
        if draw.random() < 0.2:
            messages.insert(0, {"role": "system", "content": LONG})
        yield {
            "request_id": f"ledger-{number}", "tenant": ("main", "other")[number % 2], "model": "steady",
            "stream": draw.random() < 0.6, "body": {"model": "steady", "messages": messages},
        }  # fmt: skip


async def killed(running: Platform) -> None:
    """Whoever calls and owns, at even distances."""
    for _ in range(KILLS):
        await asyncio.sleep(REQUESTS / RATE / (KILLS + 1))
        name = next(each for each in running.children if each.startswith("route+call"))
        before = running.children[name]
        running.kill(name)
        await running.until(lambda name=name, before=before: running.children[name] != before)  # type: ignore[misc]


def exact_nano_usd(attempt: Attempt) -> int:
    """Usage times price, on paper: fractions of a dollar, rounded once, half up."""
    price, usage = attempt.price, attempt.usage
    if price is None or usage is None:
        return 0
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    total = (
        Fraction(usage.input_tokens - read - written) * price.input_nano_usd_per_mtok
        + Fraction(read) * price.cached_input_nano_usd_per_mtok
        + Fraction(written) * (price.cache_write_nano_usd_per_mtok or price.input_nano_usd_per_mtok)
        + Fraction(usage.output_tokens) * price.output_nano_usd_per_mtok
    ) / 1_000_000
    return int(total + Fraction(1, 2))


def faults_of(books: Books) -> list[str]:
    found = []
    for attempt_id, attempt in books.attempts.items():
        cost: Cost = books.costs[attempt_id]
        if cost.cost_nano_usd != exact_nano_usd(attempt):
            found.append(f"{cost.cost_nano_usd} booked, {exact_nano_usd(attempt)} on paper")
        if (attempt.result == "unknown") > cost.estimated:
            found.append("a lost call is booked as if its vendor had said what it took")
    response = books.response
    assert response is not None
    if response.outcome == "ok" and len(books.attempts) == response.attempts:
        total = sum(cost.cost_nano_usd for cost in books.costs.values())
        if response.cost_nano_usd != total:
            found.append(f"the answer says {response.cost_nano_usd}, its attempts cost {total}")
        if sum(cost.effective for cost in books.costs.values()) != 1:
            found.append("not one attempt is effective")
    return found


@pytest.mark.timeout(600)
async def test_every_attempt_is_booked_once_and_exactly(tmp_path: Path) -> None:
    async with platform(tmp_path) as running, books_of(running.kafka) as (found, changed):
        killing = asyncio.create_task(killed(running))
        await produce(running.kafka, records())
        await killing
        wanted = {f"ledger-{number}" for number in range(REQUESTS)}
        await complete(found, changed, wanted, timeout_s=90)
        mine = [found[request_id] for request_id in sorted(wanted)]
        costs = [cost for books in mine for cost in books.costs.values()]
        attempts = [attempt for books in mine for attempt in books.attempts.values()]
        wrong = {books.response.request_id: why for books in mine if books.response and (why := faults_of(books))}
        report = {
            "requests": REQUESTS,
            "attempts": len(attempts),
            "results": Counter(f"{attempt.role} {attempt.result}" for attempt in attempts),
            "cached": sum((attempt.usage.cache_read_tokens if attempt.usage else 0) > 0 for attempt in attempts),
            "estimated": sum(cost.estimated for cost in costs),
            "lines_written": sum(books.lines for books in mine),
            "nano_usd": sum(cost.cost_nano_usd for cost in costs),
            "on_paper": sum(map(exact_nano_usd, attempts)),
            "wrong": wrong,
        }
        (tmp_path / "report.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
        assert wrong == {}, report
        assert report["nano_usd"] == report["on_paper"] > 0
        assert len({cost.cost_id for cost in costs}) == len(attempts)
        assert report["lines_written"] == len(attempts), report
        assert report["cached"] > 0, report
        assert report["estimated"] > 0, report
