"""Streams that break in the middle are continued on another model, from exactly what the caller has, over the whole platform."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from openai import AsyncOpenAI

from connectors.simulator import Simulator
from schemas.codec import decode
from schemas.events import Attempt, Cost, Delta, Response
from tests.chaos.platform import CATALOG, KEY, Platform, platform

FIRST, SECOND, PREFILLING = "gpt-4.1-mini", "gpt-4.1-nano", "claude-haiku-4-5"
TOPICS = ("llm.deltas.v1", "llm.attempts.v1", "llm.costs.v1", "llm.responses.v1")


def catalog(simulator: Simulator) -> str:
    text = CATALOG.format(url=simulator.base_url)
    text = text.replace(
        "models:\n",
        f"""  ant: {{adapter: anthropic, base_url: "{simulator.root_url}", api_key_env: TEST_SIM_KEY, region: us,
        allow_private_egress: true}}
models:
  {PREFILLING}: {{provider: ant, quality_prior: 0.1}}
""",
    )
    return text.replace(
        "routes:\n",
        f"""routes:
  prefilled: {{order: [{FIRST}, {PREFILLING}], deadline_s: 60}}
""",
    )


@dataclass
class Seen:
    """What a client of the SDK saw of one stream."""

    text: str = ""
    finish: list[str] = field(default_factory=list)
    usage: Any = None
    error: str | None = None
    request_id: str = ""


@dataclass
class Books:
    """Everything that the topics say of one request."""

    deltas: list[Delta] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)

    def said(self, attempt: int) -> str:
        pieces = [orjson.loads(delta.data) for delta in self.deltas if delta.attempt == attempt]
        return "".join(piece.get("content") or "" for group in pieces for piece in group)

    @property
    def finished(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.phase == "finished"]


@contextlib.asynccontextmanager
async def client_of(running: Platform) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{running.gateway}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


async def ask(client: AsyncOpenAI, model: str, text: str, on_text: Callable[[str], None] | None = None) -> Seen:
    seen = Seen()
    stream = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], stream=True, stream_options={"include_usage": True}
    )
    try:
        async for chunk in stream:
            seen.request_id = chunk.id.removeprefix("chatcmpl-")
            seen.usage = chunk.usage or seen.usage
            for choice in chunk.choices:
                seen.text += choice.delta.content or ""
                seen.finish += [choice.finish_reason] if choice.finish_reason else []
            if on_text is not None and seen.text:
                on_text(seen.text)
    except openai.APIError as error:
        seen.error = error.code
        seen.request_id = seen.request_id or str(getattr(error, "request_id", ""))
    return seen


async def books(running: Platform, request_id: str, lines: int) -> Books:
    """Read until the request has its outcome and so many lines in the ledger."""
    found = Books()
    events: dict[str, tuple[type, list[Any]]] = dict(
        zip(TOPICS, [(Delta, found.deltas), (Attempt, found.attempts), (Cost, found.costs), (Response, found.responses)],
            strict=True)
    )  # fmt: skip
    consumer = AIOKafkaConsumer(*TOPICS, bootstrap_servers=running.kafka, auto_offset_reset="earliest", group_id=None)
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            while not found.responses or len(found.costs) < lines:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        kind, into = events[record.topic]
                        event: Any = decode(kind, record.value)
                        if event.request_id == request_id:
                            into.append(event)
    finally:
        await consumer.stop()
    return found


def check_continued(seen: Seen, written: Books) -> None:
    """One seamless answer out of two attempts, both in the books."""
    begun, rest = written.said(1), written.said(2)
    assert seen.error is None
    assert begun
    assert rest
    assert seen.text.startswith(begun + rest)
    assert seen.finish == ["stop"]
    (response,) = written.responses
    body = orjson.loads(response.body or b"")
    assert body["choices"][0]["message"]["content"] == seen.text
    failed, went_on = sorted(written.finished, key=lambda attempt: attempt.attempt)
    assert (failed.result in ("error", "unknown"), failed.streamed, went_on.result) == (True, True, "ok")
    assert (failed.role, went_on.role) == ("primary", "continuation")
    assert failed.usage is not None
    assert went_on.usage is not None
    assert seen.usage.prompt_tokens == failed.usage.input_tokens
    assert seen.usage.completion_tokens == failed.usage.output_tokens + went_on.usage.output_tokens
    assert response.attempts == 2
    assert [cost.attempt for cost in sorted(written.costs, key=lambda cost: cost.attempt)] == [1, 2]
    assert response.cost_nano_usd == sum(cost.cost_nano_usd for cost in written.costs)


def last_messages(running: Platform, model: str) -> list[dict[str, Any]]:
    entry = next(e for e in reversed(running.simulator.world.journal.entries) if e.model == model)
    messages: list[dict[str, Any]] = entry.parsed_body()["messages"]
    return messages


@pytest.mark.timeout(120)
async def test_a_broken_stream_is_continued_or_told_as_its_route_says(tmp_path: Path) -> None:
    async with platform(tmp_path, catalog=catalog) as running, client_of(running) as client:
        cut = f"go on [[sim: fault=reset_mid_stream after=8 tokens=60 cadence_ms=10 model={FIRST}]]"
        await asked_in_words(running, client, cut)
        await prefilled(running, client, cut)
        await by_name(running, client)
        seen = await ask(client, "strict", cut)
        assert (seen.error, seen.finish) == ("stream_interrupted", [])
        assert seen.text


async def asked_in_words(running: Platform, client: AsyncOpenAI, cut: str) -> None:
    seen = await ask(client, "steady", cut)
    written = await books(running, seen.request_id, 2)
    check_continued(seen, written)
    *_, begun, wish = last_messages(running, SECOND)
    assert begun == {"role": "assistant", "content": written.said(1)}
    assert wish["role"] == "user"


async def prefilled(running: Platform, client: AsyncOpenAI, cut: str) -> None:
    seen = await ask(client, "prefilled", cut)
    written = await books(running, seen.request_id, 2)
    check_continued(seen, written)
    last = last_messages(running, PREFILLING)[-1]
    content = last["content"]
    text = content if isinstance(content, str) else "".join(part["text"] for part in content)
    assert (last["role"], text) == ("assistant", written.said(1).rstrip())


async def by_name(running: Platform, client: AsyncOpenAI) -> None:
    """Nobody else was asked for: the same model goes on."""
    text = f"by name [[sim: fault=close_mid_stream after=8 tokens=60 fail_attempts=1 model={FIRST}]]"
    seen = await ask(client, FIRST, text)
    written = await books(running, seen.request_id, 2)
    check_continued(seen, written)
    assert {attempt.model for attempt in written.attempts} == {FIRST}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["call", "route"])
async def test_a_stream_whose_worker_is_killed_is_continued(tmp_path: Path, victim: str) -> None:
    async with platform(tmp_path, "--split", catalog=catalog) as running, client_of(running) as client:
        await ask(client, "steady", "warm up [[sim: tokens=10]]")
        killed: list[str] = []

        def kill(text: str) -> None:
            if len(text) > 60 and not killed:
                killed.append(victim)
                running.kill(next(name for name in running.children if name.startswith(f"{victim}-")))

        # A killed router dies while the stream runs, which then breaks: its successor knows nothing but the topics.
        fault = "" if victim == "call" else f"fault=reset_mid_stream after=150 model={FIRST}"
        seen = await ask(client, "steady", f"kill [[sim: tokens=200 cadence_ms=20 {fault}]]", kill)
        assert killed
        check_continued(seen, await books(running, seen.request_id, 2))
