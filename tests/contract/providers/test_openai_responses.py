"""OpenAI's Responses surface: which calls go there, what it refuses, reasoning that survives, stop sequences."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.providers import ADAPTERS, ProviderCall, WireRequest
from connectors.providers.openai import surface_of
from connectors.providers.openai_responses.stops import StopCut
from connectors.providers.sse import SSEvent
from schemas.completion import Completion
from schemas.errors import ErrorKind, ProviderError
from schemas.seals import unseal

OPENAI = ADAPTERS["openai"]
USER = {"role": "user", "content": "Weather?"}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
NEWEST = {"api": "both", "tools_need_responses": True, "efforts": ["none", "low", "high"]}


def asked(flags: dict[str, Any] | None = None, **body: Any) -> ProviderCall:
    return ProviderCall({"messages": [USER], **body}, "m", flags=flags or {"api": "responses"})


def wire_of(call: ProviderCall) -> dict[str, Any]:
    wire = OPENAI.to_wire(call)
    assert isinstance(wire, WireRequest), wire
    return wire.json


def refusal_of(call: ProviderCall) -> str:
    error = OPENAI.to_wire(call)
    assert isinstance(error, ProviderError), error
    assert error.kind is ErrorKind.INVALID_REQUEST
    return error.message


def said(call: ProviderCall, *items: dict[str, Any], status: str = "completed") -> Completion:
    outcome = OPENAI.from_wire(json.dumps({"status": status, "output": items}).encode(), call)
    assert isinstance(outcome, Completion), outcome
    return outcome


def text_item(text: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text}]}


@pytest.mark.parametrize(
    ("surface", "flags", "body"),
    [
        ("responses", {"api": "responses"}, {}),
        ("chat", {"api": "both"}, {"tools": TOOLS}),
        ("responses", NEWEST, {"tools": TOOLS}),
        ("responses", NEWEST, {"tools": TOOLS, "reasoning_effort": "high"}),
        ("chat", NEWEST, {"tools": TOOLS, "reasoning_effort": "none"}),
        ("chat", NEWEST, {"tools": []}),
        ("chat", NEWEST, {}),
        ("chat", {**NEWEST, "default_effort": "none"}, {"tools": TOOLS}),
        ("responses", {**NEWEST, "default_effort": "low"}, {"tools": TOOLS}),
        ("responses", {**NEWEST, "efforts": ["low", "high"]}, {"tools": TOOLS, "reasoning_effort": "none"}),
        ("responses", {**NEWEST, "efforts": []}, {"tools": TOOLS, "reasoning_effort": "none"}),
    ],
)
def test_a_call_goes_to_the_surface_that_can_serve_it(
    surface: str, flags: dict[str, Any], body: dict[str, Any]
) -> None:
    call = asked(flags, **body)
    assert surface_of(call) == surface
    wire = OPENAI.to_wire(call)
    assert isinstance(wire, WireRequest)
    assert wire.path == {"chat": "/chat/completions", "responses": "/responses"}[surface]


def test_compatible_servers_are_never_asked_on_the_other_surface() -> None:
    wire = ADAPTERS["openai-compatible"].to_wire(asked(tools=TOOLS))
    assert isinstance(wire, WireRequest)
    assert wire.path == "/chat/completions"


AUDIO = {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklGRg=="}}
CALLED = {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"n": 2}, "`n`"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, AUDIO]}]}, "messages.0.content.1"),
        ({"messages": [USER, CALLED]}, "tool call `a` has no result"),
        ({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}, "tools.0"),
        ({"tools": TOOLS, "tool_choice": {"type": "custom", "custom": {"name": "sql"}}}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
    ],
)
def test_what_has_no_spelling_is_refused_by_name(body: dict[str, Any], named: str) -> None:
    assert named in refusal_of(asked({"api": "responses", "inputs": ["text", "audio"]}, **body))


def test_allowed_tools_are_flat() -> None:
    listed = [{"type": "function", "function": {"name": "f"}}]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": listed}}
    assert wire_of(asked(tools=TOOLS, tool_choice=choice))["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}],
    }


def test_ids_that_are_too_long_here_are_shortened_alike_in_call_and_result() -> None:
    call = {"id": "x" * 80, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "x" * 80, "content": "1"}
    _, one, two = wire_of(asked(messages=[USER, {"role": "assistant", "tool_calls": [call]}, result]))["input"]
    assert one["call_id"] == two["call_id"]
    assert len(one["call_id"]) <= 64


def reasoning(id: str, sealed: str) -> dict[str, Any]:
    return {"type": "reasoning", "id": id, "summary": [], "encrypted_content": sealed}


def called(id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": "f", "arguments": '{"a": 1}'}


def test_reasoning_survives_a_client_that_echoes_only_ids() -> None:
    items = [reasoning("rs_1", "one"), called("a"), called("b"), reasoning("rs_2", "two"), called("c")]
    message = said(asked(), *items).choices[0].to_openai()["message"]
    echoed = {"role": "assistant", "content": None, "tool_calls": message["tool_calls"]}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "1"} for call in message["tool_calls"]]
    again = wire_of(asked(messages=[USER, echoed, *results]))["input"]
    assert again[1:6] == items
    assert [item["call_id"] for item in again[6:]] == ["a", "b", "c"]


def test_reasoning_that_would_make_an_id_too_long_is_left_out() -> None:
    noise = "".join(chr(33 + at * at % 90) + str(at * 7919 % 10_007) for at in range(2_000))
    outcome = said(asked(), reasoning("rs_1", noise), called("a"))
    assert outcome.choices[0].tool_calls[0].id == "a"


def test_an_id_is_sealed_for_the_model_that_wrote_it() -> None:
    id = said(asked(), reasoning("rs_1", "one"), called("a")).choices[0].tool_calls[0].id
    assert (unseal(id).text, unseal(id).owner) == ("a", "openai/m")


def events(*pieces: dict[str, Any]) -> list[SSEvent]:
    return [SSEvent(piece["type"], json.dumps(piece)) for piece in pieces]


def test_arguments_that_come_only_with_the_whole_item_are_taken() -> None:
    parser = OPENAI.stream(asked())
    item = called("a")
    opened = {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    end = {"type": "response.completed", "response": {"status": "completed", "output": [item]}}
    pieces = [delta.delta for event in events(opened, done, end) for delta in parser.feed(event)]
    assert pieces[1] == {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1}'}}]}
    outcome = parser.finish()
    assert isinstance(outcome, Completion)
    assert outcome.choices[0].tool_calls[0].arguments == '{"a": 1}'


def test_what_came_before_a_cut_is_counted() -> None:
    parser = OPENAI.stream(asked())
    assert parser.usage_so_far() is None
    for event in events({"type": "response.output_text.delta", "delta": "half an answer"}):
        parser.feed(event)
    usage = parser.usage_so_far()
    assert usage is not None
    assert usage.estimated
    assert usage.output_tokens > 0


STOPS = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3)
PIECES = st.lists(st.text("abc", max_size=5), max_size=8)


@settings(derandomize=True)
@given(stops=STOPS, pieces=PIECES)
def test_a_text_is_cut_at_the_same_place_however_it_comes(stops: list[str], pieces: list[str]) -> None:
    def cut(parts: list[str]) -> tuple[str, bool]:
        cutter = StopCut(stops)
        text = "".join(cutter.feed(part) for part in parts) + cutter.rest()
        return text, cutter.is_cut

    whole = "".join(pieces)
    text, is_cut = cut(pieces)
    assert (text, is_cut) == cut([whole]) == cut(list(whole))
    assert whole.startswith(text)
    assert not any(stop in text for stop in stops)
    assert is_cut == any(stop in whole for stop in stops)


def test_log_probabilities_end_with_the_cut_text() -> None:
    entries = [{"token": token, "logprob": -0.5} for token in ("fine", " E", "ND", " of it")]
    part = {"type": "output_text", "text": "fine END of it", "logprobs": entries}
    choice = said(asked(stop="END", logprobs=True), {"type": "message", "content": [part]}).choices[0]
    assert (choice.text, choice.finish_reason) == ("fine ", "stop")
    assert choice.logprobs is not None
    assert [entry["token"] for entry in choice.logprobs["content"]] == ["fine", " E"]


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
ANY = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: right | ANY for name, right in fields.items()})


PART = maybe(type=st.sampled_from(["output_text", "refusal"]), text=st.text(max_size=3), logprobs=ANY, annotations=ANY)
ITEM = maybe(
    type=st.sampled_from(["message", "reasoning", "function_call", "web_search_call", "custom_tool_call"]),
    content=st.lists(PART, max_size=2),
    summary=st.lists(maybe(text=st.text(max_size=3)), max_size=2),
    name=st.just("f"),
    call_id=st.just("a"),
    arguments=st.just("{}"),
    id=st.just("i"),
    encrypted_content=st.just("e"),
)
STATUS = st.sampled_from(["completed", "incomplete", "failed", "queued"])
RESPONSE = maybe(
    status=STATUS, output=st.lists(ITEM, max_size=3), incomplete_details=maybe(reason=ANY), usage=ANY, error=ANY
)
KINDS = st.sampled_from(
    [
        "error",
        "response.created",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.refusal.delta",
        "response.reasoning_summary_text.delta",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.output_item.done",
        "response.completed",
    ]
)
EVENT = maybe(
    type=KINDS, response=RESPONSE, item=ITEM, output_index=st.integers(0, 1), delta=st.text(max_size=3), annotation=ANY
)


@settings(derandomize=True)
@given(reply=RESPONSE | ANY)
def test_a_whole_answer_of_any_shape_is_a_value(reply: Any) -> None:
    outcome = OPENAI.from_wire(json.dumps(reply).encode(), asked(stop="a"))
    assert isinstance(outcome, Completion | ProviderError)
    if isinstance(outcome, Completion):
        json.dumps(outcome.to_openai("id", 1, "m"))


@settings(derandomize=True)
@given(chunks=st.lists(EVENT | ANY, max_size=6))
def test_a_stream_of_any_shape_is_a_value(chunks: list[Any]) -> None:
    parser = OPENAI.stream(asked(stop="a"))
    for chunk in chunks:
        for delta in parser.feed(SSEvent("", json.dumps(chunk))):
            assert delta.delta or delta.logprobs
    assert isinstance(parser.finish(), Completion | ProviderError)
    parser.usage_so_far()


def test_bytes_that_are_no_answer_are_a_malformed_reply() -> None:
    for body in (b"", b"<html>", b"[" * 100_000):
        outcome = OPENAI.from_wire(body, asked())
        assert isinstance(outcome, ProviderError)
        assert outcome.kind is ErrorKind.MALFORMED_REPLY
