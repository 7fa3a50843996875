"""Each fault of the simulator does what its table says, and a caller who hangs up is noticed wherever the answer is."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import connectors.simulator
from connectors.simulator import Simulator, serve
from connectors.simulator.faults import KINDS

LONG_S = 30.0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(speed=0)
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sk-sim-test"}
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers, timeout=LONG_S) as client:
        yield client


def make_request(directive: str, *, stream: bool = False, model: str = "gpt-4.1-mini") -> dict[str, Any]:
    text = f"Say it again [[sim: {directive}]]"
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}


async def ask(http: httpx.AsyncClient, directive: str, *, stream: bool = False, **fields: Any) -> httpx.Response:
    return await http.post("/chat/completions", json=make_request(directive, stream=stream, **fields))


def events(body: bytes) -> list[bytes]:
    return [event for event in body.replace(b"\r\n", b"\n").split(b"\n\n") if event]


def text_of(body: bytes) -> str:
    lines = [line for event in events(body) for line in event.split(b"\n") if line.startswith(b"data: {")]
    choices = [choice for line in lines for choice in json.loads(line[6:])["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_every_fault_is_documented() -> None:
    assert all(f"`{kind}`" in (connectors.simulator.__doc__ or "") for kind in KINDS)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("invalid_request", 400, None),
        ("context_too_long", 400, "context_length_exceeded"),
        ("content_filtered", 400, "content_policy_violation"),
        ("auth", 401, "invalid_api_key"),
        ("permission", 403, "insufficient_permissions"),
        ("not_found", 404, "model_not_found"),
        ("timeout", 408, "request_timeout"),
        ("conflict", 409, "conflict"),
        ("quota_exhausted", 429, "insufficient_quota"),
        ("rate_limited", 429, "rate_limit_exceeded"),
        ("provider_fault", 500, None),
        ("overloaded", 503, "server_is_overloaded"),
        ("error_200", 200, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_have_the_status_and_code_of_openai(
    http: httpx.AsyncClient, fault: str, status: int, code: str | None, stream: bool
) -> None:
    response = await ask(http, f"fault={fault}", stream=stream)
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert response.headers.get("retry-after") == ("1" if fault == "rate_limited" else None)


async def test_retry_after_is_as_wished(http: httpx.AsyncClient) -> None:
    response = await ask(http, "fault=overloaded retry_after_s=2.4")
    assert response.headers["retry-after"] == "3"
    assert response.headers["retry-after-ms"] == "2400"


async def test_html_502_is_html(http: httpx.AsyncClient) -> None:
    response = await ask(http, "fault=html_502")
    assert (response.status_code, response.headers["content-type"]) == (502, "text/html")
    assert "<html>" in response.text


async def test_only_the_first_attempts_fail_counted_over_all_models(http: httpx.AsyncClient) -> None:
    directive = "fail_attempts=2 fault=provider_fault"
    statuses = [
        (await ask(http, directive, model=model)).status_code for model in ("gpt-4.1", "gpt-4o", "gpt-4o", "gpt-4.1")
    ]
    assert statuses == [500, 500, 200, 200]


async def test_fault_of_one_model_spares_the_others(http: httpx.AsyncClient) -> None:
    directive = "fault=overloaded model=gpt-4.1"
    assert (await ask(http, directive, model="gpt-4.1")).status_code == 503
    assert (await ask(http, directive, model="gpt-4o")).status_code == 200


@pytest.mark.parametrize("fault", ["reset", "close"])
@pytest.mark.parametrize("stream", [False, True])
async def test_connection_breaks_before_the_headers(
    simulator: Simulator, http: httpx.AsyncClient, fault: str, stream: bool
) -> None:
    with pytest.raises(httpx.ReadError if fault == "reset" else httpx.RemoteProtocolError):
        await ask(http, f"fault={fault}", stream=stream)
    assert [(e.outcome, e.hung_up_at) for e in simulator.world.journal.entries] == [(fault, None)]


@pytest.mark.parametrize("fault", ["reset_mid_stream", "close_mid_stream"])
@pytest.mark.parametrize("stream", [False, True])
async def test_connection_breaks_in_the_middle(http: httpx.AsyncClient, fault: str, stream: bool) -> None:
    received = b""
    with pytest.raises(httpx.ReadError if fault.startswith("reset") else httpx.RemoteProtocolError):
        async with http.stream(
            "POST", "/chat/completions", json=make_request(f"fault={fault}", stream=stream)
        ) as answer:
            async for part in answer.aiter_bytes():
                received += part
    assert answer.status_code == 200
    assert received
    assert b"[DONE]" not in received


@pytest.mark.parametrize(
    ("directive", "stream", "phase", "received"),
    [
        ("fault=hang_before_headers", False, "waiting", 0),
        ("fault=hang_before_headers", True, "waiting", 0),
        ("latency_ms=60000", False, "waiting", 0),
        ("latency_ms=60000", True, "waiting", 0),
        ("fault=hang_after_headers", False, "streaming", 0),
        ("fault=hang_after_headers", True, "streaming", 0),
        ("fault=hang_mid_stream after=5", False, "streaming", 1),
        ("fault=hang_mid_stream after=5", True, "streaming", 6),
        ("cadence_ms=60000", True, "streaming", 1),
    ],
)
async def test_hang_up_is_recorded_wherever_the_answer_is(
    simulator: Simulator, http: httpx.AsyncClient, directive: str, stream: bool, phase: str, received: int
) -> None:
    journal = simulator.world.journal
    got = b""
    arrived = asyncio.Event()

    async def call() -> None:
        nonlocal got
        async with http.stream("POST", "/chat/completions", json=make_request(directive, stream=stream)) as answer:
            async for part in answer.aiter_raw():
                got += part
                if got.count(b"data: ") >= received or not stream:
                    arrived.set()

    calling = asyncio.create_task(call())
    entry = (await journal.wait(lambda e: e.phase == phase))[0]
    if received:
        await arrived.wait()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert await journal.wait(lambda e: e.outcome == "hung_up") == [entry]
    assert entry.phase == phase
    assert entry.hung_up_at is not None
    assert entry.hung_up_at >= entry.arrived_at
    assert bool(got) == bool(received)


async def test_early_end_is_a_proper_end_without_finish(http: httpx.AsyncClient) -> None:
    body = (await ask(http, "fault=early_end after=4", stream=True)).content
    assert len(events(body)) == 1 + 4
    assert b'"finish_reason":"stop"' not in body
    assert b"[DONE]" not in body


async def test_error_in_the_middle_is_an_event_and_the_last_one(http: httpx.AsyncClient) -> None:
    body = (await ask(http, "fault=error_mid_stream after=0", stream=True)).content
    role, error = events(body)
    assert b'"role":"assistant"' in role
    assert json.loads(error[6:])["error"]["type"] == "server_error"
    assert (await ask(http, "fault=error_mid_stream")).status_code == 500


async def test_malformed_answers_do_not_parse(http: httpx.AsyncClient) -> None:
    whole = await ask(http, "fault=malformed")
    assert whole.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        whole.json()
    streamed = await ask(http, "fault=malformed", stream=True)
    with pytest.raises(json.JSONDecodeError):
        text_of(streamed.content)
    assert streamed.content.endswith(b"data: [DONE]\n\n")


async def test_bodies_that_are_no_answers(http: httpx.AsyncClient) -> None:
    for stream in (False, True):
        assert (await ask(http, "fault=empty_body", stream=stream)).content == b""
        assert "message" not in (await ask(http, "fault=wrong_shape", stream=stream)).json()["choices"][0]
    assert "usage" not in (await ask(http, "fault=no_usage")).json()
    assert b"[DONE]" not in (await ask(http, "fault=no_done", stream=True)).content


async def test_filtered_and_refused_answers(http: httpx.AsyncClient) -> None:
    filtered = (await ask(http, "fault=content_filter")).json()["choices"][0]
    assert filtered["finish_reason"] == "content_filter"
    refused = (await ask(http, "fault=refusal")).json()["choices"][0]
    assert (refused["message"]["content"], refused["finish_reason"]) == (None, "stop")
    assert refused["message"]["refusal"]
    assert b'"delta":{"refusal":' in (await ask(http, "fault=refusal", stream=True)).content


@pytest.mark.parametrize(
    "framing", ["split_bytes", "join_events", "comments", "crlf", "drip", "crlf+split_bytes+comments"]
)
async def test_odd_framing_loses_nothing(http: httpx.AsyncClient, framing: str) -> None:
    request = make_request(f"fault={framing} tokens=60", stream=True)
    parts: list[bytes] = []
    async with http.stream("POST", "/chat/completions", json=request) as answer:
        async for part in answer.aiter_raw():
            parts.append(part)
    body = b"".join(parts)
    whole = (await ask(http, f"fault={framing} tokens=60")).json()
    assert text_of(body) == whole["choices"][0]["message"]["content"]
    assert events(body)[-1].endswith(b"data: [DONE]")
    assert (b"\r\n\r\n" in body) == ("crlf" in framing)
    assert (b": still thinking" in body) == ("comments" in framing)


async def test_scripted_faults_match_model_count_and_time(simulator: Simulator, http: httpx.AsyncClient) -> None:
    rules = [{"fault": "overloaded", "model": "gpt-4.1", "count": 1}, {"fault": "auth", "from_s": 3_600}]
    await http.post(f"{simulator.control_url}/faults", json={"rules": rules})
    statuses = [(await ask(http, "", model=model)).status_code for model in ("gpt-4o", "gpt-4.1", "gpt-4.1")]
    assert statuses == [200, 503, 200]


async def test_background_faults_come_in_their_share(simulator: Simulator, http: httpx.AsyncClient) -> None:
    await http.post(f"{simulator.control_url}/faults", json={"background": {"overloaded": 0.3, "provider_fault": 0.2}})
    answers = [await ask(http, "", model="gpt-4o") for _ in range(200)]
    counts = [sum(answer.status_code == status for answer in answers) for status in (503, 500, 200)]
    assert 40 <= counts[0] <= 80
    assert 20 <= counts[1] <= 60
    assert sum(counts) == 200


async def test_closing_ends_hanging_requests_without_calling_it_a_hang_up() -> None:
    running = await serve(speed=0)
    headers = {"authorization": "Bearer sk-sim-test"}
    async with httpx.AsyncClient(base_url=running.base_url, headers=headers, timeout=LONG_S) as client:
        calling = asyncio.create_task(ask(client, "fault=hang_before_headers"))
        entry = (await running.world.journal.wait(lambda e: e.phase == "waiting"))[0]
        await running.close()
        with pytest.raises(httpx.RemoteProtocolError):
            await calling
    assert (entry.outcome, entry.hung_up_at) == ("closed", None)
