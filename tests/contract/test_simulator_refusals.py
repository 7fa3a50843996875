"""The simulated OpenAI refuses what OpenAI refuses, in its words: a lenient double hides bugs."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from connectors.simulator import Simulator, serve

USER = {"role": "user", "content": "hello"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}
OPEN_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(speed=0)
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sk-sim-test"}
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers) as client:
        yield client


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}


CASES: list[tuple[dict[str, Any], int, str | None, str | None, str]] = [
    ({"bogus": 1}, 400, None, None, "Unrecognized request argument supplied: bogus"),
    ({"a": 1, "b": 2}, 400, None, None, "Unrecognized request arguments supplied: a, b"),
    ({"model": None}, 400, None, None, "you must provide a model parameter"),
    ({"messages": None}, 400, "missing_required_parameter", "messages", "Missing required parameter: 'messages'."),
    ({"messages": []}, 400, "empty_array", "messages", "empty array"),
    ({"messages": "hello"}, 400, "invalid_type", "messages", "expected an array, but got a string instead"),
    ({"temperature": "hot"}, 400, "invalid_type", "temperature", "expected a decimal, but got a string instead"),
    ({"n": True}, 400, "invalid_type", "n", "expected an integer, but got a boolean instead"),
    ({"temperature": 3}, 400, "decimal_above_max_value", "temperature", "Expected a value <= 2, but got 3 instead"),
    ({"n": 0}, 400, "integer_below_min_value", "n", "Expected a value >= 1"),
    ({"n": 129}, 400, "integer_above_max_value", "n", "Expected a value <= 128"),
    ({"model": "gpt-9"}, 404, "model_not_found", None, "The model `gpt-9` does not exist"),
    ({"model": "text-embedding-3-small"}, 403, None, None, "not allowed to use this model"),
    ({"model": "gpt-5.1", "max_tokens": 5}, 400, "unsupported_parameter", "max_tokens", "'max_completion_tokens'"),
    ({"max_tokens": 5, "max_completion_tokens": 5}, 400, "invalid_parameter_combination", None, "at the same time"),
    ({"max_tokens": 40_000}, 400, "invalid_value", "max_tokens", "at most 32768 completion tokens"),
    ({"model": "o4-mini", "temperature": 0.2}, 400, "unsupported_value", "temperature", "does not support 0.2"),
    ({"model": "o4-mini", "top_p": 0.5}, 400, "unsupported_parameter", "top_p", "'top_p' is not supported"),
    ({"model": "o4-mini", "stop": "x"}, 400, "unsupported_parameter", "stop", "'stop' is not supported"),
    ({"model": "gpt-6", "temperature": 0.2}, 400, "unsupported_value", "temperature", "Only the default (1)"),
    ({"model": "gpt-6", "reasoning_effort": "minimal"}, 400, "unsupported_value", "reasoning_effort", "'minimal'"),
    ({"reasoning_effort": "low"}, 400, None, None, "Unrecognized request argument supplied: reasoning_effort"),
    ({"model": "gpt-6", "tools": [TOOL]}, 400, None, "reasoning_effort", "Please use /v1/responses instead"),
    ({"stop": ["a"] * 5}, 400, "array_above_max_length", "stop", "maximum length 4"),
    ({"stream_options": {}}, 400, None, "stream_options", "only allowed when 'stream' is enabled"),
    ({"top_logprobs": 2}, 400, None, "top_logprobs", "only allowed when 'logprobs' is enabled"),
    ({"tool_choice": "auto"}, 400, None, "tool_choice", "only allowed when 'tools' are specified"),
    ({"tools": []}, 400, "empty_array", "tools", "Invalid 'tools'"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, 400, "invalid_value", None, "does not match"),
    ({"tools": [TOOL], "tool_choice": "maybe"}, 400, "invalid_value", "tool_choice", "Supported values are"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        400,
        None,
        "tool_choice",
        "no function named g",
    ),
    ({"response_format": {"type": "json_object"}}, 400, None, "messages", "must contain the word 'json'"),
    ({"response_format": strict(OPEN_SCHEMA)}, 400, None, "response_format", "'additionalProperties' is required"),
    (
        {"response_format": strict({**OPEN_SCHEMA, "additionalProperties": False, "required": []})},
        400,
        None,
        "response_format",
        "Missing 'a'",
    ),
    ({"messages": [{"role": "bot", "content": "x"}]}, 400, "invalid_value", "messages[0].role", "'bot'"),
    ({"messages": [{"role": "user", "content": None}]}, 400, None, "messages[0].content", "got null"),
    ({"messages": [{**USER, "extra": 1}]}, 400, "unknown_parameter", "messages[0].extra", "Unknown parameter"),
    (
        {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
        400,
        "invalid_value",
        "messages[0].content[0].type",
        "Supported values are: 'file', 'image_url', 'input_audio', 'text'",
    ),
    (
        {"messages": [USER, {"role": "tool", "tool_call_id": "call_1", "content": "x"}]},
        400,
        None,
        "messages.[1].role",
        "must be a response to a preceeding message with 'tool_calls'",
    ),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [CALL]}, USER]},
        400,
        None,
        "messages.[2].role",
        "did not have response messages: call_1",
    ),
    (
        {"messages": [USER, {"role": "assistant", "tool_calls": [{**CALL, "extra_content": {}}]}]},
        400,
        "unknown_parameter",
        "messages[1].tool_calls[0].extra_content",
        "Unknown parameter",
    ),
    (
        {"model": "qwen3-edge-8b", "messages": [{"role": "user", "content": "word " * 40_000}]},
        400,
        "context_length_exceeded",
        "messages",
        "maximum context length is 32768 tokens",
    ),
    ({"messages": [{"role": "user", "content": "[[sim: falt=x]]"}]}, 400, "bad_directive", None, "falt=x"),
    ({"messages": [{"role": "user", "content": "[[sim: fault=x]]"}]}, 400, "bad_directive", None, "unknown fault 'x'"),
]


@pytest.mark.parametrize(("fields", "status", "code", "param", "words"), CASES, ids=lambda value: str(value)[:60])
async def test_wrong_requests_are_refused_in_the_words_of_openai(
    http: httpx.AsyncClient, fields: dict[str, Any], status: int, code: str | None, param: str | None, words: str
) -> None:
    response = await http.post("/chat/completions", json={"model": "gpt-4.1-mini", "messages": [USER], **fields})
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (response.status_code, error["code"]) == (status, code)
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param
    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "gpt-6", "reasoning_effort": "none", "temperature": 0.2},
        {"model": "gpt-6", "reasoning_effort": "none", "tools": [TOOL]},
        {"model": "gpt-5.1", "temperature": 0.2, "max_completion_tokens": 50},
        {"model": "gpt-4o-2024-11-20", "top_p": None, "temperature": 2},
        {"messages": [{"role": "developer", "content": "Be brief"}, {**USER, "name": "ada"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
    ],
    ids=str,
)
async def test_unusual_but_right_requests_are_served(http: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    response = await http.post("/chat/completions", json={"model": "gpt-4.1-mini", "messages": [USER], **fields})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("key", [None, "sk-live-0123456789abcdef", "sk-bad-0123456789abcdef"])
async def test_wrong_keys_are_refused(http: httpx.AsyncClient, key: str | None) -> None:
    headers = {"authorization": f"Bearer {key}" if key else ""}
    response = await http.get("/models", headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert key is None or key not in response.text


async def test_wrong_urls_methods_and_bodies_are_refused(http: httpx.AsyncClient) -> None:
    unknown = await http.post("/chat/incompletions", json={})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_url")
    method = await http.get("/chat/completions")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_supported")
    broken = await http.post("/chat/completions", content=b"{")
    assert broken.status_code == 400
    assert "could not parse the JSON body" in broken.json()["error"]["message"]
    missing = await http.get("/models/gpt-9")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_wrong_embedding_requests_are_refused(http: httpx.AsyncClient) -> None:
    good = {"model": "text-embedding-3-small", "input": "x"}
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"input": None}, 400),
        ({"input": ""}, 400),
        ({"input": []}, 400),
        ({"input": [1.5]}, 400),
        ({"dimensions": 9_999}, 400),
        ({"encoding_format": "hex"}, 400),
        ({"model": "gpt-4.1"}, 403),
    ]
    for fields, status in wrong:
        assert (await http.post("/embeddings", json={**good, **fields})).status_code == status, fields
