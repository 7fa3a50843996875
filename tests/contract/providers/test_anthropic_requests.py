"""What Anthropic's requests hold beyond the wire samples: refusals, headers, ids, tools, formats, marks."""

from typing import Any

import pytest

from connectors.providers import ADAPTERS, ProviderCall, WireRequest
from connectors.providers.anthropic.formats import closed
from schemas.errors import ErrorKind, ProviderError

ANTHROPIC = ADAPTERS["anthropic"]
SAY = {"role": "user", "content": "Say fine."}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def make_call(*messages: dict[str, Any], flags: dict[str, Any] | None = None, **body: Any) -> ProviderCall:
    return ProviderCall({"model": "m", "messages": list(messages) or [SAY], **body}, "claude-x", flags=flags or {})


def sent(call: ProviderCall) -> WireRequest:
    wire = ANTHROPIC.to_wire(call)
    assert isinstance(wire, WireRequest), wire
    return wire


def refusal(call: ProviderCall) -> ProviderError:
    error = ANTHROPIC.to_wire(call)
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.INVALID_REQUEST
    return error


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def turn(id: str, result: str = "ok") -> list[dict[str, Any]]:
    call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": id, "content": result}]


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (user({"type": "input_audio", "input_audio": {"format": "wav", "data": "AA=="}}), "messages.0.content.0"),
        (user({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}), "messages.0.content.0"),
        (user({"type": "image_url", "image_url": {"url": "http://example.org/a.png"}}), "messages.0.content.0"),
        (user({"type": "file", "file": {"file_data": "data:text/csv;base64,AA=="}}), "messages.0.content.0"),
        (user({"type": "file", "file": {"file_data": "data:text/plain;base64,_"}}), "messages.0.content.0"),
        (user({"type": "file", "file": {"file_data": "data:text/plain;base64,IA=="}}), "messages.0.content.0"),
        (user({"type": "file", "file": {"file_id": "file-1"}}), "messages.0.content.0"),
        (user({"type": "video_url", "video_url": {"url": "https://example.org"}}), "messages.0.content.0"),
    ],
)
def test_a_part_that_cannot_go_out_is_refused_by_its_path(message: dict[str, Any], path: str) -> None:
    flags = {"inputs": ["text", "image", "pdf", "audio"]}
    error = refusal(make_call(message, flags=flags))
    assert f"`{path}" in error.message


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}]}, "parameters"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
    ],
)
def test_what_anthropic_has_no_form_for_is_refused_by_name(body: dict[str, Any], word: str) -> None:
    assert word in refusal(make_call(**body)).message


def test_the_policy_may_drop_what_is_refused_by_default() -> None:
    wire = sent(make_call(n=2, flags={"policy": {"n": "drop"}}))
    assert wire.dropped == ("n",)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("stop", {"stop": ["\n"]}),
        ("thinking", {"thinking": {"type": "adaptive"}}),
        ("reasoning_effort", {"reasoning_effort": "low"}),
        ("seed", {"seed": 1}),
    ],
)
def test_the_policy_may_refuse_what_is_dropped_else(name: str, body: dict[str, Any]) -> None:
    assert sent(make_call(**body)).dropped == (name,)
    error = refusal(make_call(**body, flags={"policy": {name: "refuse"}}))
    assert (error.code, f"`{name}`" in error.message) == ("unsupported_parameter", True)


def test_the_policy_may_refuse_a_forced_tool_instead_of_asking_in_words() -> None:
    flags = {"forced_tools": False, "policy": {"tool_choice": "refuse"}}
    assert "tool_choice" in refusal(make_call(tools=[TOOL], tool_choice="required", flags=flags)).message
    assert sent(make_call(tools=[TOOL], tool_choice="auto", flags=flags)).json["tool_choice"] == {"type": "auto"}


def test_embeddings_are_refused() -> None:
    assert "embeddings" in refusal(ProviderCall({"input": "x"}, "claude-x", operation="embeddings")).message


def test_a_model_without_prefill_refuses_a_begun_answer_by_its_message() -> None:
    begun = {"role": "assistant", "content": "It is"}
    assert "`messages.1`" in refusal(make_call(SAY, begun, flags={"prefill": False})).message
    assert sent(make_call(SAY, begun)).json["messages"][-1]["role"] == "assistant"


def test_the_path_and_the_headers_are_anthropics() -> None:
    wire = sent(make_call())
    assert (wire.method, wire.path) == ("POST", "/v1/messages")
    assert wire.headers["anthropic-version"] == "2026-10-21"
    assert ANTHROPIC.credential == ("x-api-key", "")


@pytest.mark.parametrize("knob", ["temperature", "top_p", "top_k"])
def test_only_a_call_that_sends_sampling_uses_the_older_version(knob: str) -> None:
    body: dict[str, Any] = {knob: 1}
    assert sent(make_call(**body)).headers["anthropic-version"] == "2023-06-01"
    wire = sent(make_call(flags={"sampling": "no"}, **body))
    assert (wire.headers["anthropic-version"], wire.dropped) == ("2026-10-21", (knob,))


@pytest.mark.parametrize(
    ("route", "body", "sends"),
    [
        (None, {}, 4096),
        (None, {"max_tokens": 7}, 7),
        (None, {"max_tokens": 7, "max_completion_tokens": 8}, 8),
        (5, {"max_tokens": 7}, 5),
        (64_000, {}, 64_000),
    ],
)
def test_max_tokens_is_the_routes_then_the_callers(route: int | None, body: dict[str, Any], sends: int) -> None:
    call = ProviderCall({"messages": [SAY], **body}, "claude-x", max_tokens=route)
    assert sent(call).json["max_tokens"] == sends


def test_ids_that_anthropic_refuses_are_renamed_in_calls_and_results_alike() -> None:
    wires = [sent(make_call(SAY, *turn("functions.f:0"), *turn("a b"), *turn("ok-1_A"))) for _ in range(2)]
    messages = wires[0].json["messages"]
    calls = [message["content"][0]["id"] for message in messages[1::2]]
    assert calls == [message["content"][0]["tool_use_id"] for message in messages[2::2]]
    assert calls[2] == "ok-1_A"
    assert all(id.replace("_", "").replace("-", "").isalnum() for id in calls)
    assert wires[0].json == wires[1].json


def test_ids_that_come_again_in_later_turns_are_told_apart() -> None:
    messages = sent(make_call(SAY, *turn("call_0", "one"), *turn("call_0", "two"))).json["messages"]
    calls = [message["content"][0]["id"] for message in messages[1::2]]
    assert calls == [message["content"][0]["tool_use_id"] for message in messages[2::2]]
    assert len(set(calls)) == 2
    assert [message["content"][0]["content"] for message in messages[2::2]] == ["one", "two"]


def test_a_failed_tool_without_words_says_so() -> None:
    call, result = turn("a", "")
    block = sent(make_call(SAY, call, {**result, "is_error": True})).json["messages"][2]["content"][0]
    assert block == {"type": "tool_result", "tool_use_id": "a", "content": "(no message)", "is_error": True}


def test_strict_stays_here_and_is_named() -> None:
    strict = {"type": "function", "function": {**TOOL["function"], "strict": True}}  # type: ignore[dict-item] # a literal
    wire = sent(make_call(tools=[strict]))
    assert wire.json["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert wire.dropped == ("strict",)


def test_one_tool_at_a_time_needs_a_choice_to_say_it_in() -> None:
    wire = sent(make_call(tools=[TOOL], parallel_tool_calls=False))
    assert wire.json["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("body", "sends"),
    [
        ({"user": "u1"}, "u1"),
        ({"user": "u1", "safety_identifier": "s1"}, "s1"),
    ],
)
def test_the_user_goes_out_as_an_opaque_id(body: dict[str, Any], sends: str) -> None:
    assert sent(make_call(**body)).json["metadata"] == {"user_id": sends}


@pytest.mark.parametrize("name", ["jo@example.org", "mailto:Jo <jo@example.org>", "x" * 257])
def test_what_names_a_person_is_hashed(name: str) -> None:
    ids = {sent(make_call(user=name)).json["metadata"]["user_id"] for _ in range(2)}
    assert len(ids) == 1
    assert "jo" not in ids.pop()


@pytest.mark.parametrize(("tier", "sends"), [("auto", "auto"), ("default", "standard_only")])
def test_service_tiers_have_anthropics_names(tier: str, sends: str) -> None:
    assert sent(make_call(service_tier=tier)).json["service_tier"] == sends


def test_the_last_four_marks_are_kept_and_one_on_top_counts() -> None:
    mark = {"type": "ephemeral"}
    texts = [{"type": "text", "text": str(n), "cache_control": mark} for n in range(5)]
    wire = sent(make_call(user(*texts)))
    assert [("cache_control" in block) for block in wire.json["messages"][0]["content"]] == [False] + [True] * 4
    assert wire.dropped == ("cache_control",)
    wire = sent(make_call(user(*texts[:3]), cache_control={**mark, "ttl": "5m"}))
    assert (wire.json["cache_control"], wire.dropped) == ({**mark, "ttl": "5m"}, ())
    assert sent(make_call(cache_control={"type": "for ever"})).dropped == ("cache_control",)


def test_a_mark_of_an_unknown_kind_stays_here() -> None:
    wire = sent(make_call(user({"type": "text", "text": "x", "cache_control": {"type": "for ever"}})))
    assert wire.json["messages"][0]["content"] == [{"type": "text", "text": "x"}]


@pytest.mark.parametrize(
    ("schema", "sends"),
    [
        ({"type": "integer", "minimum": 1, "multipleOf": 2}, {"type": "integer"}),
        ({"type": "string", "minLength": 1, "maxLength": 9, "pattern": "a"}, {"type": "string", "pattern": "a"}),
        ({"type": "array", "uniqueItems": True, "maxItems": 2, "minItems": 1}, {"type": "array", "minItems": 1}),
        ({"enum": [{"minimum": 1}]}, {"enum": [{"minimum": 1}]}),
        ({"type": ["object", "null"]}, {"type": ["object", "null"], "additionalProperties": False}),
        ({"anyOf": [{"maximum": 1}, True]}, {"anyOf": [{}, True]}),
        ({"properties": {"maxItems": {}}}, {"properties": {"maxItems": {}}, "additionalProperties": False}),
    ],
)
def test_a_schema_loses_what_anthropic_refuses_and_is_closed(schema: Any, sends: Any) -> None:
    assert closed(schema) == sends


def test_a_schema_that_is_missing_is_json_all_the_same() -> None:
    wire = sent(make_call(response_format={"type": "json_schema", "json_schema": {"name": "x"}}))
    assert "JSON object" in wire.json["system"]
    assert "output_config" not in sent(make_call(response_format={"type": "text"})).json


def test_a_system_prompt_alone_gets_a_user_who_says_nothing() -> None:
    wire = sent(make_call({"role": "system", "content": "Be brief."}))
    assert wire.json["system"] == "Be brief."
    assert wire.json["messages"] == [{"role": "user", "content": [{"type": "text", "text": "(conversation begins)"}]}]


def test_without_any_limit_the_models_own_counts_and_what_may_be_long_is_streamed() -> None:
    call = ProviderCall(
        {"messages": [{"role": "user", "content": "x"}]}, "claude-x", flags={"max_output_tokens": 64_000}
    )
    wire = ANTHROPIC.to_wire(call)
    assert isinstance(wire, WireRequest)
    assert (wire.json["max_tokens"], wire.json["stream"], wire.stream) == (64_000, True, True)
    assert wire.headers["accept"] == "text/event-stream"


def test_the_hint_of_a_whole_message_marks_its_last_part() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    hint = {"type": "ephemeral"}
    content = sent(make_call({"role": "user", "content": parts, "cache_control": hint})).json["messages"][0]["content"]
    assert [part.get("cache_control") for part in content] == [None, hint]
