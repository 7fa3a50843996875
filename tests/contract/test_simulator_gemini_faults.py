"""Each fault of the simulator as Gemini spells it, before the start, in the middle and at the end of an answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from connectors.simulator import Allowance, Simulator, serve

MODEL = "gemini-3-flash"
LONG_S = 30.0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(speed=0)
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-goog-api-key": "sk-sim-test"}
    url = f"{simulator.root_url}/v1beta/models"
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=LONG_S) as client:
        yield client


def make_request(directive: str) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": f"Say it again [[sim: {directive}]]"}]}]}


def action(*, stream: bool) -> str:
    return f"/{MODEL}:streamGenerateContent?alt=sse" if stream else f"/{MODEL}:generateContent"


async def ask(http: httpx.AsyncClient, directive: str, *, stream: bool = False) -> httpx.Response:
    return await http.post(action(stream=stream), json=make_request(directive))


def events(body: bytes) -> list[Any]:
    return [json.loads(event[6:]) for event in body.split(b"\r\n\r\n") if event]


def details(response: httpx.Response) -> dict[str, dict[str, Any]]:
    rows = response.json()["error"].get("details", [])
    return {row["@type"].rpartition(".")[2]: row for row in rows}


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        ("invalid_request", 400, "INVALID_ARGUMENT"),
        ("context_too_long", 400, "INVALID_ARGUMENT"),
        ("auth", 400, "INVALID_ARGUMENT"),
        ("billing", 400, "FAILED_PRECONDITION"),
        ("permission", 403, "PERMISSION_DENIED"),
        ("not_found", 404, "NOT_FOUND"),
        ("conflict", 409, "ABORTED"),
        ("quota_exhausted", 429, "RESOURCE_EXHAUSTED"),
        ("rate_limited", 429, "RESOURCE_EXHAUSTED"),
        ("provider_fault", 500, "INTERNAL"),
        ("overloaded", 503, "UNAVAILABLE"),
        ("timeout", 504, "DEADLINE_EXCEEDED"),
        ("error_200", 200, "INTERNAL"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_have_the_status_of_google(
    http: httpx.AsyncClient, fault: str, status: int, name: str, stream: bool
) -> None:
    response = await ask(http, f"fault={fault}", stream=stream)
    assert response.status_code == status
    assert response.json()["error"]["status"] == name
    assert response.headers["content-type"] == "application/json; charset=UTF-8"
    assert "retry-after" not in response.headers


async def test_reasons_and_hints_are_in_the_details(http: httpx.AsyncClient) -> None:
    limited = details(await ask(http, "fault=rate_limited retry_after_s=2.4"))
    assert limited["RetryInfo"]["retryDelay"] == "2.4s"
    assert "PerMinute" in limited["QuotaFailure"]["violations"][0]["quotaId"]
    exhausted = details(await ask(http, "fault=quota_exhausted"))
    assert "PerDay" in exhausted["QuotaFailure"]["violations"][0]["quotaId"]
    assert details(await ask(http, "fault=auth"))["ErrorInfo"]["reason"] == "API_KEY_INVALID"
    assert details(await ask(http, "fault=overloaded retry_after_s=3"))["RetryInfo"]["retryDelay"] == "3s"
    assert details(await ask(http, "fault=overloaded")) == {}
    long = (await ask(http, "fault=context_too_long")).json()["error"]["message"]
    assert long == "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."


async def test_empty_buckets_are_a_429_with_the_time_to_wait(simulator: Simulator, http: httpx.AsyncClient) -> None:
    simulator.world.limiter.set(Allowance(requests_per_minute=1, tokens_per_minute=10_000))
    assert (await ask(http, "tokens=5")).status_code == 200
    refused = await ask(http, "tokens=5")
    assert refused.status_code == 429
    assert details(refused)["RetryInfo"]["retryDelay"].endswith("s")
    listed = await http.post(f"/{MODEL}:streamGenerateContent", json=make_request("tokens=5"))
    assert [row["error"]["code"] for row in listed.json()] == [429]


async def test_only_the_first_attempts_fail(http: httpx.AsyncClient) -> None:
    assert [(await ask(http, "fault=overloaded fail_attempts=1")).status_code for _ in range(2)] == [503, 200]


@pytest.mark.parametrize("stream", [False, True])
async def test_blocked_prompt_has_a_reason_and_no_candidates(http: httpx.AsyncClient, stream: bool) -> None:
    response = await ask(http, "fault=content_filtered", stream=stream)
    assert response.status_code == 200
    body = events(response.content)[0] if stream else response.json()
    assert body["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in body
    assert body["usageMetadata"]["promptTokenCount"] > 0


@pytest.mark.parametrize(
    ("directive", "reason", "has_content"),
    [
        ("fault=content_filter", "SAFETY", True),
        ("fault=refusal", "PROHIBITED_CONTENT", False),
        ("finish=RECITATION", "RECITATION", True),
        ("finish=MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL", False),
        ("finish=CONTINUATION", "CONTINUATION", True),
        ("finish=SOMETHING_NEW", "SOMETHING_NEW", True),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_endings_are_said_as_finish_reasons(
    http: httpx.AsyncClient, directive: str, reason: str, has_content: bool, stream: bool
) -> None:
    response = await ask(http, directive, stream=stream)
    bodies = events(response.content) if stream else [response.json()]
    assert [body["candidates"][0].get("finishReason") for body in bodies] == [None] * (len(bodies) - 1) + [reason]
    assert ("content" in bodies[0]["candidates"][0]) == has_content


async def test_early_end_is_a_proper_end_without_finish_reason(http: httpx.AsyncClient) -> None:
    found = events((await ask(http, "fault=early_end after=4", stream=True)).content)
    assert len(found) == 4
    assert all("finishReason" not in body["candidates"][0] for body in found)
    late = events((await ask(http, "fault=early_end after=9999", stream=True)).content)
    assert all("finishReason" not in body["candidates"][0] for body in late)


async def test_error_in_the_middle_is_an_event_and_the_last_one(http: httpx.AsyncClient) -> None:
    *good, error = events((await ask(http, "fault=error_mid_stream after=2", stream=True)).content)
    assert len(good) == 2
    assert error["error"]["status"] == "INTERNAL"
    assert (await ask(http, "fault=error_mid_stream")).status_code == 500


@pytest.mark.parametrize("after", [0, 2])
async def test_error_in_the_middle_of_a_list_is_its_last_item(http: httpx.AsyncClient, after: int) -> None:
    request = make_request(f"fault=error_mid_stream after={after}")
    *good, error = (await http.post(f"/{MODEL}:streamGenerateContent", json=request)).json()
    assert (len(good), error["error"]["code"]) == (after, 500)


@pytest.mark.parametrize("stream", [False, True])
async def test_malformed_and_wrong_bodies(http: httpx.AsyncClient, stream: bool) -> None:
    malformed = await ask(http, "fault=malformed", stream=stream)
    with pytest.raises(json.JSONDecodeError):
        _ = events(malformed.content) if stream else malformed.json()
    assert (await ask(http, "fault=wrong_shape", stream=stream)).json() == {"candidates": [{"content": "none"}]}
    assert (await ask(http, "fault=empty_body", stream=stream)).content == b""
    assert b"usageMetadata" not in (await ask(http, "fault=no_usage", stream=stream)).content
    assert (await ask(http, "fault=html_502", stream=stream)).headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("framing", ["split_bytes", "join_events", "comments", "crlf", "drip"])
async def test_odd_framing_changes_no_content(http: httpx.AsyncClient, framing: str) -> None:
    content = (await ask(http, f"fault={framing}", stream=True)).content
    assert b"\r\r\n" not in content
    found = events(content.replace(b": still thinking\n\n", b""))
    said = [part["text"] for body in found for part in body["candidates"][0]["content"]["parts"]]
    assert "".join(said).startswith("You said “Say it again”")
    assert found[-1]["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize("fault", ["reset", "close"])
async def test_connection_breaks_before_the_headers(http: httpx.AsyncClient, fault: str) -> None:
    with pytest.raises(httpx.ReadError if fault == "reset" else httpx.RemoteProtocolError):
        await ask(http, f"fault={fault}", stream=True)


@pytest.mark.parametrize("stream", [False, True])
async def test_hang_up_is_recorded(simulator: Simulator, http: httpx.AsyncClient, stream: bool) -> None:
    journal = simulator.world.journal
    calling = asyncio.create_task(ask(http, "fault=hang_before_headers", stream=stream))
    entry = (await journal.wait(lambda e: e.phase == "waiting"))[0]
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert await journal.wait(lambda e: e.outcome == "hung_up") == [entry]
    assert (entry.model, entry.stream) == (MODEL, stream)
