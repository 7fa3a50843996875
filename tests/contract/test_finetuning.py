"""Fine-tuning against the simulated provider: the way there, what passes, what does not, and the model that comes out."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from connectors.finetuning import TuningClient, TuningError
from connectors.providers.driver import Driver, ProviderEndpoint
from connectors.simulator import Simulator, serve
from pipeline.catalog_file import parse
from pipeline.core.tuning import dataset
from pipeline.operations import finetuning
from pipeline.operations.finetuning import NotFineTuned, Prices, base_of, check, follow, read_export, row_of, submit

BASE = "gpt-4.1-mini"
CATALOG = f"""
version: 1
providers:
  sim:   {{adapter: openai, base_url: "https://api.example.org/v1"}}
  other: {{adapter: openai, base_url: "https://api.example.org/v1"}}
models:
  mini: {{provider: sim, upstream: {BASE}, quality_prior: 0.7, flags: {{json_schema: true}}}}
  gpt-4.1: {{provider: sim}}
  elsewhere: {{provider: other, upstream: gpt-4o-mini}}
routes: {{auto: {{candidates: ["*"]}}}}
tenants: {{t: {{}}}}
"""
KEY = "sk-sim-secret-0123456789"


class Watch:
    """A clock that runs only while somebody is asked: every look is a second later."""

    def __init__(self) -> None:
        self.at = 1_795_000_000.0

    def now(self) -> float:
        self.at += 0.2
        return self.at

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetuning, "FIRST_POLL_S", 0.001)
    monkeypatch.setattr(finetuning, "LONGEST_POLL_S", 0.002)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(seed=7, clock=Watch())
    yield running
    await running.close()


def endpoint(simulator: Simulator, key: str = KEY) -> ProviderEndpoint:
    return ProviderEndpoint("sim", simulator.base_url, "openai", key, allow_private_egress=True)


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[TuningClient]:
    made = TuningClient(endpoint(simulator))
    yield made
    await made.close()


def export(rows: int = 20, size: int = 0) -> bytes:
    said = [
        [{"role": "user", "content": f"question {n} {'x' * size}"}, {"role": "assistant", "content": "answer"}]
        for n in range(rows)
    ]
    return b"".join(orjson.dumps({"messages": messages}) + b"\n" for messages in said)


async def test_a_job_is_followed_to_a_model_that_answers(simulator: Simulator, client: TuningClient) -> None:
    data, told = dataset(export()), []
    job = await submit(client, BASE, data, suffix="mine")
    assert job.status == "validating_files"
    done = await follow(client, job.id, told.append)
    assert (done.status, done.trained_tokens is not None) == ("succeeded", True)
    assert done.model is not None and ":mine:" in done.model
    states = [line.partition(": ")[2] for line in told if line.startswith(f"{job.id}: ")]
    assert states == ["validating_files", "queued", "running", "succeeded"]
    assert sum(line.startswith("Step ") for line in told) == 10
    assert len(told) == len(set(told))
    driver = Driver(endpoint(simulator))
    assert await check(driver, done.model, {}, data.prompts) == 2
    await driver.aclose()
    [file] = simulator.world.tuning.files.values()
    assert file.content == data.training


async def test_a_large_export_goes_up_whole(simulator: Simulator, client: TuningClient) -> None:
    data = dataset(export(rows=30, size=100_000))
    job = await submit(client, BASE, data, suffix=None)
    [file] = simulator.world.tuning.files.values()
    assert (len(file.content) > 2_000_000, file.content) == (True, data.training)
    assert (await follow(client, job.id, lambda _: None)).status == "succeeded"


async def test_a_job_that_fails_or_is_cancelled_is_no_model(client: TuningClient) -> None:
    broken = await client.create(BASE, await client.upload("few.jsonl", export(3)), method="supervised", suffix=None)
    with pytest.raises(NotFineTuned, match="must have at least 10 examples"):
        await follow(client, broken.id, lambda _: None)
    job = await submit(client, BASE, dataset(export()), suffix=None)
    assert (await client.cancel(job.id)).status == "cancelled"
    with pytest.raises(NotFineTuned, match="cancelled"):
        await follow(client, job.id, lambda _: None)


async def test_what_the_provider_refuses_is_said_without_the_key(simulator: Simulator, client: TuningClient) -> None:
    with pytest.raises(TuningError, match="HTTP 404: Could not find fine tune: ftjob-none") as unknown:
        await follow(client, "ftjob-none", lambda _: None)
    assert not unknown.value.is_passing
    with pytest.raises(TuningError, match="not available for fine-tuning"):
        await submit(client, "gpt-6", dataset(export()), suffix=None)
    refused = TuningClient(endpoint(simulator, "sk-bad-key-0123456789"))
    with pytest.raises(TuningError, match="HTTP 401") as said:
        await refused.job("ftjob-x")
    assert "0123456789" not in str(said.value)
    await refused.close()


async def test_a_provider_that_is_away_for_a_moment_is_waited_for(
    simulator: Simulator, client: TuningClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit(client, BASE, dataset(export()), suffix=None)
    real, failures = client.job, iter([True, True])

    async def sometimes(id: str) -> object:
        if next(failures, False):
            raise TuningError("HTTP 503: busy", is_passing=True)
        return await real(id)

    monkeypatch.setattr(client, "job", sometimes)
    told: list[str] = []
    assert (await follow(client, job.id, told.append)).status == "succeeded"
    assert told[:2] == ["HTTP 503: busy; trying on"] * 2


async def test_a_model_that_does_not_answer_is_told(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finetuning, "APPEARS_S", 0.0)
    driver = Driver(endpoint(simulator))
    with pytest.raises(NotFineTuned, match=r"ft:none does not answer as it should \(not_found\)"):
        await check(driver, "ft:none", {}, dataset(export()).prompts)
    await driver.aclose()


async def test_a_private_address_is_not_called() -> None:
    with pytest.raises(OSError, match="private"):
        TuningClient(ProviderEndpoint("sim", "http://127.0.0.1:1/v1", "openai", KEY))


def test_an_export_must_be_what_its_manifest_says(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(export())
    assert read_export(path).rows == 18
    (tmp_path / "train.jsonl.manifest.json").write_text('{"sha256": "0"}')
    with pytest.raises(NotFineTuned, match="manifest"):
        read_export(path)
    with pytest.raises(NotFineTuned, match="cannot be read"):
        read_export(tmp_path / "none.jsonl")


def test_a_row_is_that_of_its_base() -> None:
    loaded = parse(CATALOG, {})
    found = {
        asked: base_of(loaded, "sim", asked)
        for asked in (BASE, "mini", f"{BASE}-2025-04-14", "gpt-4.1-2025-04-14", "gpt-4o-mini", "o3")
    }
    assert list(found.values()) == ["mini", "mini", "mini", "gpt-4.1", None, None]
    written = {"provider": "sim", "upstream": BASE, "quality_prior": 0.7, "flags": {"json_schema": True}}
    row = row_of("sim", "ft:x", written, loaded.catalog.models["mini"], None)
    assert row == {
        "provider": "sim", "upstream": "ft:x", "flags": {"json_schema": True}, "quality_prior": 0.7,
        "price": {**row["price"], "input_per_mtok_usd": 0.4, "output_per_mtok_usd": 1.6, "source": "that of its base model"},
    }  # fmt: skip
    said = row_of("sim", "ft:x", {}, None, Prices(3.0, 12.0))
    assert (said["price"]["input_per_mtok_usd"], said["price"]["output_per_mtok_usd"]) == (3.0, 12.0)
    with pytest.raises(NotFineTuned, match="--price-input"):
        row_of("sim", "ft:x", {}, None, None)
    text = CATALOG.replace("routes:", f"  tuned: {orjson.dumps(row).decode()}\nroutes:")
    assert parse(text, {}).catalog.models["tuned"].price.version == loaded.catalog.models["mini"].price.version
