"""What callers notice while all their requests are mirrored to a provider that hangs, fails or is slow: it must be nothing.

Each experiment starts at the requests of its own phase. Phases come in turns and are pooled, so that other work on the machine
burdens all alike; `ratios` are to the phases without mirroring.
"""

from datetime import UTC, datetime
from typing import Any

import aiohttp

from pipeline.cli.benching.load import Callers, Outcomes, Wish, percentile
from pipeline.cli.benching.place import MIRRORED, Place

Run = dict[str, Any]

_RATE = 20.0
_SETTLES_S = 3.0
"""An experiment that starts looks for what it has done, once; that is not what mirroring costs."""

_FAULTS = {"hanging": "hang_before_headers", "failing": "provider_fault", "slow": "slow"}


async def mirrored(place: Place, callers: Callers, *, seconds: float, rounds: int) -> Run:
    """`seconds` for each phase of each round."""
    found = {name: Outcomes() for name in ("none", *_FAULTS)}
    await _set_faults(place)
    for _ in range(rounds):
        for name, into in found.items():
            if name != "none":
                await _order(place, name, "start")
            await callers.paced(place.mirrored, Wish(), per_s=_RATE, seconds=_SETTLES_S)
            asked = await callers.paced(place.mirrored, Wish(), per_s=_RATE, seconds=seconds)
            if name != "none":
                await _order(place, name, "stop")
            into.total_ms += asked.total_ms
            into.failed += asked.failed
    await _set_faults(place, rules=False)
    p99 = {name: percentile(each.total_ms, 0.99) for name, each in found.items()}
    ratios = {name: p99[name] / p99["none"] for name in _FAULTS}
    return {
        "name": f"mirrored at {_RATE:g} requests/s", "requests": sum(each.count for each in found.values()),
        "total_p50_ms": {name: percentile(each.total_ms, 0.5) for name, each in found.items()}, "total_p99_ms": p99,
        "success": {name: _success(each) for name, each in found.items()}, "pairs": await _pairs(place), "ratios": ratios,
    }  # fmt: skip


def _success(outcomes: Outcomes) -> float | None:
    asked = outcomes.count + outcomes.failed
    return outcomes.count / asked if asked else None


async def _set_faults(place: Place, *, rules: bool = True) -> None:
    said = [{"fault": fault, "model": MIRRORED[name]} for name, fault in _FAULTS.items()] if rules else []
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{place.trial}/_control/faults", json={"rules": said}) as told,
    ):
        told.raise_for_status()


async def _order(place: Place, experiment: str, word: str) -> None:
    order = {"experiment": experiment, "order": word}
    if word == "start":
        order["from"] = datetime.now(UTC).isoformat()
    async with aiohttp.ClientSession() as http, http.post(f"{place.admin}/admin/shadows", json=order) as told:
        told.raise_for_status()


async def _pairs(place: Place) -> dict[str, int]:
    async with aiohttp.ClientSession() as http, http.get(f"{place.admin}/admin/shadows") as told:
        return {row["experiment"]: row["pairs"] for row in await told.json()}
