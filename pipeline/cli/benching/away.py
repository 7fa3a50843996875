"""The way of records into ClickHouse: how soon they are rows, and what callers notice while it stands still and comes back."""

import asyncio
import os
import signal
import time
from typing import Any

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families

from pipeline.cli.benching.load import Callers, Outcomes, Wish, percentile
from pipeline.cli.benching.place import Place

Run = dict[str, Any]

_RATE, _HIGH_RATE = 60.0, 200.0
_FRESH_S = "3.0"
_ENDS_KNOWN_S = 3.0
"""After so long the sink knows the ends of the logs that it has paused."""

_CAUGHT_UP_RECORDS = 500
"""A second of the load makes about as many records."""


async def freshness(place: Place, callers: Callers, *, seconds: float) -> Run:
    """How old the oldest record of each batch is when its rows can be queried."""
    before = await _freshness(place)
    asked = await callers.paced(place.gateway, Wish(), per_s=_HIGH_RATE, seconds=seconds)
    await _caught_up(place)
    after = await _freshness(place)
    return {
        "name": f"rows at {_HIGH_RATE:g} requests/s", "requests": asked.count, "failed": asked.failed,
        "total_p99_ms": percentile(asked.total_ms, 0.99), "batches": after["all"] - before["all"],
        "batches_visible_within_3_s": _within(before, after), "ratios": {},
    }  # fmt: skip


async def backlog(place: Place, callers: Callers, *, seconds: float) -> Run:
    """What heaped up while ClickHouse stood still becomes rows; nothing else is going on."""
    os.kill(place.pids["sql"], signal.SIGSTOP)
    try:
        asked = await callers.paced(place.gateway, Wish(), per_s=_HIGH_RATE, seconds=seconds)
        await asyncio.sleep(_ENDS_KNOWN_S)
        records = await _lag(place)
    finally:
        os.kill(place.pids["sql"], signal.SIGCONT)
    took_s, rows_per_cpu_s = await _drained(place)
    return {
        "name": "a backlog becomes rows", "records": records, "failed": asked.failed, "seconds": took_s,
        "rows_per_s": records / took_s, "sink_rows_per_cpu_s": rows_per_cpu_s, "ratios": {},
    }  # fmt: skip


async def clickhouse_away(place: Place, callers: Callers, *, seconds: float, away_s: float) -> Run:
    """Three phases in one run: all is well, ClickHouse is frozen, it catches up."""
    sql = place.pids["sql"]
    fresh_before = await _freshness(place)
    well = await callers.paced(place.gateway, Wish(), per_s=_RATE, seconds=seconds)
    fresh_after = await _freshness(place)
    os.kill(sql, signal.SIGSTOP)
    try:
        away = await callers.paced(place.gateway, Wish(), per_s=_RATE, seconds=away_s)
        records = await _lag(place)
    finally:
        os.kill(sql, signal.SIGCONT)
    drained = asyncio.ensure_future(_drained(place))
    after = await callers.paced(place.gateway, Wish(), per_s=_RATE, seconds=seconds)
    (took_s, rows_per_cpu_s), ingest_per_s = await drained, records / away_s
    p99 = {name: percentile(each.total_ms, 0.99) for name, each in (("well", well), ("away", away), ("after", after))}
    return {
        "name": f"ClickHouse away for {away_s:g} s at {_RATE:g} requests/s", "failed": _failed(well, away, after),
        "total_p99_ms": p99, "backlog_records": records, "caught_up_s": took_s,
        "catch_up_by_ingest": (records / took_s + ingest_per_s) / ingest_per_s if records else None,
        "sink_rows_per_cpu_s": rows_per_cpu_s, "batches_visible_within_3_s": _within(fresh_before, fresh_after),
        "ratios": {name: p99[name] / p99["well"] for name in ("away", "after")},
    }  # fmt: skip


def _failed(*phases: Outcomes) -> int:
    return sum(phase.failed for phase in phases)


async def _drained(place: Place) -> tuple[float, float | None]:
    """How long the backlog took, and the rows that the sink made of it per second of its own CPU."""
    sink, began = psutil.Process(place.pids["sink"]), time.monotonic()
    rows, cpu_s = await _rows(place), sum(sink.cpu_times()[:2])
    await _caught_up(place)
    spent_s = sum(sink.cpu_times()[:2]) - cpu_s
    return time.monotonic() - began, (await _rows(place) - rows) / spent_s if spent_s else None


async def _caught_up(place: Place) -> None:
    while await _lag(place) > _CAUGHT_UP_RECORDS:  # noqa: ASYNC110  # metrics are asked, they tell nobody
        await asyncio.sleep(0.2)


async def _rows(place: Place) -> float:
    return float(sum(s.value for s in await _samples(place, "millrace_sink_rows") if s.name.endswith("_total")))


async def _lag(place: Place) -> float:
    """Records that are no rows yet."""
    return float(sum(sample.value for sample in await _samples(place, "millrace_consumer_lag")))


async def _freshness(place: Place) -> dict[str, float]:
    """Batches by how old their oldest record was when it could be queried."""
    samples = await _samples(place, "millrace_sink_freshness_seconds")
    within = [s.value for s in samples if s.name.endswith("_bucket") and s.labels["le"] == _FRESH_S]
    return {"all": sum(s.value for s in samples if s.name.endswith("_count")), "within": sum(within)}


def _within(before: dict[str, float], after: dict[str, float]) -> float | None:
    batches = {name: after[name] - before[name] for name in after}
    return batches["within"] / batches["all"] if batches["all"] else None


async def _samples(place: Place, family: str) -> list[Any]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{place.sink_port}/metrics") as answer:
        text = await answer.text()
    return [s for found in text_string_to_metric_families(text) if found.name == family for s in found.samples]
