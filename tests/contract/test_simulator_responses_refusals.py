"""The simulated Responses API refuses what OpenAI refuses, in its words; so does chat for the newer models."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from connectors.simulator import Simulator, serve

USER = {"role": "user", "content": "hello"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "17"}
TOOL = {"type": "function", "name": "f"}
CHAT_TOOL = {"type": "function", "function": {"name": "f"}}
OPEN_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(speed=0, models=("claude-house-1", "gemini-house", "house-model"))
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sk-sim-test"}
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers) as client:
        yield client


def said(*items: dict[str, Any]) -> dict[str, Any]:
    return {"input": list(items)}


def schema(**fields: Any) -> dict[str, Any]:
    return {"text": {"format": {"type": "json_schema", "name": "x", "schema": OPEN_SCHEMA, **fields}}}


CASES: list[tuple[dict[str, Any], int, str | None, str | None, str]] = [
    ({"bogus": 1}, 400, "unknown_parameter", "bogus", "Unknown parameter: 'bogus'."),
    ({"stop": ["a"]}, 400, "unknown_parameter", "stop", "Unknown parameter: 'stop'."),
    ({"n": 2}, 400, "unknown_parameter", "n", "Unknown parameter: 'n'."),
    ({"max_tokens": 9}, 400, "unsupported_parameter", "max_tokens", "has moved to 'max_output_tokens'"),
    ({"response_format": {}}, 400, "unsupported_parameter", "response_format", "has moved to 'text.format'"),
    ({"model": None}, 400, "missing_required_parameter", "model", "'model'"),
    ({"input": None}, 400, "missing_required_parameter", "input", "must be provided"),
    ({"model": "gpt-9"}, 404, "model_not_found", None, "does not exist"),
    ({"model": "claude-house-1"}, 404, "model_not_found", None, "does not exist"),
    ({"model": "gemini-house"}, 404, "model_not_found", None, "does not exist"),
    ({"max_output_tokens": 15}, 400, "integer_below_min_value", "max_output_tokens", "Expected a value >= 16"),
    ({"previous_response_id": "resp_1"}, 400, "previous_response_not_found", "previous_response_id", "not found"),
    ({"previous_response_id": "x"}, 400, "invalid_value", "previous_response_id", "begins with 'resp'"),
    ({"model": "o3", "temperature": 0.2}, 400, None, "temperature", "'temperature' is not supported with this model"),
    ({"model": "gpt-6.2", "top_p": 0.2}, 400, None, "top_p", "'top_p' is not supported with this model"),
    ({"model": "gpt-5.4", "temperature": 0.2}, 400, None, "temperature", "not supported"),
    (
        {"model": "gpt-6.2", "include": ["message.output_text.logprobs"]},
        400,
        None,
        "include",
        "logprobs are not supported",
    ),
    (
        {"model": "gpt-6.2", "reasoning": {"effort": "none"}},
        400,
        "unsupported_value",
        "reasoning.effort",
        "Supported values are: 'low', 'medium', 'high', 'xhigh', and 'max'.",
    ),
    ({"model": "gpt-5.1", "reasoning": {"effort": "max"}}, 400, "unsupported_value", "reasoning.effort", "'max'"),
    ({"reasoning": {"effort": "low"}}, 400, None, "reasoning.effort", "not supported with this model"),
    ({"include": ["reasoning.encrypted_content"]}, 400, None, "include", "Encrypted content is not supported"),
    ({"include": ["everything"]}, 400, "invalid_value", "include[0]", "'everything'"),
    ({"tools": [CHAT_TOOL]}, 400, "missing_required_parameter", "tools[0].name", "'tools[0].name'"),
    ({"tools": [{**TOOL, "function": {}}]}, 400, "unknown_parameter", "tools[0].function", "Unknown parameter"),
    ({"tool_choice": "required"}, 400, None, "tool_choice", "must be specified with 'tools'"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}}, 400, None, "tool_choice", "not found"),
    (
        {"tools": [{**TOOL, "parameters": OPEN_SCHEMA, "strict": True}]},
        400,
        "invalid_function_parameters",
        "tools[0].parameters",
        "'additionalProperties' is required",
    ),
    (schema(strict=True), 400, "invalid_json_schema", "text.format.schema", "'additionalProperties' is required"),
    (schema(schema=None), 400, "invalid_json_schema", "text.format.schema", "type"),
    (schema(json_schema={}), 400, "unknown_parameter", "text.format.json_schema", "Unknown parameter"),
    ({"text": {"format": "json"}}, 400, "invalid_type", "text.format", "an object"),
    (said({"type": "reasoning", "summary": ["x"]}), 400, "invalid_type", "input[0].summary", "array of objects"),
    ({"text": {"format": {"type": "json_object"}}}, 400, None, "input", "must contain the word 'json'"),
    ({"truncation": "middle"}, 400, "invalid_value", "truncation", "'auto' and 'disabled'"),
    ({"metadata": {"a": 1}}, 400, "invalid_type", "metadata.a", "expected a string"),
    (said({"role": "tool", "content": "x"}), 400, "invalid_value", "input[0]", "'tool'"),
    (said({**USER, "name": "ada"}), 400, "unknown_parameter", "input[0].name", "'input[0].name'"),
    (
        said({"role": "user", "content": [{"type": "text", "text": "x"}]}),
        400,
        "invalid_value",
        "input[0].content[0]",
        "'input_text', 'input_image', and 'input_file'",
    ),
    (
        said(USER, {"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}),
        400,
        "invalid_value",
        "input[1].content[0]",
        "'output_text' and 'refusal'",
    ),
    (
        said({"role": "user", "content": [{"type": "input_image", "image_url": {"url": "https://a"}}]}),
        400,
        "invalid_type",
        "input[0].content[0].image_url",
        "but got an object instead",
    ),
    (
        said({"role": "user", "content": [{"type": "input_file", "filename": "a", "file_data": "aGk="}]}),
        400,
        "invalid_value",
        "input[0].content[0].file_data",
        "data URL",
    ),
    (said(USER, RESULT), 400, None, "input", "No tool call found for function call output with call_id call_1."),
    (said(USER, CALL), 400, None, "input", "No tool output found for function call call_1."),
    (said(USER, {**CALL, "id": "call_1"}, RESULT), 400, "invalid_value", "input[1].id", "begins with 'fc'"),
    (
        said(USER, {**CALL, "call_id": "c" * 65}),
        400,
        "string_above_max_length",
        "input[1].call_id",
        "maximum length 64",
    ),
    (said(USER, {**CALL, "arguments": {}}, RESULT), 400, "invalid_type", "input[1].arguments", "a string"),
    (said(USER, {"type": "reasoning", "id": "rs_1", "summary": []}), 404, None, "input", "not found"),
    (
        said(USER, {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAAbogus"}),
        400,
        "invalid_encrypted_content",
        None,
        "could not be verified",
    ),
    (said({"type": "item_reference", "id": "msg_1"}), 404, None, "input", "'msg_1' not found"),
    (said({"role": "user", "content": "[[sim: falt=x]]"}), 400, "bad_directive", None, "falt=x"),
    (
        said({"role": "user", "content": "word " * 130_000}) | {"model": "gpt-4o"},
        400,
        "context_length_exceeded",
        "input",
        "context window",
    ),
]


@pytest.mark.parametrize(("fields", "status", "code", "param", "words"), CASES, ids=lambda value: str(value)[:60])
async def test_wrong_requests_are_refused_in_the_words_of_responses(
    http: httpx.AsyncClient, fields: dict[str, Any], status: int, code: str | None, param: str | None, words: str
) -> None:
    response = await http.post("/responses", json={"model": "gpt-4.1-mini", "input": "hello", **fields})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), error
    assert words in error["message"]
    assert param is None or error["param"] == param


async def test_sealed_thoughts_belong_to_their_item_and_lead_to_something(http: httpx.AsyncClient) -> None:
    request = {"model": "gpt-6", "input": "hi", "include": ["reasoning.encrypted_content"]}
    thought, message = (await http.post("/responses", json=request)).json()["output"]
    wrong = [
        ([{**thought, "id": "rs_other"}, message], "did not match the target item id"),
        ([{**thought, "encrypted_content": thought["encrypted_content"][:-8]}, message], "could not be verified"),
        ([thought, USER], "without its required following item"),
    ]
    for items, words in wrong:
        response = await http.post("/responses", json=request | {"input": [USER, *items]})
        assert (response.status_code, words in response.json()["error"]["message"]) == (400, True)
    assert (await http.post("/responses", json=request | {"input": [USER, thought, message, USER]})).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "gpt-5.1", "temperature": 0.2, "top_p": 0.9},
        {"model": "gpt-5.4", "tools": [TOOL]},
        {"model": "gpt-6-sol", "reasoning": {"effort": "max"}},
        {"model": "gpt-6.2", "temperature": 1, "tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
        {"model": "gpt-5-codex", "store": False, "prompt_cache_key": "k", "safety_identifier": "s", "user": None},
        {"model": "o3", "service_tier": "flex", "truncation": "auto"},
        {"model": "house-model", "tools": [], "parallel_tool_calls": False, "tool_choice": "auto"},
        said({"role": "developer", "content": "Be brief"}, USER, CALL, {"role": "assistant", "content": "…"}, RESULT),
    ],
    ids=str,
)
async def test_unusual_but_right_requests_are_answered(http: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    response = await http.post("/responses", json={"model": "gpt-4.1-mini", "input": "hello", **fields})
    assert response.status_code == 200, response.text


async def test_nothing_is_stored(http: httpx.AsyncClient) -> None:
    stored = (await http.post("/responses", json={"model": "gpt-4.1", "input": "hi"})).json()
    assert stored["store"] is True
    response = await http.get(f"/responses/{stored['id']}")
    assert response.status_code == 404
    assert (await http.put("/responses", json={})).status_code == 405


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
CHAT_CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT_CASES: list[tuple[dict[str, Any], int, str | None, str]] = [
    ({"model": "gpt-5-codex"}, 404, "model", "This is not a chat model"),
    ({"model": "gpt-5.4", "tools": [CHAT_TOOL]}, 400, "reasoning_effort", "Please use /v1/responses instead"),
    ({"model": "gpt-6.2", "tools": [CHAT_TOOL]}, 400, "reasoning_effort", "Please use /v1/responses instead"),
    ({"model": "gpt-6.2", "reasoning_effort": "none"}, 400, "reasoning_effort", "does not support 'none'"),
    ({"model": "gpt-6-sol", "reasoning_effort": "max"}, 400, "reasoning_effort", "does not support 'max'"),
    ({"model": "gpt-6.2", "temperature": 0.2}, 400, "temperature", "Only the default (1)"),
    ({"model": "gpt-5.1", "reasoning_effort": "low", "top_p": 0.5}, 400, "top_p", "is not supported"),
    ({"model": "o3", "stop": "x"}, 400, "stop", "'stop' is not supported"),
    ({"model": "o3", "max_tokens": 20}, 400, "max_tokens", "Use 'max_completion_tokens' instead"),
    ({"model": "claude-house-1"}, 404, None, "does not exist"),
    ({"model": "gemini-house"}, 404, None, "does not exist"),
    (
        {
            "messages": [
                USER,
                {"role": "assistant", "tool_calls": [CHAT_CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": [IMAGE]},
            ]
        },
        400,
        "messages[2]",
        "Image URLs are only allowed for messages with role 'user'",
    ),
]


@pytest.mark.parametrize(("fields", "status", "param", "words"), CHAT_CASES, ids=lambda value: str(value)[:60])
async def test_chat_refuses_what_the_newer_models_do_not_take(
    http: httpx.AsyncClient, fields: dict[str, Any], status: int, param: str | None, words: str
) -> None:
    response = await http.post("/chat/completions", json={"model": "gpt-4.1", "messages": [USER], **fields})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param), error
    assert words in error["message"]


async def test_tools_on_chat_are_served_with_effort_none(http: httpx.AsyncClient) -> None:
    request = {"model": "gpt-5.4", "messages": [USER], "tools": [CHAT_TOOL], "reasoning_effort": "none"}
    assert (await http.post("/chat/completions", json=request)).status_code == 200


async def test_models_of_other_vendors_are_not_listed(http: httpx.AsyncClient) -> None:
    names = {row["id"] for row in (await http.get("/models")).json()["data"]}
    assert {"gpt-5.4", "gpt-6-sol", "gpt-6.2", "gpt-5-codex", "o3", "house-model"} <= names
    assert not [name for name in names if name.startswith(("claude-", "gemini-"))]
