"""The simulated Anthropic refuses what Anthropic refuses, in its words: a lenient double hides bugs."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import AsyncAnthropic

from connectors.simulator import Simulator, serve
from connectors.simulator.anthropic import signatures

OLD, NEW = "2023-06-01", "2026-10-21"
USER = {"role": "user", "content": "hello"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
CALLED = {"role": "assistant", "content": [CALL]}
ANSWERED = {"role": "user", "content": [RESULT]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
BUDGET = {"type": "enabled", "budget_tokens": 1_024}
MARK = {"cache_control": {"type": "ephemeral"}}
DATA = base64.b64encode(b"pixels").decode()
HAIKU = {"model": "claude-haiku-4-5", "max_tokens": 2_000}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(speed=0)
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=simulator.root_url, headers={"x-api-key": "sk-sim-test"}) as client:
        yield client


def content(*blocks: dict[str, Any], role: str = "user") -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": role, "content": list(blocks)}]
    return {"messages": messages if role == "user" else [USER, *messages, USER]}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


def wish(schema: dict[str, Any]) -> dict[str, Any]:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def thought(model: str, text: str = "Hm.") -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": signatures.sign(model, text, "nonce")}


CASES: list[tuple[dict[str, Any], str]] = [
    # unknown fields anywhere
    ({"bogus": 1}, "bogus: Extra inputs are not permitted"),
    ({"messages": [{**USER, "name": "ann"}]}, "messages.0.name: Extra inputs are not permitted"),
    (content({"type": "text", "text": "x", "bogus": 1}), "messages.0.content.0.text.bogus: Extra inputs"),
    ({"tools": [{**TOOL, "parameters": {}}]}, "tools.0.custom.parameters: Extra inputs are not permitted"),
    ({"metadata": {"session": "1"}}, "metadata.session: Extra inputs are not permitted"),
    ({"output_config": {"verbosity": "low"}}, "output_config.verbosity: Extra inputs are not permitted"),
    (content({**thought("claude-opus-4-8"), **MARK}, role="assistant"), "thinking.cache_control: Extra inputs"),
    # what must be there, and its type
    ({"max_tokens": None}, "max_tokens: Field required"),
    ({"messages": None}, "messages: Field required"),
    ({"model": None}, "model: Field required"),
    ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
    ({"max_tokens": 128_001}, "max_tokens: 128001 > 128000, which is the maximum allowed number of output tokens"),
    ({"stream": "yes"}, "stream: Input should be a valid boolean"),
    ({"service_tier": "fast"}, "service_tier: Input should be 'auto' or 'standard_only'"),
    ({"stop_sequences": [" \n"]}, "stop_sequences: each stop sequence must contain non-whitespace"),
    (content({"type": "video"}), "Input tag 'video' found using 'type' does not match any of the expected tags"),
    # messages
    ({"messages": []}, "messages: at least one message is required"),
    ({"messages": [{"role": "assistant", "content": "x"}, USER]}, 'first message must use the "user" role'),
    ({"messages": [{"role": "tool", "content": "x"}]}, 'messages: Unexpected role "tool"'),
    ({"messages": [{"role": "user", "content": ""}]}, "messages.0: all messages must have non-empty content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages.0: all messages must have non-empty content"),
    (content({"type": "text", "text": ""}), "messages: text content blocks must be non-empty"),
    (content({"type": "text", "text": " "}), "text content blocks must contain non-whitespace text"),
    ({"system": [{"type": "text", "text": ""}]}, "system: text content blocks must be non-empty"),
    ({"messages": [USER, {"role": "assistant", "content": "I"}]}, "does not support assistant message prefill"),
    (
        {**HAIKU, "messages": [USER, {"role": "assistant", "content": "I "}]},
        "final assistant content cannot end with trailing whitespace",
    ),
    (
        {**HAIKU, "messages": [USER, {"role": "system", "content": "x"}, USER]},
        "The Messages API accepts a top-level `system` parameter",
    ),
    # sampling
    ({"temperature": 1}, "temperature: Extra inputs are not permitted"),
    ({**HAIKU, "top_p": 0.5}, "top_p: Extra inputs are not permitted"),
    ({**HAIKU, "top_k": 3}, "top_k: Extra inputs are not permitted"),
    # thinking
    ({**HAIKU, "thinking": {**BUDGET, "budget_tokens": 1_023}}, "greater than or equal to 1024"),
    ({**HAIKU, "thinking": {**BUDGET, "budget_tokens": 2_000}}, "must be greater than `thinking.budget_tokens`"),
    ({**HAIKU, "thinking": {"type": "adaptive"}}, "adaptive thinking is not supported on this model"),
    ({"thinking": BUDGET}, '"thinking.type.enabled" is not supported for this model'),
    ({"thinking": {"type": "between_tools"}}, '"thinking.type.between_tools" is not supported'),
    ({"model": "claude-opus-5-5", "thinking": {"type": "disabled"}}, '"thinking.type.disabled" is not supported'),
    ({"model": "claude-sonnet-5-5", "thinking": {"type": "disabled"}}, '"thinking.type.disabled" is not supported'),
    ({"thinking": {"type": "enabled"}}, "thinking.enabled.budget_tokens: Field required"),
    (
        {**HAIKU, "thinking": BUDGET, "tools": [TOOL], "tool_choice": {"type": "any"}},
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    ({**HAIKU, "output_config": {"effort": "low"}}, "does not support the effort parameter"),
    ({"model": "claude-opus-4-6", "output_config": {"effort": "xhigh"}}, "does not support effort level 'xhigh'"),
    (
        {**HAIKU, "thinking": BUDGET, "tools": [TOOL], "messages": [USER, CALLED, ANSWERED]},
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
    (
        content({"type": "thinking", "thinking": "x", "signature": "bm9uZQ=="}, role="assistant"),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (content(thought("claude-opus-5"), role="assistant"), "Invalid `signature` in `thinking` block"),
    (
        content({**thought("claude-opus-4-8"), "thinking": "changed"}, role="assistant"),
        "Invalid `signature` in `thinking` block",
    ),
    (
        content({"type": "redacted_thinking", "data": "bm9uZQ=="}, role="assistant"),
        "Invalid `data` in `redacted_thinking` block",
    ),
    # tools
    ({"tools": [{"name": "f", "input_schema": {}}]}, "tools.0.custom.input_schema.type: Field required"),
    ({"tools": [{"name": "f", "input_schema": {"type": "string"}}]}, "input_schema.type: Input should be 'object'"),
    ({"tools": [{**TOOL, "name": "a b"}]}, "tools.0.custom.name: String should match pattern"),
    ({"tools": [TOOL, TOOL]}, "tools: Tool names must be unique."),
    ({"tools": [{**TOOL, "type": "function"}]}, "Input tag 'function' found using 'type'"),
    ({"tools": [{**TOOL, "strict": True}]}, "'additionalProperties' must be explicitly set to false"),
    ({"tool_choice": {"type": "auto"}}, "may only be specified while providing `tools`"),
    ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice: Input should be a valid dictionary"),
    ({"tools": [TOOL], "tool_choice": {"type": "required"}}, "Input tag 'required' found using 'type'"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "Tool 'g' not found in provided tools"),
    (
        {"tools": [TOOL], "tool_choice": {"type": "none", "disable_parallel_tool_use": True}},
        "tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted",
    ),
    (
        {"model": "claude-fable-5-1", "tools": [TOOL], "tool_choice": {"type": "any"}},
        "forced tool use (`any`) is not supported",
    ),
    # pairing
    (content({**CALL, "id": "call:1"}, role="assistant"), "tool_use.id: String should match pattern"),
    (content({**CALL, "input": "{}"}, role="assistant"), "tool_use.input: Input should be a valid dictionary"),
    ({"messages": [USER, CALLED, USER]}, "without `tool_result` blocks immediately after: toolu_1"),
    ({"messages": [USER, CALLED, USER, ANSWERED]}, "without `tool_result` blocks immediately after: toolu_1"),
    ({"messages": [USER, ANSWERED]}, "messages.1.content.0: unexpected `tool_use_id` found"),
    (
        {"messages": [USER, CALLED, {"role": "user", "content": [RESULT, RESULT]}]},
        "each tool_use must have a single result",
    ),
    (
        {"messages": [USER, CALLED, {"role": "user", "content": [{"type": "text", "text": "so"}, RESULT]}]},
        "immediately after: toolu_1",
    ),
    (
        {
            "messages": [
                USER,
                {"role": "assistant", "content": [CALL, {**CALL, "id": "toolu_2"}]},
                ANSWERED,
                {"role": "user", "content": [{**RESULT, "tool_use_id": "toolu_2"}]},
            ]
        },
        "without `tool_result` blocks immediately after: toolu_2",
    ),
    ({"messages": [USER, CALLED, ANSWERED, CALLED, ANSWERED]}, "`tool_use` ids must be unique"),
    (content(CALL), "`tool_use` blocks can only be in `assistant` messages"),
    (content(RESULT, role="assistant"), "`tool_result` blocks can only be in `user` messages"),
    # media
    (content(image(type="base64", media_type="image/bmp", data=DATA)), "source.base64.media_type: Input should be"),
    (
        content(image(type="base64", media_type="image/png", data=f"data:image/png;base64,{DATA}")),
        "source.base64.data: Invalid base64 data",
    ),
    (content(image(type="base64", media_type="image/png", data="@@")), "Invalid base64 data"),
    (content(image(type="url", url="http://example.com/a.png")), "Only HTTPS URLs are supported."),
    (content(image(type="url", url="https://example.com/a.png"), role="assistant"), "`image` blocks can only be in"),
    (
        content(
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}, role="assistant"
        ),
        "`document` blocks can only be in `user` messages",
    ),
    (
        content({"type": "text", "text": "x", "citations": [{"type": "char_location"}]}),
        "messages.0.content.0.text.citations: Extra inputs are not permitted",
    ),
    # cache marks
    (content(*[{"type": "text", "text": "x", **MARK}] * 5), "A maximum of 4 blocks with cache_control may be provided"),
    ({"cache_control": {"type": "ephemeral", "ttl": "2h"}}, "ttl: Input should be '5m' or '1h'"),
    # structured output
    (wish({"type": "object", "properties": {}}), "'additionalProperties' must be explicitly set to false"),
    (wish(closed(n={"type": "integer", "minimum": 0, "maximum": 9})), "properties maximum, minimum are not supported"),
    (wish(closed(n={"type": "array", "maxItems": 2})), "For 'array' type, properties maxItems are not supported"),
    (wish(closed(n={"anyOf": [{"type": "string", "minLength": 2}]})), "properties minLength are not supported"),
    # the rest
    ({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "word " * 200_001}]}, "prompt is too long"),
    ({"messages": [{"role": "user", "content": "[[sim: falt=x]]"}]}, "falt=x"),
    ({"messages": [{"role": "user", "content": "[[sim: fault=x]]"}]}, "unknown fault 'x'"),
]


def make_request(fields: dict[str, Any]) -> dict[str, Any]:
    """A good request with these fields; None takes one away."""
    request = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": [USER], **fields}
    return {name: value for name, value in request.items() if value is not None}


@pytest.mark.parametrize(("fields", "words"), CASES, ids=lambda value: str(value)[:70])
async def test_wrong_requests_are_refused_in_the_words_of_anthropic(
    http: httpx.AsyncClient, fields: dict[str, Any], words: str
) -> None:
    response = await http.post("/v1/messages", json=make_request(fields), headers={"anthropic-version": NEW})
    body = response.json()
    assert (response.status_code, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert words in body["error"]["message"]
    assert body["request_id"] == response.headers["request-id"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"temperature": 1}, "`temperature` is deprecated for this model."),
        ({**HAIKU, "temperature": 1.1}, "temperature: range: 0..1"),
        ({**HAIKU, "temperature": 0.5, "top_p": 0.9}, "`temperature` and `top_p` cannot both be specified"),
        (
            {**HAIKU, "temperature": 0.5, "thinking": BUDGET},
            "`temperature` may only be set to 1 when thinking is enabled",
        ),
    ],
)
async def test_old_version_takes_sampling_only_where_the_model_does(
    http: httpx.AsyncClient, fields: dict[str, Any], words: str
) -> None:
    response = await http.post("/v1/messages", json=make_request(fields), headers={"anthropic-version": OLD})
    assert response.status_code == 400
    assert words in response.json()["error"]["message"]


DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        (OLD, {**HAIKU, "temperature": 0.5}),
        (OLD, {**HAIKU, "temperature": 1, "thinking": BUDGET}),
        (OLD, content(DOCUMENT, role="assistant")),
        (NEW, {**HAIKU, "messages": [USER, {"role": "assistant", "content": "I"}]}),
        (NEW, {"messages": [USER, {"role": "assistant", "content": "x"}, {"role": "system", "content": "y"}, USER]}),
        (NEW, {"model": "claude-opus-5", "tools": [TOOL], "tool_choice": {"type": "any"}}),
        (NEW, {"model": "claude-opus-5-5", "tools": [TOOL], "messages": [USER, CALLED, ANSWERED]}),
        (NEW, wish(closed(minimum={"type": "string"}))),
        (NEW, content(thought("claude-opus-4-8"), {"type": "text", "text": "x"}, role="assistant")),
        (NEW, content(image(type="url", url="https://example.com/a.png"))),
        (NEW, content({"type": "text", "text": "x", "citations": None, "cache_control": None})),
    ],
    ids=lambda value: str(value)[:70],
)
async def test_what_looks_odd_but_is_right_is_taken(
    http: httpx.AsyncClient, version: str, fields: dict[str, Any]
) -> None:
    response = await http.post("/v1/messages", json=make_request(fields), headers={"anthropic-version": version})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("headers", "status", "kind", "words"),
    [
        ({"x-api-key": ""}, 401, "authentication_error", "x-api-key header is required"),
        ({"x-api-key": "sk-ant-real"}, 401, "authentication_error", "invalid x-api-key"),
        ({"x-api-key": "sk-bad", "authorization": "Bearer sk-sim-x"}, 401, "authentication_error", "invalid x-api-key"),
        ({"x-api-key": "", "authorization": "Bearer sk-bad"}, 401, "authentication_error", "invalid"),
        ({"anthropic-version": ""}, 400, "invalid_request_error", "anthropic-version: header is required"),
        ({"anthropic-version": "2024-01-01"}, 400, "invalid_request_error", "is not a valid version"),
    ],
)
async def test_key_and_version_are_checked_first(
    http: httpx.AsyncClient, headers: dict[str, str], status: int, kind: str, words: str
) -> None:
    response = await http.post("/v1/messages", content=b"no JSON", headers={"anthropic-version": NEW, **headers})
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (status, kind)
    assert words in error["message"]


async def test_right_key_wins_over_a_wrong_bearer_token(http: httpx.AsyncClient) -> None:
    headers = {"anthropic-version": NEW, "authorization": "Bearer sk-bad"}
    assert (await http.post("/v1/messages", json=make_request({}), headers=headers)).status_code == 200


async def test_body_over_32_megabytes_is_too_large(http: httpx.AsyncClient) -> None:
    body = b'{"model":"' + b"x" * (32 * 1024 * 1024) + b'"}'
    response = await http.post("/v1/messages", content=body, headers={"anthropic-version": NEW})
    assert (response.status_code, response.json()["error"]["type"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/messages", 405), ("POST", "/v1/messages/batches", 404)]
)
async def test_other_paths_are_answered_in_the_vendors_shape(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await http.request(method, path, headers={"anthropic-version": NEW})
    assert (response.status_code, response.json()["type"]) == (status, "error")


async def test_counting_refuses_the_knobs_of_creating(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/messages/count_tokens", json=make_request({}), headers={"anthropic-version": NEW})
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "max_tokens: Extra inputs are not permitted"


async def test_sdk_turns_refusals_into_its_typed_exceptions(simulator: Simulator) -> None:
    async with AsyncAnthropic(api_key="sk-bad", base_url=simulator.root_url, max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(**make_request({}))
    async with AsyncAnthropic(api_key="sk-sim-x", base_url=simulator.root_url, max_retries=0) as client:
        with pytest.raises(anthropic.NotFoundError, match="model: claude-1"):
            await client.messages.create(**make_request({"model": "claude-1"}))
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.create(**make_request({"messages": []}))
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id is not None
