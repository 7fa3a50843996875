"""The simulated Responses API answers as OpenAI's does, streamed and unstreamed alike, and shows what arrived."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseErrorEvent, ResponseFunctionToolCall, ResponseReasoningItem

from connectors.simulator import Simulator, serve

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather at a place",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    "strict": True,
}
CLOCK = {"type": "function", "name": "read_clock"}
SEALED = {"include": ["reasoning.encrypted_content"], "store": False}
PNG = base64.b64encode(b"\x89PNG few bytes").decode()


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


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sk-sim-test"}
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers) as sdk:
        yield sdk


def make_request(text: str = "Why is the sky blue?", **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4.1-mini", "input": text, **fields}


async def ask(client: AsyncOpenAI, **request: Any) -> Response:
    answer = await client.responses.create(**request)
    assert isinstance(answer, Response)
    return answer


async def events(http: httpx.AsyncClient, **request: Any) -> list[dict[str, Any]]:
    """The events of a stream; each names its type twice."""
    body = (await http.post("/responses", json=request | {"stream": True})).content.decode()
    found = []
    for event in body.split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


async def test_answer_repeats_facts_of_the_request(client: AsyncOpenAI) -> None:
    answer = await ask(client, **make_request(instructions="Be brief", tools=[WEATHER], metadata={"a": "b"}))
    assert "Why is the sky blue?" in answer.output_text
    assert "2 messages" in answer.output_text
    assert "get_weather" in answer.output_text
    assert (answer.model, answer.status, answer.metadata) == ("gpt-4.1-mini-2025-04-14", "completed", {"a": "b"})
    assert answer.id.startswith("resp_")
    assert answer.output[0].id is not None
    assert answer.output[0].id.startswith("msg_")


SCHEMA = {"type": "object", "properties": {"sky": {"type": "string"}}, "required": ["sky"]}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_output_tokens": 16},
        {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
        {"text": {"format": {"type": "json_object"}}, "said": "Say it in JSON"},
        {"text": {"format": {"type": "json_schema", "name": "sky", "schema": SCHEMA}}},
        {"tools": [WEATHER, CLOCK], "said": "What do weather and clock say?"},
        {"model": "gpt-6-sol", "reasoning": {"effort": "low", "summary": "auto"}, **SEALED},
        {"model": "gpt-6.2", "tools": [WEATHER], "said": "weather", "reasoning": {"effort": "max"}},
        {"model": "gpt-5-codex", "max_output_tokens": 16, "said": "Think [[sim: reasoning_tokens=50]]"},
        {"said": "No [[sim: fault=refusal]]"},
        {"said": "Filtered [[sim: fault=content_filter]]"},
        {"said": "Unpriced [[sim: fault=no_usage]]"},
    ],
    ids=str,
)
async def test_streamed_and_unstreamed_responses_are_equal(
    client: AsyncOpenAI, http: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    said = fields.get("said", "Why is the sky blue?")
    request = make_request(said) | {name: value for name, value in fields.items() if name != "said"}
    whole = (await http.post("/responses", json=request)).json()
    told = await events(http, **request)
    assert told[-1]["response"] == whole
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert [event["item"] for event in told if event["type"] == "response.output_item.done"] == whole["output"]
    again = await ask(client, **request)
    streamed = await client.responses.create(**request, stream=True)
    last = [event async for event in streamed][-1]
    assert last.response == again


async def test_sdk_puts_a_streamed_response_together(client: AsyncOpenAI) -> None:
    request = make_request("weather and clock", tools=[WEATHER, CLOCK])
    async with client.responses.stream(**request) as stream:
        pieces = [event.delta async for event in stream if event.type == "response.function_call_arguments.delta"]
        final = await stream.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "read_clock"]
    assert "".join(pieces) == calls[0].arguments + calls[1].arguments
    assert final.usage == (await ask(client, **request)).usage


async def test_stream_tells_each_item_from_its_beginning_to_its_end(http: httpx.AsyncClient) -> None:
    request = make_request(model="gpt-6-luna", reasoning={"effort": "low", "summary": "detailed"})
    kinds = [event["type"] for event in await events(http, **request)]
    once = list(dict.fromkeys(kinds))
    assert once == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.completed",
    ]


async def test_limits_and_filters_leave_the_response_incomplete(client: AsyncOpenAI) -> None:
    short = await ask(client, **make_request(max_output_tokens=16))
    assert short.incomplete_details is not None
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert short.usage is not None
    assert short.usage.output_tokens == 16
    filtered = await ask(client, **make_request("x [[sim: fault=content_filter]]"))
    assert filtered.incomplete_details is not None
    assert filtered.incomplete_details.reason == "content_filter"


async def test_thinking_can_eat_the_whole_budget(client: AsyncOpenAI) -> None:
    request = make_request("Think [[sim: reasoning_tokens=500]]", model="gpt-6", max_output_tokens=100)
    answer = await ask(client, **request)
    assert [item.type for item in answer.output] == ["reasoning"]
    assert answer.status == "incomplete"
    assert answer.usage is not None
    assert answer.usage.output_tokens_details.reasoning_tokens == 100


async def test_refusal_is_a_part_of_its_own(client: AsyncOpenAI) -> None:
    answer = await ask(client, **make_request("x [[sim: fault=refusal]]"))
    message = answer.output[0]
    assert message.type == "message"
    assert message.content[0].type == "refusal"
    assert answer.status == "completed"


async def test_calls_and_encrypted_thoughts_make_the_round_trip(client: AsyncOpenAI) -> None:
    request = make_request("weather please", model="gpt-6.2", tools=[WEATHER], **SEALED)
    first = await ask(client, **request)
    thought, call = first.output
    assert isinstance(thought, ResponseReasoningItem)
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.id or "").startswith("fc_")
    assert call.call_id.startswith("call_")
    assert isinstance(json.loads(call.arguments)["days"], int)
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    result = [{"type": "input_text", "text": "17 degrees"}, image]
    turns = [
        {"role": "user", "content": "weather please"},
        thought.to_dict(),
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": result},
    ]
    second = await ask(client, **request | {"input": turns})
    assert "17 degrees" in second.output_text
    assert "image image/png 14 bytes" in second.output_text


async def test_images_and_files_are_named_by_type_size_and_digest(client: AsyncOpenAI) -> None:
    pdf = b"%PDF-1.7 tiny"
    parts = [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": f"data:application/pdf;base64,{base64.b64encode(pdf).decode()}",
        },
    ]
    answer = await ask(client, **make_request() | {"input": [{"role": "user", "content": parts}]})
    assert "image at https://example.com/a.png" in answer.output_text
    assert f"file application/pdf 13 bytes sha256:{sha256(pdf).hexdigest()[:12]}" in answer.output_text


async def test_failure_after_the_start_is_an_event_and_the_next_number(http: httpx.AsyncClient) -> None:
    told = await events(http, **make_request("x [[sim: fault=error_mid_stream after=2]]"))
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert [event["type"] for event in told].count("response.output_text.delta") == 2
    assert (told[-1]["type"], told[-1]["code"]) == ("error", "server_error")


async def test_sdk_reads_a_failure_after_the_start(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(**make_request("x [[sim: fault=error_mid_stream]]"), stream=True)
    last = [event async for event in stream][-1]
    assert isinstance(last, ResponseErrorEvent)
    assert last.code == "server_error"


async def test_failed_response_has_status_200(client: AsyncOpenAI, http: httpx.AsyncClient) -> None:
    request = make_request("x [[sim: fault=error_200]]")
    answer = await ask(client, **request)
    assert answer.error is not None
    assert (answer.status, answer.error.code, answer.output) == ("failed", "server_error", [])
    told = await events(http, **request)
    assert [event["type"] for event in told] == ["response.created", "response.in_progress", "response.failed"]


@pytest.mark.parametrize(("fault", "status"), [("overloaded", 503), ("rate_limited", 429), ("context_too_long", 400)])
async def test_faults_before_the_start_are_plain_errors(http: httpx.AsyncClient, fault: str, status: int) -> None:
    for stream in (False, True):
        request = make_request(f"x [[sim: fault={fault}]]", stream=stream)
        response = await http.post("/responses", json=request)
        assert response.status_code == status
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}


async def test_stream_cut_short_has_no_last_event(http: httpx.AsyncClient) -> None:
    for fault in ("early_end", "no_done"):
        told = await events(http, **make_request(f"x [[sim: fault={fault}]]"))
        assert told[-1]["type"] not in {"response.completed", "response.incomplete", "response.failed"}


async def test_chat_names_images_files_and_audio_too(client: AsyncOpenAI) -> None:
    data = base64.b64encode(b"RIFF").decode()
    parts: list[Any] = [
        {"type": "text", "text": "Look and listen"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{data}"}},
    ]
    answer = await client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": parts}])
    text = answer.choices[0].message.content or ""
    assert all(
        said in text for said in ("image image/png 14 bytes", "audio wav 4 bytes", "file application/pdf 4 bytes")
    )
