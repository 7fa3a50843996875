"""The Messages surface with the unmodified SDK: whatever vendor answered, it reads as Anthropic's."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import orjson
import pytest
from gateway_house import KEY, NOW, House, answered, failed

from connectors.gateway import serve
from schemas.completion import Choice, Completion, ToolCall, Usage
from schemas.events import Request, Response

SAID = [{"role": "user", "content": "hi"}]
URL = "/v1/messages"


def completed(request: Request, *choices: Choice, usage: Usage | None = None) -> Response:
    whole = Completion(list(choices), usage or Usage(12, 7, 4, 2, 3))
    body = whole.to_openai(f"chatcmpl-{request.request_id}", NOW // 1000, "small")
    return answered(request, body=orjson.dumps(body))


CALLS = [ToolCall("call_1", "weather", '{"city":"Paris"}'), ToolCall("call_2", "time", "{}")]
THOUGHT = {"type": "thinking", "thinking": "let me see", "signature": "mrs1-signed"}
ANSWERS = {
    "text": Choice(text="hello\u2028wörld 🎉"),
    "length": Choice(text="hello", finish_reason="length"),
    "tools": Choice(text="I look.", tool_calls=CALLS, finish_reason="tool_calls"),
    "reasoning": Choice(text="42", reasoning_content="six by seven"),
    "thinking": Choice(text="42", reasoning_content="let me see", thinking_blocks=[THOUGHT]),
    "refusal": Choice(refusal="I will not.", finish_reason="content_filter"),
    "empty": Choice(),
}
PIECES: dict[str, list[dict[str, Any]]] = {
    "text": [{"content": "hello\u2028w"}, {"content": "örld 🎉"}],
    "tools": [
        {"content": "I look."},
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Paris"}'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "call_2", "type": "function", "function": {"name": "time", "arguments": ""}}
            ]
        },
    ],
    "reasoning": [{"reasoning_content": "six by "}, {"reasoning_content": "seven"}, {"content": "42"}],
    "thinking": [{"reasoning_content": "let me see"}, {"thinking_blocks": [THOUGHT]}, {"content": "42"}],
}


@asynccontextmanager
async def client_of(answer: Callable[[House, Request], None]) -> AsyncIterator[anthropic.AsyncAnthropic]:
    server = await serve(House(answer).app, "127.0.0.1", 0)
    try:
        base = f"http://127.0.0.1:{server.port}"
        async with anthropic.AsyncAnthropic(api_key=KEY, base_url=base, max_retries=0) as client:
            yield client
    finally:
        await server.stop()


def answers(name: str, upto: int) -> Callable[[House, Request], None]:
    def answer(house: House, request: Request) -> None:
        for seq, piece in enumerate(PIECES.get(name, [])[:upto]):
            house.delta(request, seq, piece)
        house.respond(completed(request, ANSWERS[name]))

    return answer


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("upto", [0, 1, 3, 9])
async def test_a_stream_ends_in_the_same_message_as_the_whole_answer(name: str, upto: int) -> None:
    async with client_of(answers(name, upto)) as client:
        whole = await client.messages.create(model="small", max_tokens=10, messages=SAID)  # type: ignore[arg-type]
        async with client.messages.stream(model="small", max_tokens=10, messages=SAID) as stream:  # type: ignore[arg-type]
            streamed = await stream.get_final_message()
    assert _facts(streamed) == _facts(whole)


def _facts(message: Any) -> dict[str, Any]:
    said: dict[str, Any] = message.model_dump(exclude={"id"}, exclude_none=True)
    for block in said["content"]:
        block.pop("parsed_output", None)
    return said


async def test_blocks_stop_reasons_and_usage_are_those_of_the_vendor() -> None:
    async with client_of(answers("tools", 0)) as client:
        got = await client.messages.create(model="small", max_tokens=10, messages=SAID)  # type: ignore[arg-type]
    assert [block.type for block in got.content] == ["text", "tool_use", "tool_use"]
    assert got.content[1].input == {"city": "Paris"}  # type: ignore[union-attr]
    assert got.stop_reason == "tool_use"
    usage = got.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (6, 4, 2)
    assert usage.output_tokens == 7


async def test_the_signature_of_a_thought_comes_through_as_it_was_sealed() -> None:
    async with (
        client_of(answers("thinking", 9)) as client,
        client.messages.stream(model="small", max_tokens=10, messages=SAID) as stream,  # type: ignore[arg-type]
    ):
        message = await stream.get_final_message()
    assert message.content[0].model_dump() == THOUGHT
    assert message.content[1].text == "42"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("invalid_request_error", anthropic.BadRequestError),
        ("no_eligible_model", anthropic.PermissionDeniedError),
        ("model_not_found", anthropic.NotFoundError),
        ("rate_limit_exceeded", anthropic.RateLimitError),
        ("provider_error", anthropic.InternalServerError),
        ("all_providers_unavailable", anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_are_the_sdks_own_exceptions(code: str, raised: type[Exception], stream: bool) -> None:
    async with client_of(lambda house, request: house.respond(failed(request, code)) and None) as client:
        with pytest.raises(raised) as caught:
            await client.messages.create(model="small", max_tokens=10, messages=SAID, stream=stream)  # type: ignore[call-overload]
    body = caught.value.body  # type: ignore[attr-defined]
    assert body["type"] == "error"
    assert body["error"]["code"] == code


async def test_a_failure_after_the_start_is_an_error_event_and_no_stop() -> None:
    def answer(house: House, request: Request) -> None:
        house.delta(request, 0, {"content": "hel"})
        house.respond(failed(request, "stream_interrupted"))

    async with House(answer).client() as client:
        got = await client.post(URL, json={"model": "small", "max_tokens": 9, "stream": True, "messages": SAID})
    events = [line.removeprefix("event: ") for line in got.text.splitlines() if line.startswith("event: ")]
    assert events == ["message_start", "content_block_start", "content_block_delta", "error"]


async def test_two_calls_whose_pieces_are_mixed_end_in_an_error() -> None:
    mixed = [
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather"}}]},
        {"tool_calls": [{"index": 1, "id": "call_2", "type": "function", "function": {"name": "time"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":"Paris"}'}}]},
    ]

    def answer(house: House, request: Request) -> None:
        for seq, piece in enumerate(mixed):
            house.delta(request, seq, piece)
        house.respond(completed(request, ANSWERS["tools"]))

    async with House(answer).client() as client:
        got = await client.post(URL, json={"model": "small", "max_tokens": 9, "stream": True, "messages": SAID})
    assert "stream_interrupted" in got.text
    assert "message_stop" not in got.text


async def asked(body: dict[str, Any]) -> dict[str, Any]:
    house = House(lambda h, r: h.respond(answered(r)) and None)
    async with house.client() as client:
        got = await client.post(URL, json={"model": "small", "max_tokens": 9, **body})
    assert got.status_code == 200, got.text
    from schemas.codec import decode

    request = decode(Request, house.sent("requests.v1")[0].value)
    assert isinstance(request, Request)
    read: dict[str, Any] = orjson.loads(request.body)
    return read


async def test_a_conversation_with_everything_in_it_is_read_without_loss() -> None:
    hint = {"type": "ephemeral", "ttl": "1h"}
    got = await asked(
        {
            "system": [{"type": "text", "text": "be brief", "cache_control": hint}],
            "stop_sequences": ["END"],
            "top_k": 5,
            "metadata": {"user_id": "u1"},
            "thinking": {"type": "enabled", "budget_tokens": 4_096},
            "tools": [
                {"name": "weather", "description": "d", "input_schema": {"type": "object"}, "cache_control": hint}
            ],
            "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "what is this?"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": "BB"},
                        },
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        THOUGHT,
                        {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t1",
                            "is_error": True,
                            "content": [{"type": "text", "text": "down"}],
                        },
                        {"type": "text", "text": "try again"},
                    ],
                },
            ],
        }
    )
    call = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}}
    assert got["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "be brief", "cache_control": hint}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {
                    "type": "file",
                    "file": {"file_data": "data:application/pdf;base64,BB", "filename": "document"},
                },
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [call], "thinking_blocks": [THOUGHT]},
        {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "down"}], "is_error": True},
        {"role": "user", "content": [{"type": "text", "text": "try again"}]},
    ]
    assert got["tools"][0]["cache_control"] == hint
    assert got["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert got["parallel_tool_calls"] is False
    assert (got["stop"], got["top_k"], got["user"], got["reasoning_effort"]) == (["END"], 5, "u1", "medium")
    assert got["thinking"] == {"type": "enabled", "budget_tokens": 4_096}
    assert got["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content.0"),
        ({"messages": SAID, "mcp_servers": []}, "mcp_servers"),
        ({"messages": SAID, "tools": [{"type": "web_search_20260209", "name": "web_search"}]}, "tools.0"),
        ({"messages": SAID, "thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"messages": SAID, "max_tokens": None}, "max_tokens"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
                ]
            },
            "messages.0.content.0.source",
        ),
    ],
)
async def test_what_cannot_be_said_is_refused_by_name(body: dict[str, Any], named: str) -> None:
    async with House().client() as client:
        got = await client.post(URL, json={"model": "small", "max_tokens": 9, **body})
    assert got.status_code == 400
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert got.json()["error"]["param"] == named


async def test_what_only_one_vendor_knows_is_left_out_and_named() -> None:
    house = House(lambda h, r: h.respond(answered(r, dropped=["top_k"])) and None)
    async with house.client() as client:
        got = await client.post(
            URL, json={"model": "small", "max_tokens": 9, "messages": SAID, "context_management": {"edits": []}}
        )
    assert got.headers["x-dropped-params"] == "context_management, top_k"


async def test_without_a_key_the_refusal_has_anthropics_shape() -> None:
    async with House().client(authorization="") as client:
        got = await client.post(URL, json={"model": "small", "max_tokens": 9, "messages": SAID})
    assert got.status_code == 401
    assert got.json()["error"]["type"] == "authentication_error"


async def test_tokens_are_counted_without_a_call() -> None:
    async with client_of(lambda house, request: pytest.fail("a call was made")) as client:
        got = await client.messages.count_tokens(model="small", messages=SAID)  # type: ignore[arg-type]
    assert got.input_tokens > 0
