"""What a Responses request becomes, and what is refused by name."""

from typing import Any

import pytest
from gateway_house import House, answered
from responses_house import HIDDEN, THOUGHT, URL, asked_of

from connectors.gateway.responses.carried import carried
from schemas.seals import seal

IMAGE = "data:image/png;base64,AAAA"
PDF = "data:application/pdf;base64,BBBB"
WEATHER = {"type": "function", "name": "weather", "description": "d", "parameters": {"type": "object"}, "strict": True}


async def asked(given: Any = "hi", **more: Any) -> dict[str, Any]:
    house = House(lambda h, r: h.respond(answered(r)) and None)
    async with house.client() as client:
        got = await client.post(URL, json={"model": "small", "input": given, **more})
    assert got.status_code == 200, got.text
    return asked_of(house)


async def refused(body: dict[str, Any]) -> dict[str, Any]:
    house = House()
    async with house.client() as client:
        got = await client.post(URL, json={"model": "small", **body})
    assert got.status_code == 400
    assert not house.records
    error: dict[str, Any] = got.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


async def messages(*items: dict[str, Any]) -> Any:
    return (await asked(list(items)))["messages"]


def call(id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": "weather", "arguments": arguments}


def tool_call(id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}}


async def test_a_text_is_a_user_message_after_the_instructions() -> None:
    got = await asked("hi", instructions="be brief")
    assert got["messages"] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]


async def test_parts_of_all_kinds_are_renamed() -> None:
    parts = [
        {"type": "input_text", "text": "what is this?"},
        {"type": "input_image", "image_url": IMAGE, "detail": "low", "file_id": None},
        {"type": "input_file", "file_data": PDF, "filename": "a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "wav"}},
    ]
    got = await messages(
        {"role": "developer", "content": [{"type": "input_text", "text": "look"}]}, {"role": "user", "content": parts}
    )
    assert got[0] == {"role": "developer", "content": [{"type": "text", "text": "look"}]}
    assert got[1]["content"] == [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}},
        {"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "wav"}},
    ]


async def test_neighbouring_text_reasoning_and_calls_are_one_assistant_turn() -> None:
    got = await messages(
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": carried([THOUGHT])},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look.", "parsed": 1}]},
        call("c1"),
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": carried([HIDDEN])},
        call("c2", '{"city":"Paris"}'),
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": IMAGE}],
        },
        call("c3"),
        {"type": "function_call_output", "call_id": "c3", "output": ""},
    )
    assert got[1] == {
        "role": "assistant",
        "content": "I look.",
        "tool_calls": [tool_call("c1"), tool_call("c2", '{"city":"Paris"}')],
        "thinking_blocks": [THOUGHT, HIDDEN],
    }
    assert got[2] == {"role": "tool", "tool_call_id": "c1", "content": "sun"}
    assert got[3]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": IMAGE}},
    ]
    assert got[4] == {"role": "assistant", "content": None, "tool_calls": [tool_call("c3")]}


async def test_a_refusal_comes_back_as_one() -> None:
    refusal = {"type": "refusal", "refusal": "I will not."}
    got = await messages(
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [refusal]},
        {"role": "user", "content": "why?"},
    )
    assert got[1] == {"role": "assistant", "content": [refusal]}


@pytest.mark.parametrize("hidden", [None, "gAAAA-openai", "mrs1-broken", seal("s", "anthropic/m"), carried([])])
async def test_reasoning_of_others_and_reasoning_alone_is_left_out(hidden: str | None) -> None:
    thought: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": hidden}
    got = await messages(thought, {"role": "assistant", "content": "42"}, {"role": "user", "content": "hi"}, thought)
    assert got == [{"role": "assistant", "content": "42"}, {"role": "user", "content": "hi"}]


async def test_parameters_go_under_the_names_of_the_platform() -> None:
    same = {
        "temperature": 0.5, "top_p": 0.9, "parallel_tool_calls": False, "user": "u", "safety_identifier": "s",
        "metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k",
    }  # fmt: skip
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    got = await asked(
        **same,
        max_output_tokens=99,
        reasoning={"effort": "low", "summary": "auto"},
        text={"format": {"type": "json_schema", **schema}, "verbosity": "low"},
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "weather"},
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        top_logprobs=2,
        truncation="disabled",
        store=False,
        background=False,
        previous_response_id=None,
    )
    assert {name: got[name] for name in same} == same
    assert (got["max_completion_tokens"], got["reasoning_effort"], got["verbosity"]) == (99, "low", "low")
    assert got["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert got["tools"] == [{"type": "function", "function": {n: v for n, v in WEATHER.items() if n != "type"}}]
    assert got["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert (got["logprobs"], got["top_logprobs"]) == (True, 2)
    assert not {"store", "background", "truncation", "include", "text", "reasoning", "input"} & set(got)


async def test_nothing_said_is_nothing_asked() -> None:
    got = await asked(
        tools=[], tool_choice="auto", text={"format": None}, reasoning={"effort": None}, include=[], top_logprobs=0
    )
    assert got == {"model": "small", "messages": [{"role": "user", "content": "hi"}], "tool_choice": "auto"}
    assert (await asked(text={"format": {"type": "json_object"}}))["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": [{"type": "item_reference", "id": "rs_1"}]}, "input.0"),
        ({"input": [{"id": "rs_1"}]}, "input.0"),
    ],
)
async def test_what_wants_a_store_is_refused_with_the_reason(more: dict[str, Any], named: str) -> None:
    error = await refused({"input": "hi", **more})
    assert error["param"] == named
    assert "nothing is stored here" in error["message"]


def with_part(part: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"input": [{"role": role, "content": [part]}]}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 1}, "input"),
        ({"input": ["hi"]}, "input.0"),
        ({"input": [{}]}, "input.0.type"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user"}]}, "input.0.content"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "input.0"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input.0.arguments"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input.0.call_id"),
        (with_part({"type": "input_image", "file_id": "file_1"}), "input.0.content.0.file_id"),
        (with_part({"type": "input_file", "file_id": "file_1"}), "input.0.content.0.file_id"),
        (with_part({"type": "input_file", "file_url": "https://e.org/a.pdf"}), "input.0.content.0.file_url"),
        (with_part({"type": "input_audio", "input_audio": "x"}), "input.0.content.0.input_audio"),
        (with_part({"type": "input_file", "file_data": PDF, "filename": 1}), "input.0.content.0.filename"),
        (with_part({"type": "input_video"}), "input.0.content.0"),
        (with_part({"type": "input_image", "image_url": IMAGE}, "system"), "input.0.content.0"),
        ({"input": "hi", "instructions": []}, "instructions"),
        ({"input": "hi", "tools": [{"type": "web_search"}]}, "tools.0"),
        ({"input": "hi", "tools": [{**WEATHER, "defer_loading": True}]}, "tools.0.defer_loading"),
        ({"input": "hi", "tools": [{"type": "function"}]}, "tools.0.name"),
        ({"input": "hi", "tools": {}}, "tools"),
        ({"input": "hi", "tool_choice": "maybe"}, "tool_choice"),
        ({"input": "hi", "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice"),
        ({"input": "hi", "text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"input": "hi", "text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"input": "hi", "text": {"tone": "warm"}}, "text.tone"),
        ({"input": "hi", "reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"input": "hi", "reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"input": "hi", "max_output_tokens": 0}, "max_output_tokens"),
        ({"input": "hi", "include": ["file_search_call.results"]}, "include.0"),
        ({"input": "hi", "include": "all"}, "include"),
        ({"input": "hi", "truncation": "auto"}, "truncation"),
        ({"input": "hi", "max_tool_calls": 3}, "max_tool_calls"),
        ({"input": "hi", "stream_options": {"include_usage": True}}, "stream_options.include_usage"),
        ({"input": "hi", "messages": []}, "messages"),
        ({"input": "hi", "x" * 99: 1}, "x" * 64),
    ],
)
async def test_what_cannot_be_said_is_refused_by_name(body: dict[str, Any], named: str) -> None:
    error = await refused(body)
    assert error["param"] == named
    assert f"`{named}" in error["message"]
