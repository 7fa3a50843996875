"""Acceptance over HTTP: the SDK that people use, idempotency across kills, bad input, large bodies, jobs."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from openai import AsyncOpenAI, NotFoundError, OpenAI

from tests.chaos.platform import KEY, Platform

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120), pytest.mark.alone]
CHAT = "/v1/chat/completions"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(running: Platform) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=running.gateway, timeout=40, limits=limits) as client:
        yield client


def bearer(key: str = KEY, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "content-type": "application/json"} | more


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "steady", "messages": [{"role": "user", "content": text}]} | more


def calls(running: Platform, mark: str) -> int:
    """How often the provider was asked this."""
    return sum(mark.encode() in entry.body for entry in running.simulator.world.journal.entries)


async def kill(running: Platform, stage: str) -> None:
    name = next(name for name in running.children if stage in name.rsplit("-", 1)[0].split("+"))
    before = running.children[name]
    running.kill(name)
    await running.until(lambda: running.children[name] != before)


# --- the unmodified SDK -------------------------------------------------------------------------------------------


async def test_the_sync_sdk_gets_an_answer_and_the_models(running: Platform) -> None:
    def use() -> tuple[Any, Any, Any]:
        with OpenAI(base_url=running.gateway + "/v1", api_key=KEY, max_retries=0) as sdk:
            answer = sdk.chat.completions.create(model="steady", messages=[{"role": "user", "content": "sync"}])
            return answer, list(sdk.models.list()), sdk.models.retrieve("gpt-4.1-mini")

    answer, models, model = await asyncio.to_thread(use)
    assert answer.choices[0].message.content and answer.usage.total_tokens > 0
    assert {"auto", "steady", "gpt-4.1-mini", "gpt-4.1-nano"} <= {row.id for row in models}
    assert (model.id, model.object) == ("gpt-4.1-mini", "model")


async def test_the_async_sdk_streams_what_is_stored(running: Platform, http: httpx.AsyncClient) -> None:
    async with AsyncOpenAI(base_url=running.gateway + "/v1", api_key=KEY, max_retries=0) as sdk:
        whole = await sdk.chat.completions.create(model="auto", messages=[{"role": "user", "content": "async"}])
        assert whole.choices[0].finish_reason == "stop"
        raw = await sdk.chat.completions.with_raw_response.create(
            model="steady",
            messages=[{"role": "user", "content": "streamed [[sim: tokens=60 cadence_ms=5]]"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in raw.parse()]
        with pytest.raises(NotFoundError):
            await sdk.models.retrieve("no-such-model")
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    stored = (await http.get("/v1/requests/" + raw.headers["x-request-id"], headers=bearer())).json()
    assert len(chunks) > 5
    assert streamed == stored["response"]["choices"][0]["message"]["content"]
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == stored["usage"]["output_tokens"]
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


# --- idempotency --------------------------------------------------------------------------------------------------


async def ask(http: httpx.AsyncClient, body: bytes, name: str, key: str = KEY) -> httpx.Response:
    return await http.post(CHAT, content=body, headers=bearer(key, **{"idempotency-key": name}))


async def test_fifty_at_once_are_one_call_also_after_kills(running: Platform, http: httpx.AsyncClient) -> None:
    body = orjson.dumps(chat("fifty-at-once [[sim: latency_ms=300]]"))
    answers = await asyncio.gather(*(ask(http, body, "fifty") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert calls(running, "fifty-at-once") == 1

    await kill(running, "gateway")
    assert (await ask(http, body, "fifty")).content == answers[0].content
    await kill(running, "route")
    await kill(running, "gateway")
    assert (await ask(http, body, "fifty")).content == answers[0].content
    assert calls(running, "fifty-at-once") == 1

    other = await ask(http, orjson.dumps(chat("something else")), "fifty")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    foreign = await ask(http, body, "fifty", KEY + "-other")
    assert foreign.status_code == 200 and foreign.json()["id"] != answers[0].json()["id"]
    assert calls(running, "fifty-at-once") == 2


async def test_a_gateway_that_dies_under_fifty_callers_makes_no_second_call(
    running: Platform, http: httpx.AsyncClient
) -> None:
    body = orjson.dumps(chat("dies-under [[sim: latency_ms=4000]]"))
    first = [asyncio.create_task(ask(http, body, "dies")) for _ in range(25)]
    await running.simulator.world.journal.wait(lambda entry: b"dies-under" in entry.body)
    await kill(running, "gateway")
    lost = await asyncio.gather(*first, return_exceptions=True)
    assert all(isinstance(error, httpx.TransportError) for error in lost)
    answers = await asyncio.gather(*(ask(http, body, "dies") for _ in range(25)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert calls(running, "dies-under") == 1


async def test_two_bodies_at_once_under_one_key_are_one_answer_and_one_refusal(
    running: Platform, http: httpx.AsyncClient
) -> None:
    bodies = [orjson.dumps(chat(f"two-bodies {name} [[sim: latency_ms=200]]")) for name in "ab"]
    answers = await asyncio.gather(*(ask(http, bodies[number % 2], "two-bodies") for number in range(20)))
    even, odd = ({answer.status_code for answer in answers[start::2]} for start in (0, 1))
    assert (even, odd) in (({200}, {422}), ({422}, {200}))
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert calls(running, "two-bodies") == 1


async def test_a_stream_asked_again_is_the_stored_answer(running: Platform, http: httpx.AsyncClient) -> None:
    body = orjson.dumps(chat("stream-again [[sim: tokens=40 cadence_ms=10]]", stream=True))

    def text(answer: httpx.Response) -> str:
        frames = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
        assert answer.status_code == 200 and frames[-1] == "[DONE]", answer.text
        return "".join(orjson.loads(frame)["choices"][0]["delta"].get("content") or "" for frame in frames[:-1])

    texts = {text(answer) for answer in await asyncio.gather(*(ask(http, body, "stream") for _ in range(5)))}
    texts.add(text(await ask(http, body, "stream")))
    assert len(texts) == 1 and texts != {""}
    assert calls(running, "stream-again") == 1


async def test_a_job_asked_twice_is_one_job(running: Platform, http: httpx.AsyncClient) -> None:
    said = {"model": "steady", "body": chat("job-twice"), "idempotency_key": "job-twice"}
    created = [await http.post("/v1/requests", json=said, headers=bearer()) for _ in range(3)]
    assert {one.status_code for one in created} == {202}
    (request_id,) = {one.json()["id"] for one in created}
    assert (await until_done(http, request_id))["status"] == "ok"
    assert (await until_done(http, request_id))["status"] == "ok"
    assert calls(running, "job-twice") == 1


# --- bad input ----------------------------------------------------------------------------------------------------


def _json(value: Any) -> bytes:
    return orjson.dumps(value)


BAD: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("not JSON", b"hello", bearer(), 400, "invalid_request"),
    ("no object", b"[1]", bearer(), 400, "invalid_request"),
    ("no body", b"", bearer(), 400, "invalid_request"),
    ("NaN", b'{"model":"steady","messages":[{"role":"user","content":"x"}],"temperature":NaN}', bearer(), 400,
     "invalid_request"),
    ("messages of the wrong type", _json(chat("x") | {"messages": 5}), bearer(), 400, "invalid_request"),
    ("model of the wrong type", _json(chat("x") | {"model": 5}), bearer(), 400, "invalid_request"),
    ("stream of the wrong type", _json(chat("x") | {"stream": "yes"}), bearer(), 400, "invalid_request"),
    ("temperature of the wrong type", _json(chat("x", temperature="hot")), bearer(), 400, "invalid_request"),
    ("deep", b'{"model":"steady","messages":' + b"[" * 2000 + b"]" * 2000 + b"}", bearer(), 400, "invalid_request"),
    ("9 MiB", _json(chat("x" * (9 << 20))), bearer(), 413, "payload_too_large"),
    ("unknown model", _json(chat("x") | {"model": "gpt-99"}), bearer(), 404, "model_not_found"),
    ("no key", _json(chat("x")), {"content-type": "application/json"}, 401, "invalid_api_key"),
    ("wrong key", _json(chat("x")), bearer("mr_wrong"), 401, "invalid_api_key"),
    ("two keys", _json(chat("x")), bearer(**{"x-api-key": "mr_another"}), 400, "invalid_request"),
    ("deadline", _json(chat("x")), bearer(**{"x-deadline-ms": "soon"}), 400, "invalid_request"),
    ("no deadline", _json(chat("x")), bearer(**{"x-deadline-ms": "0"}), 400, "invalid_request"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "status", "code"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_input_is_a_typed_error(
    running: Platform, http: httpx.AsyncClient, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await http.post(CHAT, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (error["code"], set(error)) == (code, {"message", "type", "param", "code"})
    assert error["message"] and error["type"]
    assert answer.headers["x-request-id"] and answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/nowhere", 404), ("PUT", CHAT, 405), ("GET", "/v1/models/none", 404), ("GET", "/v1/requests/none", 404),
    ("DELETE", "/v1/requests/none", 404), ("POST", "/v1/feedback", 400), ("GET", "/v1/models", 200),
    ("GET", "/healthz", 200), ("GET", "/readyz", 200),
])  # fmt: skip
async def test_every_response_has_a_request_id(
    running: Platform, http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await http.request(method, path, headers=bearer())
    assert (answer.status_code, "error" in answer.json()) == (status, status >= 400), answer.text
    assert answer.headers["x-request-id"]


async def test_null_means_absent(running: Platform, http: httpx.AsyncClient) -> None:
    answer = await http.post(CHAT, json=chat("null", temperature=None, stream=None) | {"model": None}, headers=bearer())
    assert answer.status_code == 200, answer.text


# --- large bodies and jobs ----------------------------------------------------------------------------------------


async def test_a_body_of_a_mebibyte_is_answered(running: Platform, http: httpx.AsyncClient) -> None:
    text = "word " * (1 << 18)  # 1.25 MiB
    answer = await http.post(CHAT, json=chat(text[: 1 << 20] + " large-body", max_tokens=20), headers=bearer())
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    assert calls(running, "large-body") == 1


async def until_done(http: httpx.AsyncClient, request_id: str) -> dict[str, Any]:
    """The last event of the job."""
    name, seen = "", Counter[str]()
    async with http.stream("GET", f"/v1/requests/{request_id}/events", headers=bearer()) as stream:
        assert stream.status_code == 200
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
                seen[name] += 1
            elif line.startswith("data: ") and name == "response":
                return orjson.loads(line.removeprefix("data: ")) | {"seen": seen}
    raise AssertionError("the events ended without the outcome")


async def test_a_job_is_accepted_followed_and_read(running: Platform, http: httpx.AsyncClient) -> None:
    said = {"model": "steady", "body": chat("a job [[sim: latency_ms=300]]"), "stream": True, "tags": {"team": "x"}}
    created = await http.post("/v1/requests", json=said, headers=bearer())
    assert created.status_code == 202, created.text
    request_id = created.json()["id"]
    open_ = await http.get(f"/v1/requests/{request_id}", headers=bearer())
    assert open_.json()["status"] in {"queued", "running"}
    foreign = await http.get(f"/v1/requests/{request_id}", headers=bearer(KEY + "-other"))
    assert foreign.status_code == 404
    event = await until_done(http, request_id)
    done = await http.get(f"/v1/requests/{request_id}", headers=bearer())
    assert (event["status"], done.json()["status"]) == ("ok", "ok")
    assert event["seen"]["delta"] > 0
    assert done.json()["tags"] == {"team": "x"}
    assert done.json()["response"]["choices"][0]["message"]["content"]


async def test_deleting_a_slow_job_hangs_up_on_the_provider(running: Platform, http: httpx.AsyncClient) -> None:
    said = {"model": "steady", "body": chat("slow-job [[sim: latency_ms=30000]]")}
    request_id = (await http.post("/v1/requests", json=said, headers=bearer())).json()["id"]
    journal = running.simulator.world.journal
    assert await journal.wait(lambda entry: b"slow-job" in entry.body)
    start = time.monotonic()
    deleted = await http.delete(f"/v1/requests/{request_id}", headers=bearer())
    assert deleted.status_code == 202, deleted.text
    assert await journal.wait(lambda entry: b"slow-job" in entry.body and entry.outcome == "hung_up", timeout_s=2)
    assert time.monotonic() - start < 2
    event = await until_done(http, request_id)
    assert (event["status"], event["error"]["code"]) == ("error", "cancelled")
    again = await http.delete(f"/v1/requests/{request_id}", headers=bearer())
    assert again.json()["status"] == "finished"


async def test_hanging_up_hangs_up_on_the_provider(running: Platform, http: httpx.AsyncClient) -> None:
    body = chat("hang-up [[sim: cadence_ms=100 tokens=300]]", stream=True)
    async with http.stream("POST", CHAT, json=body, headers=bearer()) as stream:
        await anext(stream.aiter_lines())
    found = await running.simulator.world.journal.wait(
        lambda entry: b"hang-up" in entry.body and entry.outcome == "hung_up", timeout_s=2
    )
    assert len(found) == 1
