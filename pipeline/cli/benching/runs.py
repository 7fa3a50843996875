"""What is measured. Direct and through the gateway in turns, so that other work on the machine burdens both alike."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pipeline.cli.benching.away import backlog, clickhouse_away, freshness
from pipeline.cli.benching.load import Callers, Outcomes, Wish, percentile
from pipeline.cli.benching.mirrored import mirrored
from pipeline.cli.benching.place import FAILOVER, Place
from pipeline.cli.benching.replay import replay
from pipeline.cli.benching.usage import Meter, ours

Run = dict[str, Any]
_STREAMS, _CADENCE_MS, _PIECES = 64, 20, 200


@dataclass(frozen=True, slots=True)
class Extent:
    """How long everything takes."""

    warm_up_s: float
    one_at_a_time: int
    seconds: float
    direct_s: float
    rounds: int
    idle_s: float
    away_s: float
    replayed: int


FULL = Extent(
    warm_up_s=10, one_at_a_time=150, seconds=15, direct_s=5, rounds=2, idle_s=10, away_s=300, replayed=100_000
)
QUICK = Extent(warm_up_s=4, one_at_a_time=40, seconds=5, direct_s=3, rounds=1, idle_s=5, away_s=10, replayed=10_000)


async def measure(place: Place, callers: Callers, extent: Extent) -> AsyncIterator[Run]:
    """Each run as it ends."""
    await callers.for_a_while(place.gateway, Wish(), in_flight=16, seconds=extent.warm_up_s)
    await callers.at_once(place.gateway, Wish(stream=True), 16)
    for stream in (False, True):
        yield await one_at_a_time(place, callers, extent, stream=stream)
    yield await failover(place, callers, extent)
    for _ in range(extent.rounds):
        for in_flight in (32, 256):
            yield await many(place, callers, extent, in_flight=in_flight)
        yield await streams(place, callers)
    yield await mirrored(place, callers, seconds=extent.seconds, rounds=2 * extent.rounds)
    if place.sink_port is not None:
        yield await freshness(place, callers, seconds=extent.seconds)
        yield await backlog(place, callers, seconds=extent.seconds)
        yield await clickhouse_away(place, callers, seconds=extent.seconds, away_s=extent.away_s)
    yield await replay(place, extent.replayed)
    yield await idle(place, extent)


async def one_at_a_time(place: Place, callers: Callers, extent: Extent, *, stream: bool) -> Run:
    wish = Wish(stream=stream)
    direct, through = Outcomes(), Outcomes()
    meter = Meter(place.pids)
    for _ in range(extent.one_at_a_time):
        await callers.one(place.direct, wish, direct)
        await callers.one(place.gateway, wish, through)
    run = _named("one at a time, stream" if stream else "one at a time", direct, through, meter)
    run["added_ms"] = _added(direct.total_ms, through.total_ms)
    run["cpu_ms_per_request"] = _per(meter.spent_s(), through.count)
    if stream:
        run["added_first_ms"] = _added(direct.first_ms, through.first_ms)
    return run


async def failover(place: Place, callers: Callers, extent: Extent) -> Run:
    """Once the breaker of the first candidate is open: the second one's answer, against asking for it by name."""
    by_name, away = Wish(), Wish(model=FAILOVER)
    await callers.at_once(place.gateway, away, 16)  # the breaker opens
    plain, failed_over = Outcomes(), Outcomes()
    meter = Meter(place.pids)
    for _ in range(extent.one_at_a_time):
        await callers.one(place.gateway, by_name, plain)
        await callers.one(place.gateway, away, failed_over)
    return {
        "name": "failover, breaker open", "requests": failed_over.count, "failed": plain.failed + failed_over.failed,
        "foreign_cores": meter.foreign_cores(), "by_name_ms": _figures(plain), "failover_ms": _figures(failed_over),
        "added_ms": _added(plain.total_ms, failed_over.total_ms), "ratios": {},
    }  # fmt: skip


async def many(place: Place, callers: Callers, extent: Extent, *, in_flight: int) -> Run:
    direct_meter = Meter(place.pids)
    direct = await callers.for_a_while(place.direct, Wish(), in_flight=in_flight, seconds=extent.direct_s)
    direct_rate = direct.count / direct_meter.elapsed_s()
    meter = Meter(place.pids)
    through = await callers.for_a_while(place.gateway, Wish(), in_flight=in_flight, seconds=extent.seconds)
    rate = through.count / meter.elapsed_s()
    run = _named(f"{in_flight} in flight", direct, through, meter)
    run |= {
        "requests_per_s": rate,
        "direct_requests_per_s": direct_rate,
        "cpu_ms_per_request": _per(meter.spent_s(), through.count),
    }
    run["ratios"]["requests_per_s"] = _ratio(rate, direct_rate)
    return run


async def streams(place: Place, callers: Callers) -> Run:
    wish = Wish(tokens=_PIECES, cadence_ms=_CADENCE_MS, stream=True)
    direct = await callers.at_once(place.direct, wish, _STREAMS)
    meter = Meter(place.pids)
    through = await callers.at_once(place.gateway, wish, _STREAMS)
    run = _named(f"{_STREAMS} streams, a piece every {_CADENCE_MS} ms", direct, through, meter)
    run |= {"pieces": through.pieces, "cpu_ms_per_piece": _per(meter.spent_s(), through.pieces)}
    run["added_first_ms"] = _added(direct.first_ms, through.first_ms)
    return run


async def idle(place: Place, extent: Extent) -> Run:
    await asyncio.sleep(2)  # what the last run left behind
    meter = Meter(place.pids)
    began = time.monotonic()
    await asyncio.sleep(extent.idle_s)
    elapsed_s = time.monotonic() - began
    share = {name: spent / elapsed_s * 100 for name, spent in meter.spent_s().items()}
    rss = meter.rss_mb()
    return {
        "name": "idle", "foreign_cores": meter.foreign_cores(), "cpu_percent_of_a_core": share | {"ours": ours(share)},
        "rss_mb": rss | {"ours": ours(rss)}, "ratios": {},
    }  # fmt: skip


def _named(name: str, direct: Outcomes, through: Outcomes, meter: Meter) -> Run:
    figures = {"direct_ms": _figures(direct), "gateway_ms": _figures(through)}
    ratios = {part: _ratio(figures["gateway_ms"][part], figures["direct_ms"][part]) for part in ("p50", "p99")}
    return {
        "name": name, "requests": through.count, "failed": through.failed + direct.failed,
        "foreign_cores": meter.foreign_cores(), **figures, "ratios": ratios,
    }  # fmt: skip


def _figures(outcomes: Outcomes) -> dict[str, float]:
    found = {"p50": percentile(outcomes.total_ms, 0.5), "p99": percentile(outcomes.total_ms, 0.99)}
    if outcomes.first_ms:
        found |= {"first_p50": percentile(outcomes.first_ms, 0.5), "first_p99": percentile(outcomes.first_ms, 0.99)}
    return found


def _added(direct: list[float], through: list[float]) -> dict[str, float]:
    """p99 too is over the direct median: two tails do not cancel out."""
    base = percentile(direct, 0.5)
    return {"p50": percentile(through, 0.5) - base, "p99": percentile(through, 0.99) - base}


def _per(spent_s: dict[str, float], count: int) -> dict[str, float]:
    each = {name: spent / max(1, count) * 1000 for name, spent in spent_s.items()}
    return each | {"ours": ours(each)}


def _ratio(through: float, direct: float) -> float | None:
    return through / direct if direct > 0 else None
