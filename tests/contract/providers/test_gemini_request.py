"""What goes out to Gemini beyond the wire samples: thinking, limits, refusals, and that nothing is lost."""

import json
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.providers import ProviderCall, WireRequest
from connectors.providers.conversation import Conversation, System, Text, User
from connectors.providers.gemini import GEMINI
from connectors.providers.gemini.contents import write_contents
from schemas.errors import ErrorKind, ProviderError
from schemas.seals import seal, seal_id

HI = [{"role": "user", "content": "Hi"}]
LEVEL = {"thinking": "level", "thinking_off": False}
BUDGET = {"thinking": "budget"}
PRO = {"thinking": "budget", "thinking_off": False}
TOOL = {"type": "function", "function": {"name": "f"}}


def wire_of(upstream: str = "gemini-3-flash", *, flags: Any = None, stream: bool = False, **body: Any) -> WireRequest:
    wire = GEMINI.to_wire(ProviderCall({"model": "m", "messages": HI, **body}, upstream, stream, None, flags or {}))
    assert isinstance(wire, WireRequest), wire
    return wire


def refusal_of(flags: Any = None, **body: Any) -> ProviderError:
    error = GEMINI.to_wire(ProviderCall({"model": "m", "messages": HI, **body}, "gemini-3-flash", flags=flags or {}))
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.INVALID_REQUEST
    return error


def config_of(flags: Any = None, **body: Any) -> dict[str, Any]:
    config: dict[str, Any] = wire_of(flags=flags, **body).json.get("generationConfig", {})
    return config


@pytest.mark.parametrize("upstream", ["gemini-3-flash", "models/gemini-3-flash"])
def test_the_path_names_model_and_action_and_never_a_key(upstream: str) -> None:
    assert wire_of(upstream).path == "/v1beta/models/gemini-3-flash:generateContent"
    assert wire_of(upstream, stream=True).path == "/v1beta/models/gemini-3-flash:streamGenerateContent?alt=sse"
    assert GEMINI.credential == ("x-goog-api-key", "")


# provider_contracts.md section 4.1
@pytest.mark.parametrize(
    ("effort", "flags", "said"),
    [
        ("none", {**LEVEL, "levels": ["minimal", "low", "high"]}, {"thinkingLevel": "MINIMAL"}),
        ("none", LEVEL, {"thinkingLevel": "LOW"}),
        ("minimal", {**LEVEL, "levels": ["minimal", "low", "high"]}, {"thinkingLevel": "MINIMAL"}),
        ("minimal", LEVEL, {"thinkingLevel": "LOW"}),
        ("low", LEVEL, {"thinkingLevel": "LOW"}),
        ("medium", LEVEL, {"thinkingLevel": "MEDIUM"}),
        ("medium", {**LEVEL, "levels": ["low", "high"]}, {"thinkingLevel": "HIGH"}),
        ("high", LEVEL, {"thinkingLevel": "HIGH"}),
        ("xhigh", LEVEL, {"thinkingLevel": "HIGH"}),
        ("max", {**LEVEL, "levels": ["low", "medium", "high", "xhigh"]}, {"thinkingLevel": "XHIGH"}),
        ("none", BUDGET, {"thinkingBudget": 0}),
        ("none", PRO, {"thinkingBudget": 128}),
        ("minimal", BUDGET, {"thinkingBudget": 1_024}),
        ("low", BUDGET, {"thinkingBudget": 1_024}),
        ("medium", PRO, {"thinkingBudget": 8_192}),
        ("high", BUDGET, {"thinkingBudget": 24_576}),
        ("xhigh", BUDGET, {"thinkingBudget": 24_576}),
        ("max", PRO, {"thinkingBudget": 24_576}),
    ],
)
def test_an_effort_becomes_a_level_or_a_budget(effort: str, flags: Any, said: dict[str, Any]) -> None:
    shown = {} if effort == "none" else {"includeThoughts": True}
    wire = wire_of(flags={**flags, "efforts": ()}, reasoning_effort=effort)
    assert wire.json["generationConfig"] == {"thinkingConfig": {**said, **shown}}
    assert wire.dropped == ()


@pytest.mark.parametrize(
    ("wish", "flags", "said"),
    [
        ({"type": "enabled", "budget_tokens": 4_000}, BUDGET, {"thinkingBudget": 4_000, "includeThoughts": True}),
        ({"type": "enabled", "budget_tokens": 99_000}, PRO, {"thinkingBudget": 24_576, "includeThoughts": True}),
        ({"type": "enabled", "budget_tokens": 1_024}, LEVEL, {"thinkingLevel": "LOW", "includeThoughts": True}),
        ({"type": "enabled", "budget_tokens": 10_000}, LEVEL, {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ({"type": "enabled", "budget_tokens": 64_000}, LEVEL, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ({"type": "adaptive"}, LEVEL, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ({"type": "disabled"}, BUDGET, {"thinkingBudget": 0}),
        ({"type": "disabled"}, LEVEL, {"thinkingLevel": "LOW"}),
    ],
)
def test_thinking_of_the_anthropic_surface_wins_over_the_effort(wish: Any, flags: Any, said: dict[str, Any]) -> None:
    assert config_of(flags, thinking=wish, reasoning_effort="high") == {"thinkingConfig": said}


def test_thinking_is_left_to_the_model_if_nobody_speaks_of_it() -> None:
    assert config_of(LEVEL) == config_of(BUDGET) == {}
    assert config_of(LEVEL, thinking={"type": "adaptive"}) == {"thinkingConfig": {"includeThoughts": True}}


def test_what_cannot_be_said_of_thinking_is_named() -> None:
    assert wire_of(reasoning_effort="low", thinking={"type": "adaptive"}).dropped == ("reasoning_effort", "thinking")
    assert wire_of(thinking={"type": "disabled"}).dropped == ()
    assert wire_of(flags=LEVEL, reasoning_effort="galactic", thinking="yes").dropped == ("reasoning_effort", "thinking")


def test_stop_sequences_are_at_most_five() -> None:
    assert config_of(stop="END") == {"stopSequences": ["END"]}
    assert config_of(stop=list("abcde"))["stopSequences"] == list("abcde")
    assert "5 `stop`" in refusal_of(stop=list("abcdef")).message


def test_more_choices_than_the_model_gives_are_refused_by_policy() -> None:
    assert config_of({"n_max": 1}, n=1) == {}
    assert "`n`" in refusal_of({"n_max": 1, "policy": {"n": "refuse"}}, n=2).message


def test_a_seed_of_64_bits_is_folded_into_32() -> None:
    assert config_of(seed=2**40 + 5) == {"seed": 5}
    assert 0 <= config_of(seed=-1)["seed"] < 2**31


def test_a_schema_for_a_model_without_native_schemas_stands_in_the_prompt() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    wire = wire_of(flags={"json_schema": False}, response_format=wanted)
    assert wire.json["generationConfig"] == {"responseMimeType": "application/json"}
    assert '{"type":"object"}' in wire.json["systemInstruction"]["parts"][0]["text"]


def test_json_beside_tools_is_native_from_gemini_3_on() -> None:
    wire = wire_of(flags={"signatures": True}, response_format={"type": "json_object"}, tools=[TOOL])
    assert wire.json["generationConfig"] == {"responseMimeType": "application/json"}
    assert "systemInstruction" not in wire.json


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("none", {"mode": "NONE"}),
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}},
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_the_choice_of_tools_has_modes_in_upper_case(choice: Any, config: dict[str, Any]) -> None:
    wire = wire_of(tools=[TOOL], tool_choice=choice)
    assert wire.json["toolConfig"] == {"functionCallingConfig": config}
    assert wire.dropped == ()


def test_a_choice_that_cannot_be_forced_is_a_note_or_refused() -> None:
    named = {"type": "function", "function": {"name": "f"}}
    wire = wire_of(flags={"forced_tools": False}, tools=[TOOL], tool_choice=named)
    assert wire.json["systemInstruction"]["parts"] == [{"text": "You must call the tool `f`."}]
    assert wire.json["toolConfig"] == {"functionCallingConfig": {"mode": "AUTO"}}
    flags = {"forced_tools": False, "policy": {"tool_choice": "refuse"}}
    assert "`tool_choice`" in refusal_of(flags, tools=[TOOL], tool_choice="required").message


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}, "tools.0"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "custom", "custom": {"name": "sql"}}}, "tool_choice"),
        (
            {
                "tools": [TOOL],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "custom"}]},
                },
            },
            "tool_choice",
        ),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(body: dict[str, Any], named: str) -> None:
    assert f"`{named}`" in refusal_of(**body).message


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    "part",
    [
        image("data:image/gif;base64,R0lG"),
        image("data:image/png;base64,"),
        image("https://images.example/cat"),
        image("https://[::1"),
        {"type": "file", "file": {"file_data": "data:application/zip;base64,UEs="}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "pcm16"}},
        {"type": "video_url", "video_url": {"url": "https://videos.example/cat.mp4"}},
    ],
)
def test_media_that_gemini_does_not_take_are_refused_by_name(part: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "Look."}, part]}]
    flags = {"inputs": ["text", "image", "pdf", "audio", "video"]}
    assert "`messages.0.content.1`" in refusal_of(flags, messages=messages).message


def test_a_linked_image_in_a_result_is_refused_where_results_hold_their_media() -> None:
    part = image("https://images.example/cat.png")
    flags: dict[str, Any] = {"inputs": ["text", "image"]}
    messages = [*called("call_a"), {"role": "tool", "tool_call_id": "call_a", "content": [part]}]
    assert wire_of(flags=flags, messages=messages).json["contents"][2]["parts"][1]["fileData"]
    assert "`messages.2.content.0`" in refusal_of({**flags, "signatures": True}, messages=messages).message


def test_an_answer_begun_by_others_is_refused_where_the_model_does_not_go_on() -> None:
    messages = [*HI, {"role": "assistant", "content": "Once upon"}]
    assert wire_of(messages=messages).json["contents"][-1] == {"role": "model", "parts": [{"text": "Once upon"}]}
    assert "`messages.1`" in refusal_of({"prefill": False}, messages=messages).message


def test_turns_between_which_nothing_was_said_are_one() -> None:
    said = [("user", "Hi"), ("assistant", "a"), ("user", ""), ("assistant", "b"), ("user", "c")]
    contents = wire_of(messages=[{"role": role, "content": text} for role, text in said]).json["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user"]
    assert contents[1]["parts"] == [{"text": "a"}, {"text": "b"}]


def test_a_system_turn_is_a_note_of_the_user() -> None:
    conversation = Conversation(turns=[User(parts=[Text("Hi")]), System([Text("Be brief.")])])
    assert write_contents(conversation, {}) == [
        {"role": "user", "parts": [{"text": "Hi"}, {"text": "[System note] Be brief."}]}
    ]


@pytest.mark.parametrize("text", ["", "17", "[1]", '{"a": 1', "null"])
def test_a_result_that_is_no_object_goes_out_as_text(text: str) -> None:
    messages = [*called("call_a"), {"role": "tool", "tool_call_id": "call_a", "content": text}]
    result = wire_of(messages=messages).json["contents"][2]["parts"][0]["functionResponse"]
    assert result == {"id": "call_a", "name": "f", "response": {"output": text}}


def called(id: str, **more: Any) -> list[dict[str, Any]]:
    call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}, **more}
    return [*HI, {"role": "assistant", "tool_calls": [call]}]


def signature_of(id: str, **more: Any) -> Any:
    messages = [*called(id, **more), {"role": "tool", "tool_call_id": id, "content": "1"}]
    contents = wire_of("gemini-3-flash", flags={"signatures": True}, messages=messages).json["contents"]
    call, result = contents[1]["parts"][0], contents[2]["parts"][0]
    assert call["functionCall"]["id"] == result["functionResponse"]["id"] == "fc_a", "no seal of ours goes out"
    return call["thoughtSignature"]


def test_a_signature_comes_back_through_the_id_or_beside_it_and_only_to_its_model() -> None:
    mine, other, lost = "gemini/gemini-3-flash", "gemini/gemini-4-pro", "skip_thought_signature_validator"
    assert signature_of(seal_id("fc_a", mine, {"signature": "c2ln"})) == "c2ln"
    assert signature_of(seal_id("fc_a", other, {"signature": "c2ln"})) == lost
    echoed = {"google": {"thought_signature": seal("c2ln", mine)}}
    assert signature_of("fc_a", extra_content=echoed) == "c2ln"
    assert signature_of("fc_a") == lost


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
MEDIA = st.sampled_from(
    [
        image("data:image/png;base64,UE5H"),
        image("https://images.example/cat.png"),
        image("data:image/gif;base64,R0lG"),
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,UERG"}},
        {"type": "input_audio", "input_audio": {"data": "V0FW", "format": "wav"}},
    ]
)
CONTENT = TEXTS | st.lists(TEXTS.map(lambda text: {"type": "text", "text": text}) | MEDIA, max_size=3)
SPOKEN = st.one_of(
    st.builds(lambda content: [{"role": "user", "content": content}], CONTENT),
    st.builds(lambda role, text: [{"role": role, "content": text}], st.sampled_from(["assistant", "system"]), TEXTS),
)


@st.composite
def tool_turn(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = [f"call_{number}" for number in range(draw(st.integers(1, 3)))]
    calls = [
        {"id": id, "type": "function", "function": {"name": f"f_{id}", "arguments": json.dumps({"a": draw(TEXTS)})}}
        for id in ids
    ]
    results = [
        {"role": "tool", "tool_call_id": id, "content": draw(CONTENT | st.just('{"b": 1}'))}
        for id in draw(st.permutations(ids))
    ]
    return [{"role": "assistant", "content": draw(TEXTS), "tool_calls": calls}, *results]


CONVERSATIONS = st.lists(SPOKEN | tool_turn(), min_size=1, max_size=5).map(lambda turns: list(chain(*turns)))


def said_in(messages: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """What a conversation holds, by kind, in order."""
    said: dict[str, list[Any]] = {"texts": [], "calls": [], "results": [], "media": []}
    spoken = False
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts = [part["text"] for part in parts if part["type"] == "text" and part["text"]]
        said["media"] += [part for part in parts if part["type"] != "text"]
        spoken = spoken or message["role"] != "system"
        if message["role"] == "tool":
            said["results"].append((message["tool_call_id"], "".join(texts)))
        else:
            note = "[System note] " if message["role"] == "system" and spoken else ""
            said["texts"] += [f"{note}{text}" for text in texts]
        for call in message.get("tool_calls", ()):
            function = call["function"]
            said["calls"].append((call["id"], function["name"], json.loads(function["arguments"])))
    return said


def sent_in(body: dict[str, Any]) -> dict[str, list[Any]]:
    sent: dict[str, list[Any]] = {"texts": [], "calls": [], "results": [], "media": []}
    contents = [*([body["systemInstruction"]] if "systemInstruction" in body else []), *body["contents"]]
    for part in (part for content in contents for part in content["parts"]):
        match part:
            case {"text": text}:
                sent["texts"].append(text)
            case {"functionCall": call}:
                sent["calls"].append((call["id"], call["name"], call["args"]))
            case {"functionResponse": result}:
                told = result["response"]
                sent["results"].append((result["id"], told["output"] if "output" in told else json.dumps(told)))
                sent["media"] += result.get("parts", [])
            case _:
                sent["media"].append(part)
    return sent


@settings(derandomize=True, deadline=None)
@given(messages=CONVERSATIONS, third=st.booleans())
def test_all_that_a_conversation_holds_goes_out_in_order_or_a_part_is_named(messages: Any, third: bool) -> None:
    flags = {"inputs": ["text", "image", "pdf", "audio"], "signatures": third}
    wire = GEMINI.to_wire(ProviderCall({"messages": messages}, "gemini-3-flash", flags=flags))
    if isinstance(wire, ProviderError):
        assert wire.kind is ErrorKind.INVALID_REQUEST
        assert "`messages" in wire.message
        return
    said, sent = said_in(messages), sent_in(wire.json)
    assert len(sent.pop("media")) == len(said.pop("media"))
    assert sent == said
    roles = [content["role"] for content in wire.json["contents"]]
    assert all(before != after for before, after in pairwise(roles)), "neighbours are one"
    assert all(content["parts"] for content in wire.json["contents"])
