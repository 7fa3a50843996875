"""The simulated Anthropic answers as Anthropic does, the same on every run, streamed and unstreamed alike."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import Message

from connectors.simulator import Allowance, Simulator, serve

WEATHER = {
    "name": "get_weather",
    "description": "Weather at a place",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
CLOCK = {"name": "read_clock", "input_schema": {"type": "object", "properties": {}}}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
LONG_SYSTEM = "Answer like a miller who has seen many winters. " * 200
EPHEMERAL = {"type": "ephemeral"}


class FixedClock:
    """Stands still and never waits, until it is set."""

    def __init__(self) -> None:
        self.time = 1_795_000_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def simulator(clock: FixedClock) -> AsyncIterator[Simulator]:
    running = await serve(seed=7, clock=clock, models=("claude-opus-9",))
    yield running
    await running.close()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(api_key="sk-sim-x", base_url=simulator.root_url, max_retries=0) as sdk:
        yield sdk


def make_request(text: str = "Why is the sky blue?", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-opus-4-8", "max_tokens": 1_000, "messages": messages, **fields}


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def streamed(client: AsyncAnthropic, **request: Any) -> Message:
    async with client.messages.stream(**request) as stream:
        return await stream.get_final_message()


async def test_answer_repeats_facts_of_the_request(client: AsyncAnthropic) -> None:
    answer = await client.messages.create(**make_request(tools=[WEATHER], system="You are terse."))
    assert "Why is the sky blue?" in text_of(answer)
    assert "1 message" in text_of(answer)
    assert "You are terse." in text_of(answer)
    assert "get_weather" in text_of(answer)
    assert (answer.model, answer.role, answer.stop_reason) == ("claude-opus-4-8", "assistant", "end_turn")
    assert answer.id.startswith("msg_01")
    assert answer.usage.service_tier == "standard"


async def test_images_and_documents_are_described_even_inside_a_tool_result(client: AsyncAnthropic) -> None:
    def media(kind: str, media_type: str, data: bytes) -> dict[str, Any]:
        encoded = base64.b64encode(data).decode()
        return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": encoded}}

    content = [media("image", "image/png", b"png!"), media("document", "application/pdf", b"%PDF-1"), CLAIM]
    call = {"type": "tool_use", "id": "toolu_1", "name": "read_clock", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [media("image", "image/gif", b"gif")]}
    messages = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    said = text_of(await client.messages.create(**make_request(messages=messages, tools=[CLOCK])))
    assert "image image/png 4 bytes" in said
    assert "document application/pdf 6 bytes" in said
    assert "image image/gif 3 bytes" in said


CLAIM = {"type": "text", "text": "What is this?"}


async def raw_traffic(*, width: int) -> dict[str, bytes]:
    """Bodies of 16 requests, streamed and not, sent `width` at a time to a fresh simulator."""
    running = await serve(seed=3, clock=FixedClock(), background={"provider_fault": 0.2})
    gate = asyncio.Semaphore(width)
    headers = {"x-api-key": "sk-sim-test", "anthropic-version": "2026-10-21"}
    async with httpx.AsyncClient(base_url=running.root_url, headers=headers) as http:

        async def one(number: int) -> tuple[str, bytes]:
            async with gate:
                request = make_request(f"Question {number // 2}", stream=bool(number % 2), model="claude-opus-5-5")
                response = await http.post("/v1/messages", json=request)
                return f"{number}", response.content + response.headers["request-id"].encode()

        bodies = dict(await asyncio.gather(*map(one, range(16))))
    await running.close()
    return bodies


async def test_same_seed_gives_the_same_bytes_in_any_concurrency() -> None:
    assert await raw_traffic(width=1) == await raw_traffic(width=8)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_tokens": 9},
        {"stop_sequences": ["sky"]},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"tools": [WEATHER, CLOCK], "text": "What do weather and clock say?"},
        {"tools": [WEATHER], "text": "What weather?", "max_tokens": 15},
        {"model": "claude-opus-5-5", "thinking": ADAPTIVE, "max_tokens": 8_000},
        {"model": "claude-opus-5-5", "max_tokens": 8_000},
        {"model": "claude-haiku-4-5", "thinking": {"type": "enabled", "budget_tokens": 1_024}, "max_tokens": 2_000},
        {"thinking": ADAPTIVE, "text": "Think [[sim: thinking=redacted]]", "max_tokens": 8_000},
        {"text": "Be exact [[sim: tokens=333]]"},
        {"text": "No [[sim: fault=refusal]]"},
        {"text": "Half [[sim: fault=content_filter]]"},
        {"text": "Later [[sim: finish=pause_turn]]"},
    ],
    ids=str,
)
async def test_streamed_and_unstreamed_answers_are_equal(client: AsyncAnthropic, fields: dict[str, Any]) -> None:
    request = make_request(fields.get("text", "Why is the sky blue?"))
    request |= {name: value for name, value in fields.items() if name != "text"}
    whole = await client.messages.create(**request)
    assert (await streamed(client, **request)).to_dict() == whole.to_dict()


async def test_stream_has_the_events_of_the_vendor_in_order(client: AsyncAnthropic) -> None:
    request = make_request("What weather?", tools=[WEATHER], thinking=ADAPTIVE, max_tokens=8_000)
    async with client.messages.with_streaming_response.create(**request, stream=True) as response:
        lines = [line async for line in response.iter_lines()]
    names = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    data = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert names == [event["type"] for event in data]
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    starts = [event["content_block"]["type"] for event in data if event["type"] == "content_block_start"]
    assert starts == ["thinking", "tool_use"]
    assert data[0]["message"]["usage"]["output_tokens"] < data[-2]["usage"]["output_tokens"]
    deltas = list(dict.fromkeys(event["delta"]["type"] for event in data if event["type"] == "content_block_delta"))
    assert deltas == ["thinking_delta", "signature_delta", "input_json_delta"]


# -- reasons to stop


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"text": "Hello"}, "end_turn"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"stop_sequences": ["the sky"]}, "stop_sequence"),
        ({"tools": [WEATHER], "text": "What weather?"}, "tool_use"),
        ({"text": "[[sim: fault=refusal]] no"}, "refusal"),
        ({"text": "[[sim: finish=model_context_window_exceeded]] x"}, "model_context_window_exceeded"),
    ],
    ids=str,
)
async def test_stop_reasons_are_those_of_the_vendor(
    client: AsyncAnthropic, fields: dict[str, Any], reason: str
) -> None:
    request = make_request(fields.pop("text", "Why is the sky blue?"), **fields)
    answer = await client.messages.create(**request)
    assert answer.stop_reason == reason
    assert answer.stop_sequence == ("the sky" if reason == "stop_sequence" else None)
    assert (answer.stop_details is not None) == (reason == "refusal")
    if reason == "refusal":
        assert answer.content == []


# -- tools


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ({"type": "auto"}, ["get_weather", "read_clock"]),
        ({"type": "auto", "disable_parallel_tool_use": True}, ["get_weather"]),
        ({"type": "tool", "name": "read_clock"}, ["read_clock"]),
        ({"type": "none"}, []),
    ],
)
async def test_tools_are_called_as_the_choice_says(
    client: AsyncAnthropic, choice: dict[str, Any], names: list[str]
) -> None:
    request = make_request("What do weather and clock say?", tools=[WEATHER, CLOCK], tool_choice=choice)
    answer = await client.messages.create(**request)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [call.name for call in calls] == names
    assert answer.stop_reason == ("tool_use" if names else "end_turn")
    assert len({call.id for call in calls}) == len(calls)
    assert all(isinstance(call.input["city"], str) for call in calls if call.name == "get_weather")


async def test_tool_results_are_repeated_with_their_error(client: AsyncAnthropic) -> None:
    request = make_request("What do weather and clock say?", tools=[WEATHER, CLOCK])
    first = await client.messages.create(**request)
    ids = [block.id for block in first.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": ids[0], "content": "rain"},
        {
            "type": "tool_result",
            "tool_use_id": ids[1],
            "content": [{"type": "text", "text": "broken"}],
            "is_error": True,
        },
    ]
    request["messages"] += [first.to_param(), {"role": "user", "content": results}]
    second = await client.messages.create(**request)
    assert second.stop_reason == "end_turn"
    assert "results rain; error: broken" in text_of(second)
    assert "3 messages" in text_of(second)


async def test_output_format_gives_json_that_satisfies_the_schema(client: AsyncAnthropic) -> None:
    wish = {"format": {"type": "json_schema", "schema": SCHEMA}}
    value = json.loads(text_of(await client.messages.create(**make_request(output_config=wish))))
    assert value.keys() == {"city", "days"}
    assert isinstance(value["days"], int)


# -- thinking


async def test_budget_thinking_stays_within_its_budget_and_its_signature_is_accepted(client: AsyncAnthropic) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    request = make_request(
        "What weather?", model="claude-haiku-4-5", max_tokens=4_000, thinking=thinking, tools=[WEATHER]
    )
    first = await client.messages.create(**request)
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    assert first.usage.output_tokens_details is not None
    assert 0 < first.usage.output_tokens_details.thinking_tokens <= 1_024
    assert first.usage.output_tokens > first.usage.output_tokens_details.thinking_tokens
    call = first.content[1]
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    request["messages"] += [first.to_param(), {"role": "user", "content": [result]}]
    assert "results rain" in text_of(await client.messages.create(**request))


@pytest.mark.parametrize(
    ("model", "fields", "thinks"),
    [
        ("claude-opus-4-8", {}, False),
        ("claude-opus-4-8", {"thinking": {"type": "adaptive"}}, True),
        ("claude-opus-5", {"thinking": {"type": "disabled"}}, False),
        ("claude-opus-5-5", {}, True),
        ("claude-fable-5-1", {"output_config": {"effort": "low"}}, True),
        ("claude-sonnet-5-5", {}, True),
        ("claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}, False),
    ],
)
async def test_models_think_when_asked_or_when_they_cannot_do_otherwise(
    client: AsyncAnthropic, model: str, fields: dict[str, Any], thinks: bool
) -> None:
    answer = await client.messages.create(**make_request(model=model, max_tokens=8_000, **fields))
    assert [block.type for block in answer.content] == (["thinking"] if thinks else []) + ["text"]


async def test_newer_models_sign_their_thinking_without_showing_it(client: AsyncAnthropic) -> None:
    request = make_request(thinking={"type": "adaptive"}, max_tokens=8_000)
    block = (await client.messages.create(**request)).content[0]
    assert block.type == "thinking"
    assert (block.thinking, bool(block.signature)) == ("", True)


async def test_redacted_thinking_comes_back_accepted(client: AsyncAnthropic) -> None:
    request = make_request("Go [[sim: thinking=redacted]]", thinking=ADAPTIVE, max_tokens=8_000)
    first = await client.messages.create(**request)
    assert first.content[0].type == "redacted_thinking"
    request["messages"] += [first.to_param(), {"role": "user", "content": "And then?"}]
    assert (await client.messages.create(**request)).stop_reason == "end_turn"


async def test_thinking_that_eats_the_limit_leaves_no_text(client: AsyncAnthropic) -> None:
    answer = await client.messages.create(**make_request(thinking=ADAPTIVE, max_tokens=50))
    assert [block.type for block in answer.content] == ["thinking"]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 50)


# -- usage


async def test_counted_tokens_are_those_that_are_billed(client: AsyncAnthropic) -> None:
    request = make_request(tools=[WEATHER], system="You are terse.")
    answer = await client.messages.create(**request)
    del request["max_tokens"]
    assert (await client.messages.count_tokens(**request)).input_tokens == answer.usage.input_tokens


def cached_request(question: str, *, ttl: str = "5m") -> dict[str, Any]:
    system = [{"type": "text", "text": LONG_SYSTEM, "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    return make_request(question, system=system)


async def test_cache_is_written_at_a_mark_and_read_by_the_next_request(client: AsyncAnthropic) -> None:
    first = (await client.messages.create(**cached_request("One?"))).usage
    second = (await client.messages.create(**cached_request("Two?"))).usage
    assert (first.cache_read_input_tokens, second.cache_creation_input_tokens) == (0, 0)
    assert second.cache_read_input_tokens == first.cache_creation_input_tokens
    assert first.cache_creation is not None
    assert first.cache_creation.ephemeral_5m_input_tokens == first.cache_creation_input_tokens
    assert (first.cache_creation_input_tokens or 0) > 1_024 > first.input_tokens


async def test_nothing_is_cached_without_a_mark(client: AsyncAnthropic) -> None:
    request = make_request(system=LONG_SYSTEM)
    for _ in range(2):
        usage = (await client.messages.create(**request)).usage
        assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (0, 0)


async def test_cache_grows_with_the_conversation(client: AsyncAnthropic) -> None:
    request = make_request(system=LONG_SYSTEM, cache_control=EPHEMERAL)
    first = await client.messages.create(**request)
    request["messages"] += [first.to_param(), {"role": "user", "content": "And at night?"}]
    usage = (await client.messages.create(**request)).usage
    assert usage.cache_read_input_tokens == first.usage.cache_creation_input_tokens
    assert (usage.cache_creation_input_tokens or 0) > 0


@pytest.mark.parametrize(("ttl", "warm"), [("5m", False), ("1h", True)])
async def test_cache_lives_as_long_as_it_was_asked_to(
    client: AsyncAnthropic, clock: FixedClock, ttl: str, warm: bool
) -> None:
    first = (await client.messages.create(**cached_request("One?", ttl=ttl))).usage
    assert first.cache_creation is not None
    assert bool(first.cache_creation.ephemeral_1h_input_tokens) == (ttl == "1h")
    clock.time += 600
    second = (await client.messages.create(**cached_request("Two?", ttl=ttl))).usage
    assert bool(second.cache_read_input_tokens) == warm


# -- models and limits


async def test_vendors_do_not_serve_each_others_models(simulator: Simulator, client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        await client.messages.create(**make_request(model="gpt-4.1"))
    assert caught.value.type == "not_found_error"
    async with httpx.AsyncClient(headers={"authorization": "Bearer sk-sim-x"}) as http:
        request = {"model": "claude-opus-5", "messages": [{"role": "user", "content": "x"}]}
        response = await http.post(f"{simulator.base_url}/chat/completions", json=request)
        listed = await http.get(f"{simulator.base_url}/models")
    assert response.status_code == 404
    assert not [row["id"] for row in listed.json()["data"] if row["id"].startswith("claude-")]


async def test_added_names_have_the_newest_restrictions(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError):
        await client.messages.create(**make_request(model="claude-opus-9", thinking={"type": "disabled"}))
    answer = await client.messages.create(**make_request(model="claude-opus-9", max_tokens=8_000))
    assert answer.model == "claude-opus-9"


async def test_dated_snapshots_are_served_under_their_own_name(client: AsyncAnthropic) -> None:
    answer = await client.messages.create(**make_request(model="claude-haiku-4-5-20251001"))
    assert answer.model == "claude-haiku-4-5-20251001"


@pytest.mark.parametrize(
    ("allowance", "words"),
    [
        (Allowance(requests_per_minute=1), "1 requests per minute"),
        (Allowance(tokens_per_minute=12), "12 input tokens per minute"),
        (Allowance(output_tokens_per_minute=10), "10 output tokens per minute"),
    ],
)
async def test_empty_bucket_is_a_rate_limit_error_with_retry_after(allowance: Allowance, words: str) -> None:
    running = await serve(clock=FixedClock(), allowance=allowance)
    try:
        async with AsyncAnthropic(api_key="sk-sim-x", base_url=running.root_url, max_retries=0) as client:
            await client.messages.create(**make_request())
            with pytest.raises(anthropic.RateLimitError, match=words) as caught:
                await client.messages.create(**make_request())
    finally:
        await running.close()
    assert caught.value.type == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) > 0


async def test_every_answer_tells_the_limits(client: AsyncAnthropic) -> None:
    headers = (await client.messages.with_raw_response.create(**make_request())).headers
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        assert int(headers[f"anthropic-ratelimit-{name}-limit"]) >= int(
            headers[f"anthropic-ratelimit-{name}-remaining"]
        )
        assert headers[f"anthropic-ratelimit-{name}-reset"].startswith("2026-11-18T")
    assert headers["request-id"].startswith("req_011")
