"""The faults of the simulator in Anthropic's spelling, and streams that are cut anywhere without losing a byte."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import AsyncAnthropic

from connectors.simulator import Simulator, serve
from connectors.simulator.journal import HUNG_UP

LONG_S = 30.0
HEADERS = {"x-api-key": "sk-sim-test", "anthropic-version": "2026-10-21"}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(speed=0)
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=simulator.root_url, headers=HEADERS, timeout=LONG_S) as client:
        yield client


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(api_key="sk-sim-x", base_url=simulator.root_url, max_retries=0) as sdk:
        yield sdk


def make_request(directive: str, *, stream: bool = False, model: str = "claude-opus-4-8") -> dict[str, Any]:
    text = f"Say it again [[sim: {directive}]]"
    return {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": text}], "stream": stream}


async def ask(http: httpx.AsyncClient, directive: str, *, stream: bool = False, **fields: Any) -> httpx.Response:
    return await http.post("/v1/messages", json=make_request(directive, stream=stream, **fields))


def events(body: bytes) -> list[dict[str, Any]]:
    lines = body.replace(b"\r\n", b"\n").split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("invalid_request", 400, "invalid_request_error"),
        ("context_too_long", 400, "invalid_request_error"),
        ("content_filtered", 400, "invalid_request_error"),
        ("auth", 401, "authentication_error"),
        ("billing", 402, "billing_error"),
        ("permission", 403, "permission_error"),
        ("not_found", 404, "not_found_error"),
        ("conflict", 409, "conflict_error"),
        ("rate_limited", 429, "rate_limit_error"),
        ("quota_exhausted", 429, "rate_limit_error"),
        ("provider_fault", 500, "api_error"),
        ("timeout", 504, "timeout_error"),
        ("overloaded", 529, "overloaded_error"),
        ("error_200", 200, "api_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_have_the_status_and_type_of_anthropic(
    http: httpx.AsyncClient, fault: str, status: int, kind: str, stream: bool
) -> None:
    response = await ask(http, f"fault={fault}", stream=stream)
    body = response.json()
    assert (response.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["request_id"] == response.headers["request-id"]
    assert response.headers.get("retry-after") == ("1" if fault == "rate_limited" else None)
    assert "anthropic-ratelimit-requests-limit" in response.headers


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("rate_limited", anthropic.RateLimitError),
        ("provider_fault", anthropic.InternalServerError),
        ("permission", anthropic.PermissionDeniedError),
        ("overloaded", anthropic.APIStatusError),
        ("billing", anthropic.APIStatusError),
        ("quota_exhausted", anthropic.RateLimitError),
        ("html_502", anthropic.InternalServerError),
    ],
)
async def test_sdk_raises_its_typed_exceptions(
    client: AsyncAnthropic, fault: str, expected: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(expected):
        await client.messages.create(**make_request(f"fault={fault}"))


async def test_spent_quota_is_told_from_a_rate_limit_by_its_code(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.RateLimitError) as caught:
        await client.messages.create(**make_request("fault=quota_exhausted"))
    assert caught.value.error_code == "enforced_spend_limit_reached"
    assert "retry-after" not in caught.value.response.headers


async def test_error_after_the_start_is_an_overloaded_event(http: httpx.AsyncClient, client: AsyncAnthropic) -> None:
    response = await ask(http, "fault=error_mid_stream after=2", stream=True)
    assert response.status_code == 200
    assert b"event: error\n" in response.content
    last = events(response.content)[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "overloaded_error")
    seen = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        async for event in await client.messages.create(**make_request("fault=error_mid_stream after=2", stream=True)):
            seen.append(event.type)
    assert caught.value.type == "overloaded_error"
    assert seen.count("content_block_delta") == 2


@pytest.mark.parametrize(
    ("fault", "last", "stops"),
    [
        ("early_end", "content_block_delta", False),
        ("no_done", "message_delta", False),
        ("malformed", "message_stop", True),
    ],
)
async def test_streams_end_as_the_fault_says(http: httpx.AsyncClient, fault: str, last: str, stops: bool) -> None:
    response = await ask(http, f"fault={fault}", stream=True)
    names = [line[7:] for line in response.text.split("\n") if line.startswith("event: ")]
    assert (names[-1], "message_stop" in names) == (last, stops)
    if fault == "malformed":
        with pytest.raises(json.JSONDecodeError):
            events(response.content)


async def test_answer_without_usage_has_none_anywhere(http: httpx.AsyncClient) -> None:
    assert "usage" not in (await ask(http, "fault=no_usage")).json()
    assert b'"usage"' not in (await ask(http, "fault=no_usage", stream=True)).content


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["reset_mid_stream", "close_mid_stream"])
async def test_connection_breaks_in_the_middle(
    simulator: Simulator, http: httpx.AsyncClient, fault: str, stream: bool
) -> None:
    with pytest.raises(httpx.ReadError if fault == "reset_mid_stream" else httpx.RemoteProtocolError):
        await ask(http, f"fault={fault}", stream=stream)
    assert [entry.outcome for entry in simulator.world.journal.entries] == [fault]


@pytest.mark.parametrize("framing", ["split_bytes", "join_events", "comments", "crlf", "drip", "split_bytes+crlf"])
async def test_odd_framing_changes_no_answer(http: httpx.AsyncClient, client: AsyncAnthropic, framing: str) -> None:
    whole = (await ask(http, f"fault={framing}")).json()
    async with client.messages.stream(**without_stream(make_request(f"fault={framing}"))) as stream:
        assert (await stream.get_final_message()).to_dict() == whole


def without_stream(request: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name != "stream"}


async def test_only_the_first_attempts_fail_even_when_the_next_one_goes_to_another_vendor(
    simulator: Simulator, http: httpx.AsyncClient
) -> None:
    directive = "fail_attempts=1 fault=overloaded"
    assert (await ask(http, directive)).status_code == 529
    other = {"model": "gpt-4.1-mini", "messages": make_request(directive)["messages"]}
    headers = {"authorization": "Bearer sk-sim-test"}
    response = await http.post(f"{simulator.base_url}/chat/completions", json=other, headers=headers)
    assert response.status_code == 200


async def test_scripted_fault_hits_only_its_model(simulator: Simulator, http: httpx.AsyncClient) -> None:
    rules = [{"fault": "overloaded", "model": "claude-opus-5"}]
    await http.post(f"{simulator.control_url}/faults", json={"rules": rules})
    statuses = [
        (await ask(http, "tokens=5", model=model)).status_code for model in ("claude-opus-5", "claude-opus-4-8")
    ]
    assert statuses == [529, 200]


async def test_caller_who_hangs_up_in_the_middle_is_noticed(simulator: Simulator, http: httpx.AsyncClient) -> None:
    request = make_request("fault=hang_mid_stream", stream=True)
    async with asyncio.timeout(LONG_S), http.stream("POST", "/v1/messages", json=request) as response:
        await anext(response.aiter_bytes())
    found = await simulator.world.journal.wait(lambda entry: entry.outcome == HUNG_UP)
    assert [(entry.model, entry.stream) for entry in found] == [("claude-opus-4-8", True)]
