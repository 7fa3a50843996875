"""Mistakes that others shipped (provider_contracts.md section 9), one test each, in the order and words of that section."""

import asyncio
import inspect
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import pytest
from gateway_house import NOW, House, answered, chat, failed
from vendor_house import ASKED, KEY, VENDORS, Vendor, ask, chunk, driven, saying, sse

from connectors.providers import Delta
from connectors.simulator import Simulator, serve
from schemas.completion import Completion
from schemas.errors import ERROR_KINDS, ErrorKind, ProviderError
from schemas.events import Request, Response

MISTAKES = """
choice index taken from Anthropic block index · parallel tool results in separate user messages · Gemini finish `STOP` with
calls said as `stop` · `thoughtSignature` lost, second turn 400 · tool ids colliding at index 0 · empty arguments `""` ·
cached tokens added twice or left out, other numbers when streamed · usage summed over Gemini chunks · mid-stream errors
swallowed, clean `stop` sent · early EOF taken for the end · `retry-after` not passed on · quota 429 retried · 503 and 529
turned into 500 · text lost at U+2028 · JSON cut at network chunk borders · no cancel upstream on hang-up (streamed,
unstreamed and before the first token) · thinking budget above `max_tokens` · unsupported parameters forwarded, or dropped
without a word · `n` ignored · schema keywords refused by the vendor · `developer` role sent to compatible servers · PDF
given as data URL inside base64 · FastAPI's 422 `detail` instead of the error shape · credential in the error text · status
200 for failures before the first byte · new chunk ids within one stream · stop reasons not in the table falling to `stop`
"""
ANTHROPIC, GEMINI, COMPATIBLE = VENDORS["anthropic"], VENDORS["gemini"], VENDORS["openai-compatible"]
SURFACES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "small", "messages": [ASKED]},
    "/v1/messages": {"model": "small", "max_tokens": 9, "messages": [ASKED]},
    "/v1/responses": {"model": "small", "input": "Weather?"},
}
CITY = {"type": "object", "properties": {"city": {"type": "string", "minLength": 2}}, "required": ["city"]}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather at a place", "parameters": CITY},
}

everyone = pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
everywhere = pytest.mark.parametrize("path", SURFACES)


class StandingClock:
    """Delays cost nothing."""

    def now(self) -> float:
        return NOW / 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(seed=7, clock=StandingClock())
    yield running
    await running.close()


def told(directive: str) -> dict[str, Any]:
    return {"role": "user", "content": f"Say something long. [[sim: {directive}]]"}


def answer(outcome: Completion | ProviderError) -> Completion:
    assert isinstance(outcome, Completion), outcome
    return outcome


def error(outcome: object) -> ProviderError:
    assert isinstance(outcome, ProviderError), outcome
    return outcome


def frames(text: str) -> list[Any]:
    """As a client reads them that splits lines where Python does."""
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def spoken(frame: dict[str, Any]) -> str:
    """The piece of text in a frame of any surface."""
    if frame.get("choices"):
        return str(frame["choices"][0]["delta"].get("content", ""))
    match frame.get("type"):
        case "response.output_text.delta":
            return str(frame["delta"])
        case "content_block_delta":
            return str(frame["delta"].get("text", ""))
        case _:
            return ""


def responding(make: Callable[[Request], Response]) -> Callable[[House, Request], None]:
    def answer(house: House, request: Request) -> None:
        house.respond(make(request))

    return answer


async def streamed(house: House, path: str = "/v1/chat/completions", **more: Any) -> httpx.Response:
    async with house.client() as client:
        return await client.post(path, json={**SURFACES[path], "stream": True, **more})


def test_a_tool_call_behind_thinking_and_text_is_call_nought_of_choice_nought() -> None:
    """choice index taken from Anthropic block index"""
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {}},
    ]
    starts = [{"type": "content_block_start", "index": at, "content_block": block} for at, block in enumerate(blocks)]
    events = [{"type": "message_start", "message": {}}, *starts]
    _, deltas = ANTHROPIC.streamed([sse(events)])
    assert {delta.index for delta in deltas} == {0}
    assert [call["index"] for delta in deltas for call in delta.delta.get("tool_calls", ())] == [0, 1]


def test_results_of_parallel_calls_go_back_in_one_turn_and_first() -> None:
    """parallel tool results in separate user messages"""
    calls = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for id, name in (("a", "f"), ("b", "g"))
    ]
    results = [{"role": "tool", "tool_call_id": id, "content": f"result {id}"} for id in "ab"]
    messages = [ASKED, {"role": "assistant", "tool_calls": calls}, *results, {"role": "user", "content": "And?"}]
    *_, last = ANTHROPIC.wire(*messages).json["messages"]
    assert [block.get("tool_use_id") or block["text"] for block in last["content"]] == ["a", "b", "And?"]
    assert last["role"] == "user"
    *_, last = GEMINI.wire(*messages).json["contents"]
    assert [p["functionResponse"]["name"] if "functionResponse" in p else p["text"] for p in last["parts"]] == [
        "f", "g", "And?"
    ]  # fmt: skip


@pytest.mark.parametrize("is_late", [False, True])
def test_geminis_stop_after_a_call_is_tool_calls(is_late: bool) -> None:
    """Gemini finish `STOP` with calls said as `stop`"""
    content = {"parts": [{"text": "I look."}, {"functionCall": {"name": "f", "args": {}}}]}
    pieces = (
        [{"content": content}, {"finishReason": "STOP"}] if is_late else [{"content": content, "finishReason": "STOP"}]
    )
    outcome, _ = GEMINI.streamed([sse({"candidates": [piece]} for piece in pieces)])
    assert answer(outcome).choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(("folder", "model"), [("gemini", "gemini-3-flash"), ("anthropic", "claude-opus-4-6")])
@pytest.mark.parametrize("stream", [False, True])
async def test_signatures_survive_a_client_that_echoes_ids_only(
    folder: str, model: str, stream: bool, simulator: Simulator
) -> None:
    """`thoughtSignature` lost, second turn 400"""
    at = VENDORS[folder]
    vendor = Vendor(at.folder, at.adapter_name, model, {}, at.path)
    question = {"role": "user", "content": "What is the weather in Paris?"}
    knobs: dict[str, Any] = {"tools": [TOOL], "reasoning_effort": "high", "max_tokens": 9_000}
    first = await ask(vendor, simulator, vendor.call(question, stream=stream, **knobs))
    assert isinstance(first.completion, Completion), first.error
    message = first.completion.choices[0].to_openai()["message"]
    calls = [{key: call[key] for key in ("id", "type", "function")} for call in message["tool_calls"]]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in calls]
    turn = vendor.call(question, {"role": "assistant", "content": None, "tool_calls": calls}, *results, **knobs)
    second = await ask(vendor, simulator, turn)
    assert second.error is None
    wire = vendor.adapter.to_wire(turn)
    sent = json.dumps(wire.json)  # type: ignore[union-attr]
    assert "ignature" in sent
    assert "skip_thought_signature_validator" not in sent
    assert "mrs1-" not in sent


@pytest.mark.parametrize("ids", [("a", "b"), ("", "")])
def test_calls_that_all_have_index_nought_stay_two(ids: tuple[str, str]) -> None:
    """tool ids colliding at index 0"""
    calls = [
        {"index": 0, "id": id, "function": {"name": name, "arguments": "{}"}}
        for id, name in zip(ids, "fg", strict=True)
    ]
    events = [*(chunk({"tool_calls": [call]}) for call in calls), chunk(finish_reason="tool_calls"), "[DONE]"]
    outcome, deltas = COMPATIBLE.streamed([sse(events)])
    kept = answer(outcome).choices[0].tool_calls
    assert [call.name for call in kept] == ["f", "g"]
    assert len({call.id for call in kept} - {""}) == 2
    assert [call["index"] for delta in deltas for call in delta.delta["tool_calls"]] == [0, 1]
    parts = [{"functionCall": {"name": name}} for name in "fg"]
    two = answer(GEMINI.whole({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}))
    assert len({call.id for call in two.choices[0].tool_calls}) == 2


@everyone
def test_a_call_without_arguments_has_an_empty_object(vendor: Vendor) -> None:
    """empty arguments `""`"""
    body, events = vendor.sample("tool-without-arguments")
    outcome, deltas = vendor.streamed([events])
    for said in (outcome, vendor.whole(body)):
        assert {call.arguments for call in answer(said).choices[0].tool_calls} == {"{}"}
    pieces = [call["function"]["arguments"] for delta in deltas for call in delta.delta.get("tool_calls", ())]
    assert "".join(pieces) == "{}"


CACHED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "openai": (
        {"prompt_tokens": 115, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 100}},
        {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]},
    ),
    "openai-responses": (
        {"input_tokens": 115, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 100}},
        {
            "status": "completed",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}],
        },
    ),
    "anthropic": (
        {"input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 5, "output_tokens": 9},
        {"content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"},
    ),
    "gemini": (
        {"promptTokenCount": 115, "candidatesTokenCount": 9, "cachedContentTokenCount": 100},
        {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]},
    ),
}


@everyone
def test_cached_tokens_are_counted_once_and_alike_in_a_stream(vendor: Vendor) -> None:
    """cached tokens added twice or left out, other numbers when streamed"""
    usage, body = CACHED[vendor.folder.removesuffix("-compatible")]
    events: list[Any]
    match vendor.folder:
        case "anthropic":
            first = {**usage, "output_tokens": 1}
            begun: list[Any] = [{"type": "message_start", "message": {"usage": first}}]
            events = begun + saying("anthropic", "a")[1:-2]
            cumulative = {**usage, "input_tokens": None}
            events += [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": cumulative}]
            events += [{"type": "message_stop"}]
        case "gemini":
            events = [{**body, "usageMetadata": usage}]
        case "openai-responses":
            closed = {"type": "response.completed", "response": {"status": "completed", "usage": usage}}
            events = [*saying("openai-responses", "a")[:-1], closed]
        case _:
            events = [*saying("openai", "a")[:-1], {"choices": [], "usage": usage}, "[DONE]"]
    whole = answer(vendor.whole({**body, "usageMetadata" if vendor is GEMINI else "usage": usage}))
    outcome, _ = vendor.streamed([sse(events)])
    assert answer(outcome).usage == whole.usage
    assert (whole.usage.input_tokens, whole.usage.cache_read_tokens, whole.usage.output_tokens) == (115, 100, 9)
    assert not whole.usage.estimated


def test_geminis_usage_is_that_of_the_last_piece() -> None:
    """usage summed over Gemini chunks"""
    usages = [{"promptTokenCount": 10, "candidatesTokenCount": said} for said in (1, 4, 9)]
    pieces = saying("gemini", "hello")
    outcome, _ = GEMINI.streamed(
        [sse({**one, "usageMetadata": usage} for one, usage in zip(pieces, usages, strict=True))]
    )
    assert (answer(outcome).usage.input_tokens, answer(outcome).usage.output_tokens) == (10, 9)


@everyone
async def test_an_error_in_the_middle_of_a_stream_is_an_error(vendor: Vendor, simulator: Simulator) -> None:
    """mid-stream errors swallowed, clean `stop` sent"""
    deltas: list[Delta] = []
    result = await ask(vendor, simulator, vendor.call(told("fault=error_mid_stream"), stream=True), deltas.extend)
    assert deltas
    assert result.completion is None
    assert error(result.error).kind in {ErrorKind.PROVIDER_FAULT, ErrorKind.OVERLOADED}


@everywhere
async def test_after_the_start_a_failure_is_an_error_frame_and_no_finish(path: str) -> None:
    """mid-stream errors swallowed, clean `stop` sent"""

    def broken(house: House, request: Request) -> None:
        house.delta(request, 0, {"content": "hel"})
        house.respond(failed(request, "stream_interrupted"))

    got = await streamed(House(broken), path)
    assert got.status_code == 200
    assert '"error"' in got.text
    said = got.text.replace('"finish_reason":null', "").replace('"stop_reason":null', "")
    assert not any(word in said for word in ("finish_reason", "stop_reason", "message_stop", "response.completed"))


@everyone
async def test_a_stream_that_ends_before_its_end_is_no_answer(vendor: Vendor, simulator: Simulator) -> None:
    """early EOF taken for the end"""
    result = await ask(vendor, simulator, vendor.call(told("fault=early_end"), stream=True))
    assert (error(result.error).kind, error(result.error).code) == (ErrorKind.TRANSPORT, "early_end")
    last = 1 if vendor.folder not in {"openai", "openai-compatible"} else 2  # there the reason decides, not `[DONE]`
    outcome, _ = vendor.streamed([sse(saying(vendor.folder, "hello")[:-last])])
    assert error(outcome).kind is ErrorKind.TRANSPORT


@everyone
async def test_the_wait_that_a_vendor_asks_for_reaches_the_caller(vendor: Vendor, simulator: Simulator) -> None:
    """`retry-after` not passed on"""
    for kind in ("rate_limited", "overloaded"):
        if (vendor, kind) == (GEMINI, "overloaded"):
            continue  # Google hints at a wait with 429 only
        result = await ask(vendor, simulator, vendor.call(told(f"fault={kind} retry_after_s=6.2")))
        assert error(result.error).kind == kind
        assert error(result.error).retry_after_s == pytest.approx(6.2, abs=1)
    for code in ("rate_limit_exceeded", "overloaded"):
        house = House(responding(partial(failed, code=code, retry_after_s=6.2)))
        async with house.client() as client:
            got = await client.post("/v1/chat/completions", json=chat())
        assert (got.status_code, got.headers["retry-after"]) == (429 if code != "overloaded" else 503, "7")


@everyone
async def test_an_empty_account_is_no_full_minute(vendor: Vendor, simulator: Simulator) -> None:
    """quota 429 retried"""
    result = await ask(vendor, simulator, vendor.call(told("fault=quota_exhausted")))
    assert error(result.error).kind is ErrorKind.QUOTA_EXHAUSTED
    assert error(result.error).status in {402, 429}
    row = ERROR_KINDS[ErrorKind.QUOTA_EXHAUSTED]
    assert (row.retries_same, row.waits) == (0, False)
    assert await arrivals(simulator) == 1


@everyone
@pytest.mark.parametrize("status", [503, 529])
def test_who_is_overloaded_is_said_to_be(vendor: Vendor, status: int) -> None:
    """503 and 529 turned into 500"""
    for body in (b"", b"<html>busy</html>", b'{"error": {"message": "busy"}}'):
        assert vendor.adapter.to_error(status, {}, body).kind is ErrorKind.OVERLOADED
    assert ERROR_KINDS[ErrorKind.OVERLOADED].status == 503


BREAKS = "one\u2028two\u2029three\u0085four\x0bfive\x1csix 👩‍👩‍👧 Grüße"


@everyone
def test_no_text_is_lost_at_the_line_ends_that_only_python_knows(vendor: Vendor) -> None:
    """text lost at U+2028"""
    outcome, deltas = vendor.streamed([sse(saying(vendor.folder, BREAKS))])
    assert answer(outcome).choices[0].text == BREAKS
    assert "".join(delta.delta.get("content", "") for delta in deltas) == BREAKS


@everywhere
async def test_clients_that_split_lines_as_python_does_lose_no_text(path: str) -> None:
    """text lost at U+2028"""

    def said(house: House, request: Request) -> None:
        house.delta(request, 0, {"content": BREAKS})
        house.respond(answered(request, BREAKS))

    got = await streamed(House(said), path)
    assert "".join(map(spoken, frames(got.text))) == BREAKS


@everyone
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_stream_cut_at_any_byte_reads_the_same(vendor: Vendor, line_end: str) -> None:
    """JSON cut at network chunk borders"""
    data = sse(saying(vendor.folder, 'é👩\u2028 {"data:\\n'), line_end)
    uncut = vendor.streamed([data])
    assert answer(uncut[0]).choices[0].text == 'é👩\u2028 {"data:\\n'
    for at in range(1, len(data)):
        assert vendor.streamed([data[:at], data[at:]]) == uncut


@everyone
@pytest.mark.parametrize(
    ("stream", "fault"),
    [(True, "hang_mid_stream"), (False, "hang_before_headers"), (True, "hang_after_headers")],
    ids=["streamed", "unstreamed", "before-the-first-token"],
)
async def test_who_stops_waiting_closes_the_vendors_connection(
    vendor: Vendor, stream: bool, fault: str, simulator: Simulator
) -> None:
    """no cancel upstream on hang-up (streamed, unstreamed and before the first token)"""
    async with driven(vendor, simulator) as driver:
        call = vendor.call(told(f"fault={fault}"), stream=stream)
        task = asyncio.ensure_future(driver.complete(call, model="m", timeout_s=20))
        assert await arrivals(simulator, stage="streaming" if fault == "hang_mid_stream" else "arrived") == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await arrivals(simulator, stage="hung_up") == 1


async def arrivals(simulator: Simulator, stage: str = "arrived") -> int:
    """How many requests have come that far; waits for the first."""
    async with httpx.AsyncClient() as client:
        asked: dict[str, str | int] = {"stage": stage, "at_least": 1, "timeout_s": 5, "bodies": 0}
        log = (await client.get(f"{simulator.control_url}/log", params=asked)).json()
    return len(log["log"])


@pytest.mark.parametrize("limit", [None, 1, 1_024, 1_025, 2_000, 8_192, 8_193, 60_000])
@pytest.mark.parametrize("effort", ["low", "medium", "high", "max"])
def test_a_thinking_budget_lies_below_the_limit(limit: int | None, effort: str) -> None:
    """thinking budget above `max_tokens`"""
    asked = {"reasoning_effort": effort, **({} if limit is None else {"max_tokens": limit})}
    flags = ANTHROPIC.flags(efforts=["low", "medium", "high", "max"])
    for body in (asked, {**asked, "thinking": {"type": "enabled", "budget_tokens": 32_000}}):
        wire = ANTHROPIC.wire(flags=flags, **body)
        thinking = wire.json.get("thinking")
        if thinking is None:
            assert wire.json["max_tokens"] <= 1_024
            assert set(wire.dropped) & {"reasoning_effort", "thinking"}
        else:
            assert 1_024 <= thinking["budget_tokens"] < wire.json["max_tokens"]
        assert limit is None or wire.json["max_tokens"] == limit


@everyone
@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0.5), ("top_p", 0.5), ("presence_penalty", 1), ("logit_bias", {"5": 1})]
)
async def test_what_a_model_does_not_take_stays_here_and_is_named(vendor: Vendor, name: str, value: Any) -> None:
    """unsupported parameters forwarded, or dropped without a word"""
    flags = vendor.flags(sampling="no")
    is_taken = name == "logit_bias" and vendor.folder in {"openai", "openai-compatible"}
    wire = vendor.wire(flags=flags, **{name: value})
    assert (name in wire.json, name in wire.dropped) == (is_taken, not is_taken)
    spelled = {"topP", "temperature", "presencePenalty"}
    assert not spelled & wire.json.get("generationConfig", {}).keys()
    if not is_taken:
        strict = {**flags, "policy": {**flags["policy"], name: "refuse"}}
        assert f"`{name}`" in vendor.refusal(flags=strict, **{name: value}).message
    async with House(responding(lambda r: answered(r, dropped=[name]))).client() as client:
        got = await client.post("/v1/chat/completions", json=chat())
    assert got.headers["x-dropped-params"] == name


@everyone
def test_more_choices_are_asked_for_or_refused(vendor: Vendor) -> None:
    """`n` ignored"""
    match vendor.folder:
        case "openai" | "openai-compatible":
            assert vendor.wire(n=2).json["n"] == 2
        case "gemini":
            assert vendor.wire(n=2).json["generationConfig"]["candidateCount"] == 2
            assert "`n`" in vendor.refusal(n=2, flags=vendor.flags(n_max=1)).message
        case _:
            assert "`n`" in vendor.refusal(n=2).message


def test_two_choices_are_two_and_one_of_two_is_no_answer() -> None:
    """`n` ignored"""
    ends = [chunk({"content": "a"}, index=at, finish_reason="stop") for at in (0, 1)]
    both, _ = COMPATIBLE.streamed([sse(ends)], n=2)
    assert [choice.index for choice in answer(both).choices] == [0, 1]
    one, _ = COMPATIBLE.streamed([sse(ends[:1])], n=2)
    assert error(one).kind is ErrorKind.TRANSPORT


@everyone
async def test_schemas_go_out_as_the_vendor_takes_them(vendor: Vendor, simulator: Simulator) -> None:
    """schema keywords refused by the vendor"""
    schema = {**CITY, "properties": {"city": {"$ref": "#/$defs/c"}}, "$defs": {"c": {"type": "string", "maxLength": 9}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    call = vendor.call({"role": "user", "content": "Paris?"}, response_format=wanted)
    result = await ask(vendor, simulator, call)
    assert result.error is None
    assert isinstance(result.completion, Completion)
    assert "city" in json.loads(result.completion.choices[0].text)
    result = await ask(vendor, simulator, vendor.call(tools=[TOOL, {"type": "function", "function": {"name": "now"}}]))
    assert result.error is None
    if vendor is ANTHROPIC:
        form = vendor.wire(response_format=wanted).json["output_config"]["format"]["schema"]
        assert "maxLength" not in json.dumps(form)
        assert form["additionalProperties"] is False
    if vendor is GEMINI:
        assert "responseSchema" not in vendor.wire(response_format=wanted).json["generationConfig"]


def test_servers_that_know_no_developer_get_a_system_message() -> None:
    """`developer` role sent to compatible servers"""
    wire = COMPATIBLE.wire({"role": "developer", "content": "Be brief."}, ASKED)
    assert [message["role"] for message in wire.json["messages"]] == ["system", "user"]


def test_a_pdf_goes_out_without_the_head_of_its_url() -> None:
    """PDF given as data URL inside base64"""
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    asked = {"role": "user", "content": [file]}
    document = ANTHROPIC.wire(asked).json["messages"][0]["content"][0]
    assert document["source"] == {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    part = GEMINI.wire(asked).json["contents"][0]["parts"][0]
    assert part == {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}}
    assert "`messages.0.content.0`" in COMPATIBLE.refusal(asked).message


@pytest.mark.parametrize("path", [*SURFACES, "/v1/embeddings", "/v1/nowhere"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": 5, "messages": "x", "input": 7, "max_tokens": "y"}'])
async def test_a_body_that_cannot_be_read_is_refused_in_the_vendors_shape(path: str, body: bytes) -> None:
    """FastAPI's 422 `detail` instead of the error shape"""
    async with House().client() as client:
        got = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert got.status_code == (404 if path == "/v1/nowhere" else 400)
    assert "detail" not in got.json()
    assert {"message", "type", "code", "param"} <= got.json()["error"].keys()


@everyone
async def test_no_key_stands_in_the_text_of_an_error(vendor: Vendor, simulator: Simulator) -> None:
    """credential in the error text"""
    wrong = "sk-bad-canary-0123456789"
    for key, fault in ((wrong, "tokens=1"), (KEY, "fault=auth"), (KEY, "fault=permission"), (KEY, "fault=html_502")):
        async with driven(vendor, simulator, key) as driver:
            result = await driver.complete(vendor.call(told(fault)), model="m", timeout_s=10)
        assert result.error is not None
        assert not any(word in repr(result) for word in ("canary", "127.0.0.1", "Traceback", "://"))
    echo = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}.", "code": "invalid_api_key"}})
    assert "canary" not in vendor.adapter.to_error(401, {}, echo.encode()).message


@everywhere
@pytest.mark.parametrize(
    ("code", "status"), [("rate_limit_exceeded", 429), ("overloaded", 503), ("provider_error", 502)]
)
async def test_what_fails_before_the_first_piece_fails_with_its_status(path: str, code: str, status: int) -> None:
    """status 200 for failures before the first byte"""
    got = await streamed(House(responding(lambda r: failed(r, code))), path)
    assert got.status_code == status
    assert got.headers["content-type"] == "application/json"
    assert got.json()["error"]["code"] == code


async def test_all_chunks_of_a_stream_have_one_id() -> None:
    """new chunk ids within one stream"""

    def said(house: House, request: Request) -> None:
        for seq, piece in enumerate("abc"):
            house.now += 5_000
            house.delta(request, seq, {"content": piece})
        house.respond(answered(request, "abcd"))

    got = await streamed(House(said), stream_options={"include_usage": True})
    heads = {(one["id"], one["created"], one["model"], one["object"]) for one in frames(got.text)}
    assert len(heads) == 1
    events = frames((await streamed(House(said), "/v1/responses")).text)
    assert len({one["response"]["id"] for one in events if "response" in one}) == 1


FAULT = "fault"
REASONS: dict[str, dict[str, str]] = {
    "openai": {"stop": "stop", "length": "length", "content_filter": "content_filter", "brand_new": FAULT},
    "openai-compatible": {"eos": "stop", "model_length": "length", "error": FAULT, "abort": FAULT, "brand_new": FAULT},
    "anthropic": {
        **{"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "refusal": "content_filter"},
        **{"model_context_window_exceeded": "length", "pause_turn": FAULT, "brand_new": FAULT},
    },
    "gemini": {
        **dict.fromkeys(("MAX_TOKENS", "CONTINUATION"), "length"),
        **dict.fromkeys(
            (
                "SAFETY",
                "RECITATION",
                "LANGUAGE",
                "BLOCKLIST",
                "PROHIBITED_CONTENT",
                "SPII",
                "ESCALATION",
                "MODEL_ARMOR",
            ),
            "content_filter",
        ),
        **dict.fromkeys(("IMAGE_SAFETY", "IMAGE_NEW", "OTHER"), "content_filter"),
        **dict.fromkeys(("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"), FAULT),
        **dict.fromkeys(("MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE", "BRAND_NEW"), FAULT),
        "STOP": "stop",
    },
    "openai-responses": {"max_output_tokens": "length", "content_filter": "content_filter", "brand_new": FAULT},
}


def ended(folder: str, reason: str, text: str) -> dict[str, Any]:
    match folder:
        case "anthropic":
            return {"content": [{"type": "text", "text": text}] if text else [], "stop_reason": reason}
        case "gemini":
            content = {"content": {"parts": [{"text": text}]}} if text else {}
            return {"candidates": [{**content, "finishReason": reason}]}
        case "openai-responses":
            parts = [{"type": "output_text", "text": text}] if text else []
            output = [{"type": "message", "content": parts}]
            return {"status": "incomplete", "incomplete_details": {"reason": reason}, "output": output}
        case _:
            return {"choices": [{"message": {"content": text}, "finish_reason": reason}]}


@pytest.mark.parametrize(("folder", "reason"), [(folder, reason) for folder in REASONS for reason in REASONS[folder]])
def test_every_stop_reason_has_its_meaning_and_none_is_a_stop_for_want_of_one(folder: str, reason: str) -> None:
    """stop reasons not in the table falling to `stop`"""
    meant = REASONS[folder][reason]
    silent, spoken = (VENDORS[folder].whole(ended(folder, reason, text)) for text in ("", "hello"))
    if meant == FAULT:
        assert error(silent).kind is ErrorKind.PROVIDER_FAULT
        if reason.lower() == "brand_new":
            assert (
                answer(spoken).choices[0].finish_reason == "stop"
            )  # it said something, and nothing says that it failed
        else:
            assert error(spoken).kind is ErrorKind.PROVIDER_FAULT
    else:
        assert {answer(one).choices[0].finish_reason for one in (silent, spoken)} == {meant}


def test_each_mistake_has_its_test_in_the_order_of_the_section() -> None:
    here = inspect.getmembers(sys.modules[__name__], inspect.isfunction)
    tests = sorted(
        (inspect.getsourcelines(made)[1], inspect.getdoc(made)) for name, made in here if name.startswith("test_")
    )
    told = [key for key, _ in itertools.groupby(doc for _, doc in tests if doc)]
    assert told == [" ".join(mistake.split()) for mistake in MISTAKES.split("·")]
