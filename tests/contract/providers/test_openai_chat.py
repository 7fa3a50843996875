"""Chat Completions: what of a caller's request is refused before any call, and what is mended."""

import json
from typing import Any

import pytest

from connectors.providers import ADAPTERS, ProviderCall, WireRequest
from schemas.errors import ErrorKind, ProviderError

USER = {"role": "user", "content": "Hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
TEXT = {"type": "text", "text": "Be brief."}
CALL = {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
both = pytest.mark.parametrize("adapter", ["openai", "openai-compatible"])


def result(content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "call_a", "content": content}


def asked(*messages: dict[str, Any], flags: dict[str, Any] | None = None, **body: Any) -> ProviderCall:
    return ProviderCall({"messages": list(messages) or [USER], **body}, "m", flags=flags or {})


def wire_of(adapter: str, call: ProviderCall) -> WireRequest:
    wire = ADAPTERS[adapter].to_wire(call)
    assert isinstance(wire, WireRequest), wire
    return wire


def refusal_of(adapter: str, call: ProviderCall) -> ProviderError:
    error = ADAPTERS[adapter].to_wire(call)
    assert isinstance(error, ProviderError), error
    assert error.kind is ErrorKind.INVALID_REQUEST
    return error


@both
def test_half_an_emoji_goes_out_as_a_replacement_character(adapter: str) -> None:
    """P04: Aider-AI/aider#3693."""
    content = wire_of(adapter, asked({"role": "user", "content": "cut \ud83d here"})).content()
    assert json.loads(content.decode("utf-8"))["messages"][0]["content"] == "cut \ufffd here"


@both
def test_two_results_for_one_call_are_refused_by_its_id(adapter: str) -> None:
    """P06: QwenLM/qwen-code#8163."""
    error = refusal_of(adapter, asked(USER, CALLED, result("7C"), result("8C")))
    assert "call_a" in error.message


@both
def test_the_same_id_in_two_turns_is_two_calls(adapter: str) -> None:
    turns = (USER, CALLED, result("7C"), CALLED, result("8C"))
    assert len(wire_of(adapter, asked(*turns)).json["messages"]) == 5


def test_openai_takes_images_from_the_user_only() -> None:
    for at, messages in (
        (2, (USER, CALLED, result([TEXT, IMAGE]))),
        (0, ({"role": "system", "content": [TEXT, IMAGE]},)),
    ):
        error = refusal_of("openai", asked(*messages, flags={"inputs": ["text", "image"]}))
        assert f"messages.{at}.content.1" in error.message
        assert error.code == "unsupported_content"


@pytest.mark.parametrize(
    ("part", "flag"),
    [
        (IMAGE, "image"),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}, "pdf"),
        ({"type": "input_audio", "input_audio": {"format": "wav", "data": "UklGRg=="}}, "audio"),
        ({"type": "video_url", "video_url": {"url": "https://v.example/a.mp4"}}, "video"),
    ],
)
def test_a_compatible_model_gets_the_parts_that_it_takes(part: dict[str, Any], flag: str) -> None:
    message = {"role": "user", "content": [TEXT, part]}
    error = refusal_of("openai-compatible", asked(message, flags={"inputs": ["text"]}))
    assert "messages.0.content.1" in error.message
    wire = wire_of("openai-compatible", asked(message, flags={"inputs": ["text", flag]}))
    assert wire.json["messages"] == [message]


@both
def test_functions_of_old_are_refused_and_not_forgotten(adapter: str) -> None:
    assert "functions" in refusal_of(adapter, asked(functions=[{"name": "f"}])).message


@both
def test_more_choices_than_the_model_gives_follow_the_policy(adapter: str) -> None:
    refused = {"n_max": 1, "policy": {"n": "refuse"}}
    assert "`n`" in refusal_of(adapter, asked(n=2, flags=refused)).message
    assert wire_of(adapter, asked(n=2, flags={"n_max": 1, "policy": {"n": "drop"}})).dropped == ("n",)
    assert wire_of(adapter, asked(n=2, flags={"n_max": 2})).json["n"] == 2


@both
def test_what_is_the_callers_own_keeps_its_nulls_and_names(adapter: str) -> None:
    call = {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": {"city": None}}}
    turns = (USER, {"role": "assistant", "tool_calls": [call]}, result(None))
    messages = wire_of(adapter, asked(*turns)).json["messages"]
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == '{"city":null}'
    assert messages[2] == result("")


def test_ids_that_are_too_long_for_openai_are_shortened_alike_in_call_and_result() -> None:
    turns = (USER, {**CALLED, "tool_calls": [{**CALL, "id": "x" * 60}]}, {**result("7C"), "tool_call_id": "x" * 60})
    _, one, two = wire_of("openai", asked(*turns)).json["messages"]
    assert one["tool_calls"][0]["id"] == two["tool_call_id"]
    assert len(two["tool_call_id"]) <= 40
    assert wire_of("openai-compatible", asked(*turns)).json["messages"][2]["tool_call_id"] == "x" * 60


def test_metadata_may_have_any_names() -> None:
    assert wire_of("openai", asked(metadata={"is_error": "x"}, store=True)).json["metadata"] == {"is_error": "x"}


@pytest.mark.parametrize(
    "first", [{"role": "system", "content": [TEXT]}, {"role": "developer", "content": "Be brief."}, USER]
)
def test_a_schema_in_the_prompt_loses_no_message(first: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"title": "shape"}}}
    messages = wire_of("openai", asked(first, USER, flags={"json_schema": False}, response_format=wanted)).json[
        "messages"
    ]
    assert "shape" in json.dumps(messages[0])
    assert ("Hi" if first is USER else "Be brief.") in json.dumps([message["content"] for message in messages])
    assert len(messages) == (3 if first is USER else 2)
