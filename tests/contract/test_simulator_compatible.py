"""The simulated compatible server: plain as vLLM, strict, and odd in each of the ways that its table names."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

import connectors.simulator
from connectors.simulator import Allowance, Simulator, serve
from connectors.simulator.compatible.quirks import NAMES

USER = {"role": "user", "content": "hello"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": CITY}},
    {"type": "function", "function": {"name": "read_clock", "parameters": CITY}},
]
BOTH = "What do weather and clock say in Zürich?"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(speed=0, seed=7, models=("house-model", "claude-house-1"))
    yield running
    await running.close()


@pytest.fixture
async def http(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{simulator.root_url}/compatible/v1") as client:
        yield client


def make_request(text: str = "hello", *, quirk: str = "", **fields: Any) -> dict[str, Any]:
    said = f"{text} [[sim: quirk={quirk}]]" if quirk else text
    return {"model": "qwen3-edge-8b", "messages": [{"role": "user", "content": said}], **fields}


async def chunks(http: httpx.AsyncClient, text: str = "hello", *, quirk: str = "", **fields: Any) -> list[Any]:
    """The chunks of a stream, whatever its framing."""
    answer = await http.post("/chat/completions", json=make_request(text, quirk=quirk, stream=True, **fields))
    assert answer.status_code == 200, answer.text
    lines = answer.content.replace(b"\r\n", b"\n").split(b"\n")
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]


async def message(http: httpx.AsyncClient, text: str = "hello", *, quirk: str = "", **fields: Any) -> dict[str, Any]:
    answer = await http.post("/chat/completions", json=make_request(text, quirk=quirk, **fields))
    assert answer.status_code == 200, answer.text
    choice = answer.json()["choices"][0]
    return {**choice["message"], "finish_reason": choice["finish_reason"]}


def deltas(told: list[Any]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in told for choice in chunk["choices"]]


def pieces(told: list[Any]) -> list[dict[str, Any]]:
    return [call for delta in deltas(told) for call in delta.get("tool_calls", ())]


def test_every_quirk_is_documented() -> None:
    assert all(f"`{name}`" in (connectors.simulator.__doc__ or "") for name in NAMES)


async def test_plain_answer_has_nothing_that_only_openai_says(http: httpx.AsyncClient) -> None:
    answer = await http.post("/chat/completions", json=make_request())
    body = answer.json()
    assert set(body) == {"id", "object", "created", "model", "choices", "usage"}
    assert set(body["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert set(body["choices"][0]["message"]) == {"role", "content"}
    assert not [name for name in answer.headers if name.startswith(("x-ratelimit", "x-request", "openai"))]


async def test_streamed_and_unstreamed_answers_are_equal(http: httpx.AsyncClient) -> None:
    for quirk in ("", "reasoning", "usage_last_content", "azure_first+created_zero"):
        whole = (await http.post("/chat/completions", json=make_request(quirk=quirk))).json()
        told = await chunks(http, quirk=quirk, stream_options={"include_usage": True})
        assert "".join(d.get("content") or "" for d in deltas(told)) == whole["choices"][0]["message"]["content"]
        assert told[-1]["usage"] == whole["usage"]


async def test_sdk_reads_plain_and_odd_answers(simulator: Simulator) -> None:
    base = f"{simulator.root_url}/compatible/v1"
    async with AsyncOpenAI(api_key="sk-sim-test", base_url=base, max_retries=0) as client:
        for quirk in ("", "crlf+comments+no_role+name_every_piece+azure_first", "whole_arguments+usage_last_content"):
            request: dict[str, Any] = make_request(BOTH, quirk=quirk, tools=TOOLS)
            stream = await client.chat.completions.create(**request, stream=True)
            names = [
                call.function.name
                async for chunk in stream
                for choice in chunk.choices
                for call in choice.delta.tool_calls or ()
                if call.function and call.function.name
            ]
            assert list(dict.fromkeys(names)) == ["get_weather", "read_clock"]


async def test_max_tokens_is_known_and_its_newer_name_read_past(http: httpx.AsyncClient) -> None:
    assert (await message(http, max_tokens=5))["finish_reason"] == "length"
    assert (await message(http, max_completion_tokens=5))["finish_reason"] == "stop"


async def test_models_added_by_name_are_served_but_not_those_of_other_vendors(http: httpx.AsyncClient) -> None:
    assert (await message(http, model="house-model"))["content"]
    assert (await http.post("/chat/completions", json=make_request(model="claude-house-1"))).status_code == 404
    names = [row["id"] for row in (await http.get("/models")).json()["data"]]
    assert "house-model" in names
    assert "claude-house-1" not in names


async def test_embeddings_are_served(http: httpx.AsyncClient) -> None:
    answer = await http.post("/embeddings", json={"model": "text-embedding-3-small", "input": ["a", "b"]})
    assert [len(row["embedding"]) for row in answer.json()["data"]] == [1_536, 1_536]
    assert (await http.post("/embeddings", json={"model": "qwen3-edge-8b", "input": "a"})).status_code == 400
    assert (await http.post("/embeddings", json={"model": "x", "input": "a", "store": True})).status_code == 422


async def test_key_may_be_missing_but_not_wrong(http: httpx.AsyncClient) -> None:
    for key, status in (("sk-sim-x", 200), ("sk-bad-x", 401), ("sk-live-x", 401)):
        assert (await http.get("/models", headers={"authorization": f"Bearer {key}"})).status_code == status
    assert (await http.get("/models")).status_code == 200


REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"messages": [{"role": "developer", "content": "x"}, USER]}, 400, "Unexpected message role."),
    ({"tools": []}, 400, "'tools'"),
    ({"tool_choice": "auto"}, 400, "only allowed when 'tools' are specified"),
    ({"model": "gpt-9"}, 404, "does not exist"),
    ({"model": "text-embedding-3-small"}, 400, "does not support Chat Completions API"),
    ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, 400, "Unknown part type: file"),
    ({"messages": [USER, {"role": "tool", "tool_call_id": "call_1", "content": "x"}]}, 400, "preceeding message"),
    ({"max_tokens": 40_000}, 400, "maximum context length is 32768 tokens"),
    ({"model": "qwen3-edge-8b@no_rule"}, 400, "unknown quirk 'no_rule'"),
]


@pytest.mark.parametrize(("fields", "status", "words"), REFUSALS, ids=lambda value: str(value)[:60])
async def test_refusals_are_bare_objects(
    http: httpx.AsyncClient, fields: dict[str, Any], status: int, words: str
) -> None:
    response = await http.post("/chat/completions", json=make_request(**fields))
    body = response.json()
    assert (response.status_code, body["object"], body["code"]) == (status, "error", status)
    assert words in body["message"]


UNPROCESSABLE: list[tuple[dict[str, Any], list[Any]]] = [
    ({"user": "ada"}, ["body", "user"]),
    ({"store": False}, ["body", "store"]),
    ({"messages": None}, ["body", "messages"]),
    ({"messages": [{"role": "user", "content": None}]}, ["body", "messages", 0, "content"]),
    ({"messages": [{"role": "assistant", "content": "x", "tool_calls": None}]}, ["body", "messages", 0, "tool_calls"]),
]


@pytest.mark.parametrize(("fields", "where"), UNPROCESSABLE, ids=lambda value: str(value)[:60])
async def test_what_does_not_fit_the_model_of_the_body_is_fastapis_422(
    http: httpx.AsyncClient, fields: dict[str, Any], where: list[Any]
) -> None:
    response = await http.post("/chat/completions", json=make_request(**fields))
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == where


async def test_wrong_paths_are_fastapis_too(http: httpx.AsyncClient) -> None:
    assert (await http.post("/responses", json={})).json() == {"detail": "Not Found"}
    assert (await http.get("/chat/completions")).status_code == 405


@pytest.mark.parametrize(
    ("fault", "status"),
    [("overloaded", 503), ("rate_limited", 429), ("quota_exhausted", 402), ("invalid_request", 422), ("auth", 401)],
)
async def test_faults_have_the_statuses_of_such_servers(http: httpx.AsyncClient, fault: str, status: int) -> None:
    response = await http.post("/chat/completions", json=make_request(f"x [[sim: fault={fault}]]"))
    assert response.status_code == status
    assert response.headers.get("retry-after") == ("1" if fault == "rate_limited" else None)


async def test_failure_after_the_start_is_a_bare_object(http: httpx.AsyncClient) -> None:
    told = json.loads(
        (await http.post("/chat/completions", json=make_request("x [[sim: fault=error_mid_stream]]", stream=True)))
        .content.split(b"\n\n")[-2]
        .removeprefix(b"data: ")
    )
    assert (told["object"], told["code"]) == ("error", 500)


async def test_empty_bucket_is_429_with_a_hint() -> None:
    running = await serve(speed=0, allowance=Allowance(1, 10_000))
    async with httpx.AsyncClient(base_url=f"{running.root_url}/compatible/v1") as http:
        answers = [await http.post("/chat/completions", json=make_request()) for _ in range(2)]
    await running.close()
    assert [answer.status_code for answer in answers] == [200, 429]
    assert int(answers[1].headers["retry-after"]) >= 1


# -- quirks


async def test_quirk_may_stand_at_the_end_of_the_models_name(http: httpx.AsyncClient) -> None:
    told = await chunks(http, model="qwen3-edge-8b@no_role+created_zero")
    assert not any("role" in delta for delta in deltas(told))
    assert {(chunk["created"], chunk["model"]) for chunk in told} == {(0, "qwen3-edge-8b@no_role+created_zero")}
    assert "role" in deltas(await chunks(http))[0]


async def test_stop_is_said_although_tools_are_called(http: httpx.AsyncClient) -> None:
    said = await message(http, BOTH, quirk="stop_with_tools", tools=TOOLS)
    assert (len(said["tool_calls"]), said["finish_reason"]) == (2, "stop")
    told = await chunks(http, BOTH, quirk="stop_with_tools", tools=TOOLS)
    assert told[-1]["choices"][0]["finish_reason"] == "stop"


async def test_calls_at_index_zero_are_told_apart_by_their_ids(http: httpx.AsyncClient) -> None:
    found = pieces(await chunks(http, BOTH, quirk="index_zero", tools=TOOLS))
    assert {call["index"] for call in found} == {0}
    assert len({call["id"] for call in found if "id" in call}) == 2


async def test_arguments_come_whole_as_text_or_as_an_object(http: httpx.AsyncClient) -> None:
    plain = await message(http, BOTH, tools=TOOLS)
    for quirk, read in (("whole_arguments", json.loads), ("object_arguments", dict)):
        found = pieces(await chunks(http, BOTH, quirk=quirk, tools=TOOLS))
        assert [call["function"]["name"] for call in found] == ["get_weather", "read_clock"]
        assert [read(call["function"]["arguments"]).keys() for call in found] == [{"city": 0}.keys()] * 2
    odd = await message(http, BOTH, quirk="object_arguments", tools=TOOLS)
    assert isinstance(odd["tool_calls"][0]["function"]["arguments"], dict)
    assert isinstance(plain["tool_calls"][0]["function"]["arguments"], str)


async def test_ids_are_missing_or_names_repeated(http: httpx.AsyncClient) -> None:
    assert not any("id" in call for call in pieces(await chunks(http, BOTH, quirk="no_ids", tools=TOOLS)))
    assert not any("id" in call for call in (await message(http, BOTH, quirk="no_ids", tools=TOOLS))["tool_calls"])
    found = pieces(await chunks(http, BOTH, quirk="name_every_piece", tools=TOOLS))
    assert len(found) > 2
    assert all(call["id"] and call["function"]["name"] for call in found)


async def test_usage_comes_with_the_last_content_or_on_every_chunk(http: httpx.AsyncClient) -> None:
    last = (await chunks(http, quirk="usage_last_content"))[-1]
    assert last["usage"]["completion_tokens"] > 0
    assert last["choices"][0]["delta"]["content"]
    assert last["choices"][0]["finish_reason"] == "stop"
    told = await chunks(http, quirk="usage_every_chunk")
    counts = [chunk["usage"]["completion_tokens"] for chunk in told]
    assert counts == sorted(counts)
    assert len(set(counts)) > 2


async def test_framing_is_odd_but_complete(http: httpx.AsyncClient) -> None:
    for quirk, bytes_, there in (
        ("comments", b": ping\n\ndata:", True),
        ("crlf", b"\r\n\r\n", True),
        ("no_done", b"[DONE]", False),
    ):
        answer = await http.post("/chat/completions", json=make_request(quirk=quirk, stream=True))
        assert (bytes_ in answer.content) == there
        assert deltas(await chunks(http, quirk=quirk))


async def test_first_chunk_may_be_blank(http: httpx.AsyncClient) -> None:
    first, second = (await chunks(http, quirk="azure_first"))[:2]
    assert (first["id"], first["model"], first["choices"]) == ("", "", [])
    assert second["id"].startswith("chatcmpl-")


async def test_thoughts_stand_under_either_name_or_among_the_content(http: httpx.AsyncClient) -> None:
    text = "hello [[sim: reasoning_tokens=20]]"
    plain = await message(http, text)
    assert "The user said “hello”." in plain["reasoning_content"]
    assert (await message(http, text, quirk="reasoning"))["reasoning"].startswith("The user said")
    parts = (await message(http, text, quirk="list_content"))["content"]
    assert [part["type"] for part in parts] == ["thinking", "text"]
    streamed = deltas(await chunks(http, text))
    assert "".join(delta.get("reasoning_content", "") for delta in streamed) == plain["reasoning_content"]
    assert all(isinstance(d["content"], list) for d in deltas(await chunks(http, quirk="list_content"))[1:-1])
