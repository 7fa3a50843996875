"""ClickHouse stands still under a steady load and comes back: what callers notice, and how soon the rows have caught up."""

import asyncio
import os
import signal
import time
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from pipeline.cli.benching.load import Callers, Outcomes, Wish, percentile
from pipeline.cli.benching.place import Place

Run = dict[str, Any]

_RATE = 60.0
_FRESH_S = "3.0"
_CAUGHT_UP_RECORDS = 500
"""A second of the load makes about as many records."""


async def clickhouse_away(place: Place, callers: Callers, *, seconds: float, away_s: float) -> Run:
    """Three phases in one run: all is well, ClickHouse is frozen, it catches up."""
    sql = place.pids["sql"]
    fresh_before = await _freshness(place)
    well = await callers.paced(place.gateway, Wish(), per_s=_RATE, seconds=seconds)
    fresh_after = await _freshness(place)
    os.kill(sql, signal.SIGSTOP)
    try:
        away = await callers.paced(place.gateway, Wish(), per_s=_RATE, seconds=away_s)
        backlog = await _lag(place)
    finally:
        os.kill(sql, signal.SIGCONT)
    caught_up = asyncio.ensure_future(_caught_up_s(place))
    after = await callers.paced(place.gateway, Wish(), per_s=_RATE, seconds=seconds)
    took_s, ingest_per_s = await caught_up, backlog / away_s
    p99 = {name: percentile(each.total_ms, 0.99) for name, each in (("well", well), ("away", away), ("after", after))}
    batches = {name: fresh_after[name] - fresh_before[name] for name in fresh_after}
    return {
        "name": f"ClickHouse away for {away_s:g} s at {_RATE:g} requests/s", "failed": _failed(well, away, after),
        "total_p99_ms": p99, "backlog_records": backlog, "caught_up_s": took_s,
        "catch_up_by_ingest": (backlog / took_s + ingest_per_s) / ingest_per_s if backlog else None,
        "batches_visible_within_3_s": batches["within"] / batches["all"] if batches["all"] else None,
        "ratios": {name: p99[name] / p99["well"] for name in ("away", "after")},
    }  # fmt: skip


def _failed(*phases: Outcomes) -> int:
    return sum(phase.failed for phase in phases)


async def _caught_up_s(place: Place) -> float:
    began = time.monotonic()
    while await _lag(place) > _CAUGHT_UP_RECORDS:  # noqa: ASYNC110  # metrics are asked, they tell nobody
        await asyncio.sleep(0.2)
    return time.monotonic() - began


async def _lag(place: Place) -> float:
    """Records that are no rows yet."""
    return float(sum(sample.value for sample in await _samples(place, "millrace_consumer_lag")))


async def _freshness(place: Place) -> dict[str, float]:
    """Batches by how old their oldest record was when it could be queried."""
    samples = await _samples(place, "millrace_sink_freshness_seconds")
    within = [s.value for s in samples if s.name.endswith("_bucket") and s.labels["le"] == _FRESH_S]
    return {"all": sum(s.value for s in samples if s.name.endswith("_count")), "within": sum(within)}


async def _samples(place: Place, family: str) -> list[Any]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{place.sink_port}/metrics") as answer:
        text = await answer.text()
    return [s for found in text_string_to_metric_families(text) if found.name == family for s in found.samples]
