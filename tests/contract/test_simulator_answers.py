"""The simulated OpenAI answers as OpenAI does, the same on every run, streamed and unstreamed alike."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from connectors.simulator import Simulator, serve

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "read_clock"}}


class FixedClock:
    """Stands still and never waits."""

    def now(self) -> float:
        return 1_795_000_000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(seed=7, clock=FixedClock())
    yield running
    await running.close()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="sk-sim-test", base_url=simulator.base_url, max_retries=0) as sdk:
        yield sdk


def make_request(text: str = "Why is the sky blue?", **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": text}], **fields}


async def collect(client: AsyncOpenAI, **request: Any) -> list[Any]:
    return [chunk async for chunk in await client.chat.completions.create(**request, stream=True)]


def joined(chunks: list[Any], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


async def test_answer_repeats_facts_of_the_request(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**make_request(tools=[WEATHER]))
    text = answer.choices[0].message.content
    assert text is not None
    assert "Why is the sky blue?" in text
    assert "1 message" in text
    assert "get_weather" in text
    assert answer.model == "gpt-4.1-mini-2025-04-14"
    assert answer.choices[0].finish_reason == "stop"


async def raw_traffic(*, width: int) -> dict[str, bytes]:
    """Bodies of 24 requests, streamed and not, sent `width` at a time to a fresh simulator."""
    running = await serve(seed=3, clock=FixedClock(), background={"provider_fault": 0.2})
    gate = asyncio.Semaphore(width)
    headers = {"authorization": "Bearer sk-sim-test"}
    async with httpx.AsyncClient(base_url=running.base_url, headers=headers) as http:

        async def one(number: int) -> tuple[str, bytes]:
            async with gate:
                request = make_request(f"Question {number // 2}", stream=bool(number % 2))
                response = await http.post("/chat/completions", json=request)
                return f"{number}", response.content + response.headers["x-request-id"].encode()

        bodies = dict(await asyncio.gather(*map(one, range(24))))
    await running.close()
    return bodies


async def test_same_seed_gives_the_same_bytes_in_any_concurrency() -> None:
    assert await raw_traffic(width=1) == await raw_traffic(width=12)


async def test_another_attempt_at_the_same_request_draws_another_answer(client: AsyncOpenAI) -> None:
    first = await client.chat.completions.create(**make_request())
    second = await client.chat.completions.create(**make_request())
    assert first.id != second.id


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n": 3},
        {"max_tokens": 9},
        {"stop": ["sky"]},
        {"logprobs": True, "top_logprobs": 2},
        {"response_format": {"type": "json_object"}, "text": "Say it in JSON"},
        {"tools": [WEATHER, CLOCK], "text": "What do weather and clock say?"},
        {"model": "gpt-5.1", "reasoning_effort": "low"},
        {"text": "Be exact [[sim: tokens=333]]"},
    ],
    ids=str,
)
async def test_streamed_and_unstreamed_answers_are_equal(client: AsyncOpenAI, fields: dict[str, Any]) -> None:
    request = make_request(**fields)
    whole = await client.chat.completions.create(**request)
    async with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
        await stream.until_done()
        streamed: ChatCompletion = stream.current_completion_snapshot
    for left, right in zip(whole.choices, streamed.choices, strict=True):
        assert (left.message.content or "") == (right.message.content or "")
        assert left.finish_reason == right.finish_reason
        calls = [
            (c.id, c.function.name, c.function.arguments) for c in left.message.tool_calls or () if c.type == "function"
        ]
        assert calls == [
            (c.id, c.function.name, c.function.arguments)
            for c in right.message.tool_calls or ()
            if c.type == "function"
        ]
        assert (left.logprobs and left.logprobs.content) == (right.logprobs and right.logprobs.content)
    assert whole.usage == streamed.usage
    assert whole.id == streamed.id


async def test_stream_has_role_first_then_content_finish_usage_and_done(simulator: Simulator) -> None:
    headers = {"authorization": "Bearer sk-sim-test"}
    request = make_request(stream=True, stream_options={"include_usage": True})
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers) as http:
        response = await http.post("/chat/completions", json=request)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = response.content.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1


async def test_stream_without_include_usage_has_no_usage(client: AsyncOpenAI) -> None:
    chunks = await collect(client, **make_request())
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


async def test_token_limits_end_the_answer_with_length(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**make_request(max_tokens=5))
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


async def test_thinking_can_eat_the_whole_budget(client: AsyncOpenAI) -> None:
    request = make_request("Think [[sim: reasoning_tokens=500]]", model="gpt-6", max_completion_tokens=100)
    answer = await client.chat.completions.create(**request)
    assert answer.choices[0].message.content == ""
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 100


async def test_answer_stops_before_a_stop_sequence(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**make_request("red green blue", stop="green"))
    assert answer.choices[0].message.content == "You said “red "
    assert answer.choices[0].finish_reason == "stop"


async def test_fitting_tools_are_called_in_parallel_with_valid_arguments(client: AsyncOpenAI) -> None:
    request = make_request("Check the weather and the clock", tools=[WEATHER, CLOCK])
    choice = (await client.chat.completions.create(**request)).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls = [call.function for call in choice.message.tool_calls or () if call.type == "function"]
    assert [call.name for call in calls] == ["get_weather", "read_clock"]
    arguments = json.loads(calls[0].arguments)
    assert isinstance(arguments["city"], str)
    assert isinstance(arguments["days"], int)
    assert calls[1].arguments == "{}"
    single = await client.chat.completions.create(**request, parallel_tool_calls=False)
    assert len(single.choices[0].message.tool_calls or ()) == 1


async def test_named_function_is_forced_and_ends_with_stop_as_openai_says(client: AsyncOpenAI) -> None:
    forced = {"type": "function", "function": {"name": "get_weather"}}
    choice = (await client.chat.completions.create(**make_request(tools=[WEATHER], tool_choice=forced))).choices[0]
    assert choice.message.tool_calls
    assert choice.finish_reason == "stop"
    required = await client.chat.completions.create(**make_request(tools=[WEATHER], tool_choice="required"))
    assert required.choices[0].finish_reason == "tool_calls"


async def test_tool_results_are_repeated_instead_of_calling_again(client: AsyncOpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "weather please"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "17 degrees"},
    ]
    answer = await client.chat.completions.create(**make_request(messages=turns, tools=[WEATHER]))
    assert "17 degrees" in (answer.choices[0].message.content or "")


async def test_answer_satisfies_the_schema(client: AsyncOpenAI) -> None:
    node = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 10},
            "score": {"type": "number", "minimum": 1, "maximum": 2},
            "parity": {"type": "integer", "multipleOf": 5, "exclusiveMinimum": 10},
            "kind": {"enum": ["leaf", "twig"]},
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3},
        },
        "required": ["title", "score", "parity", "kind", "next", "tags"],
        "additionalProperties": False,
    }
    schema = {**node, "$defs": {"node": node}}
    wish = {"type": "json_schema", "json_schema": {"name": "tree", "strict": True, "schema": schema}}
    for number in range(5):
        answer = await client.chat.completions.create(**make_request(f"A tree {number}", response_format=wish))
        value = json.loads(answer.choices[0].message.content or "")
        while value is not None:
            assert set(value) == set(node["properties"])  # type: ignore[call-overload]  # a literal dict of mixed values
            assert len(value["title"]) <= 10
            assert 1 <= value["score"] <= 2
            assert value["parity"] % 5 == 0 < value["parity"] - 10
            assert value["kind"] in {"leaf", "twig"}
            assert len(value["tags"]) >= 3
            value = value["next"]


async def test_some_answers_contain_what_careless_readers_break(client: AsyncOpenAI) -> None:
    answers = [await client.chat.completions.create(**make_request(f"Number {number}")) for number in range(40)]
    text = "".join(answer.choices[0].message.content or "" for answer in answers)
    assert "\u2028" in text
    assert "🎉" in text


async def test_repeated_long_prefixes_are_read_from_the_cache(client: AsyncOpenAI) -> None:
    system = {"role": "system", "content": "A long instruction, word by word. " * 300}

    async def cached(question: str) -> int:
        turns = [system, {"role": "user", "content": question}]
        usage = (await client.chat.completions.create(**make_request(messages=turns))).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        return usage.prompt_tokens_details.cached_tokens or 0

    assert await cached("first?") == 0
    again = await cached("second?")
    assert again >= 1024
    assert again % 128 == 0


async def test_embeddings_of_texts_with_words_in_common_lie_close(client: AsyncOpenAI) -> None:
    texts = ["the red mill race", "the red mill wheel", "quarterly tax report"]
    answer = await client.embeddings.create(model="text-embedding-3-small", input=texts)
    near, far = (
        sum(a * b for a, b in zip(answer.data[0].embedding, other.embedding, strict=True)) for other in answer.data[1:]
    )
    assert near > 0.6 > far
    plain = await client.embeddings.create(
        model="text-embedding-3-small", input=texts[0], dimensions=64, encoding_format="float"
    )
    assert len(plain.data[0].embedding) == 64


async def test_models_are_listed_and_added_names_are_served() -> None:
    running = await serve(speed=0, models=("gpt-6-nova",))
    async with AsyncOpenAI(api_key="sk-sim-test", base_url=running.base_url, max_retries=0) as client:
        names = {model.id async for model in client.models.list()}
        assert {"gpt-4.1-mini", "gpt-6", "qwen3-edge-8b", "gpt-6-nova"} <= names
        assert (await client.models.retrieve("gpt-6-nova")).id == "gpt-6-nova"
        answer = await client.chat.completions.create(**make_request(model="gpt-6-nova"))
        assert answer.model == "gpt-6-nova"
    await running.close()
