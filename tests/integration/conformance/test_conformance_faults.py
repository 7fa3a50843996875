"""Every vendor's failures as callers see them: kinds, hints to wait, broken streams, retries, hang-ups; and no secrets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import openai
import orjson
import pytest

from connectors.simulator.journal import Entry
from tests.integration.conformance.exchange import Body, Clients, nonce_of, sent
from tests.integration.conformance.fault_cases import BROKEN, GONE, REFUSED_FAULTS, RETRIED
from tests.integration.conformance.vendors import CANARY, VENDORS

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(120)]
Outcome = Callable[[], Awaitable[Any]]
CHAT = "/v1/chat/completions"


@dataclass
class Reply:
    status: int
    headers: httpx.Headers
    text: str

    @property
    def error(self) -> Body:
        found: Body = orjson.loads(self.text)["error"]
        return found

    @property
    def frames(self) -> list[str]:
        return [line.removeprefix("data: ") for line in self.text.split("\n") if line.startswith("data: ")]


async def post(clients: Clients, body: Body, path: str = CHAT) -> Reply:
    got = await clients.http.post(path, json=body)
    return Reply(got.status_code, got.headers, got.text)


def asked(model: str, nonce: str, directive: str, **more: Any) -> Body:
    text = f"Say something about {nonce} [[sim: {directive}]]"
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 4_096, **more}


def tells_no_secret(clients: Clients, reply: Reply) -> None:
    """Neither a key, nor where the vendor listens, nor how we are built."""
    port = str(clients.running.simulator.port)
    shown = reply.text + "\n".join(f"{name}: {value}" for name, value in reply.headers.items())
    for word in (CANARY, "sk-", "127.0.0.1", f":{port}", "Traceback", 'File "', "http://", "https://", "<html"):
        assert word not in shown, word


def is_error(error: Body) -> None:
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"] and error["type"] and error["code"]


# --- before the first byte ----------------------------------------------------------------------------------------


async def _faults(clients: Clients, name: str) -> list[Reply]:
    case, vendor = REFUSED_FAULTS[name]
    bodies = [
        asked(f"once-{vendor}", nonce_of("fault", name, how), case.directive, stream=how == "streamed")
        for how in case.on
    ]
    return list(await asyncio.gather(*(post(clients, body) for body in bodies)))


@pytest.mark.parametrize("name", list(REFUSED_FAULTS))
async def test_a_failure_is_told_by_status_and_code(name: str, outcome: Outcome, clients: Clients) -> None:
    case, _ = REFUSED_FAULTS[name]
    for how, reply in zip(case.on, await outcome(), strict=True):
        assert reply.status == case.status, reply.text
        is_error(reply.error)
        assert reply.error["code"] in case.codes, reply.text
        assert reply.headers["x-should-retry"] == case.should_retry
        assert reply.headers["x-request-id"]
        if case.retry_after is not None:
            assert reply.headers["retry-after"] == case.retry_after
        tells_no_secret(clients, reply)
        assert len(sent(clients.running, nonce_of("fault", name, how))) == 1, "no retry where the route has none"


async def test_a_prompt_that_gemini_blocks_is_an_answer_that_says_so(clients: Clients) -> None:
    reply = await post(clients, asked("once-gemini", nonce_of("blocked"), "fault=content_filtered"))
    told = orjson.loads(reply.text)
    if reply.status == 200:
        assert told["choices"][0]["finish_reason"] == "content_filter"
    else:
        assert (reply.status, reply.error["code"]) == (400, "content_filter")


async def _locked(clients: Clients, vendor: str) -> list[Reply]:
    body = asked(f"{vendor}-locked", nonce_of("locked", vendor), "tokens=20")
    return [await post(clients, body), await post(clients, body | {"stream": True})]


@pytest.mark.parametrize("name", VENDORS)
async def test_a_wrong_key_of_ours_is_not_the_callers_and_never_shows(
    name: str, outcome: Outcome, clients: Clients
) -> None:
    for reply in await outcome():
        assert (reply.status, reply.error["code"]) == (502, "provider_auth_error"), reply.text
        tells_no_secret(clients, reply)


# --- inside a stream ----------------------------------------------------------------------------------------------


async def _breaks(clients: Clients, name: str) -> Reply:
    kind, vendor = BROKEN[name]
    directive = f"fault={kind} after=8 cadence_ms=30 tokens=80"
    return await post(clients, asked(f"once-{vendor}", nonce_of("break", name), directive, stream=True))


@pytest.mark.parametrize("name", list(BROKEN))
async def test_a_broken_stream_ends_in_an_error_and_never_as_finished(
    name: str, outcome: Outcome, clients: Clients
) -> None:
    reply = await outcome()
    assert reply.status == 200, reply.text
    *pieces, error, done = reply.frames
    chunks = [orjson.loads(piece) for piece in pieces]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks)
    is_error(orjson.loads(error)["error"])
    assert done == "[DONE]"
    tells_no_secret(clients, reply)
    assert len(sent(clients.running, nonce_of("break", name))) == 1


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_broken_stream_raises_in_the_sdks(vendor: str, clients: Clients) -> None:
    said: Any = asked(f"once-{vendor}", nonce_of("raises", vendor), "fault=early_end after=8 cadence_ms=30")
    responses: Any = clients.chat.responses.create
    messages: Any = clients.messages.messages.create

    async def read(opening: Awaitable[Any], raised: type[Exception]) -> None:
        events = await opening
        with pytest.raises(raised):
            async for _ in events:
                pass

    inputs = {"input": said["messages"], "model": said["model"], "store": False}
    await asyncio.gather(
        read(clients.chat.chat.completions.create(**said, stream=True), openai.APIError),
        read(responses(**inputs, stream=True), openai.APIError),
        read(messages(**said, stream=True), anthropic.APIError),
    )


# --- again, or not ------------------------------------------------------------------------------------------------


async def _again(clients: Clients, name: str) -> Reply:
    again, vendor = RETRIED[name]
    return await post(clients, asked(f"{vendor}-frail", nonce_of("again", name), again.directive))


@pytest.mark.parametrize("name", list(RETRIED))
async def test_a_vendor_is_called_again_only_where_that_helps(name: str, outcome: Outcome, clients: Clients) -> None:
    again, _ = RETRIED[name]
    reply = await outcome()
    assert reply.status == again.status, reply.text
    assert len(sent(clients.running, nonce_of("again", name))) == again.calls == int(reply.headers["x-attempts"])


# --- callers who go away ------------------------------------------------------------------------------------------


async def _leaves(clients: Clients, name: str) -> list[Entry]:
    when, vendor = GONE[name]
    nonce = nonce_of("gone", name)
    slow = "latency_ms=20000" if when == "before-the-first-byte" else "cadence_ms=100 tokens=300"
    body = asked(f"{vendor}-plain", nonce, slow, stream=when != "unstreamed")
    journal = clients.running.simulator.world.journal
    async with httpx.AsyncClient(timeout=30, headers=clients.http.headers, base_url=clients.http.base_url) as http:
        if when == "inside-the-stream":
            async with http.stream("POST", CHAT, json=body) as stream:
                await anext(stream.aiter_lines())
        else:
            waiting = asyncio.create_task(http.post(CHAT, json=body))
            assert await journal.wait(lambda entry: nonce.encode() in entry.body)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
    return await journal.wait(lambda entry: nonce.encode() in entry.body and entry.outcome == "hung_up", timeout_s=2)


@pytest.mark.parametrize("name", list(GONE))
async def test_a_caller_who_leaves_ends_the_call_of_the_vendor(name: str, outcome: Outcome, clients: Clients) -> None:
    left = await outcome()
    assert len(left) == 1
    assert len(sent(clients.running, nonce_of("gone", name))) == 1, "and nobody asks again"


EXCHANGES = {
    "test_a_failure_is_told_by_status_and_code": _faults,
    "test_a_wrong_key_of_ours_is_not_the_callers_and_never_shows": _locked,
    "test_a_broken_stream_ends_in_an_error_and_never_as_finished": _breaks,
    "test_a_vendor_is_called_again_only_where_that_helps": _again,
    "test_a_caller_who_leaves_ends_the_call_of_the_vendor": _leaves,
}
