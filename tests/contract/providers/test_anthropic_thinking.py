"""Efforts and budgets: the Anthropic columns of provider_contracts.md 4.1."""

from typing import Any

import pytest

from connectors.providers import ADAPTERS, ProviderCall, WireRequest
from schemas.seals import seal, seal_id

ADAPTIVE = {"thinking": "adaptive", "efforts": ["low", "medium", "high", "xhigh"]}
BUDGET = {"thinking": "budget"}
SAY = {"role": "user", "content": "Say fine."}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
TOOL = {"type": "function", "function": {"name": "f"}}


def sent(
    flags: dict[str, Any], *messages: dict[str, Any], max_tokens: int | None = None, **body: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    call = ProviderCall({"messages": list(messages) or [SAY], **body}, "claude-x", False, max_tokens, flags)
    wire = ADAPTERS["anthropic"].to_wire(call)
    assert isinstance(wire, WireRequest), wire
    return wire.json, wire.dropped


def said(json: dict[str, Any]) -> tuple[Any, Any]:
    return json.get("thinking"), json.get("output_config")


def tool_turn(id: str = "a", **more: Any) -> list[dict[str, Any]]:
    call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [{"role": "assistant", "tool_calls": [call], **more}, {"role": "tool", "tool_call_id": id, "content": "ok"}]


@pytest.mark.parametrize(
    ("asked", "effort"),
    [("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "xhigh"), ("max", "xhigh")],
)
def test_an_adaptive_model_is_told_the_effort(asked: str, effort: str) -> None:
    shown = {"type": "adaptive", "display": "summarized"}
    assert said(sent(ADAPTIVE, reasoning_effort=asked)[0]) == (shown, {"effort": effort})


def test_an_adaptive_model_whose_efforts_are_not_listed_takes_three() -> None:
    assert said(sent({"thinking": "adaptive"}, reasoning_effort="max")[0])[1] == {"effort": "high"}
    assert said(sent({"thinking": "adaptive", "efforts": ["low"]}, reasoning_effort="future")[0])[1] == {
        "effort": "future"
    }


@pytest.mark.parametrize(
    ("off", "sends"),
    [
        (True, ({"type": "disabled"}, None)),
        ("between_tools", ({"type": "between_tools"}, None)),
        (False, (None, {"effort": "low"})),
    ],
)
@pytest.mark.parametrize("body", [{"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}])
def test_thinking_is_off_as_far_as_the_model_lets(off: Any, sends: Any, body: dict[str, Any]) -> None:
    json, dropped = sent({**ADAPTIVE, "thinking_off": off}, **body)
    assert (said(json), dropped) == (sends, ())


@pytest.mark.parametrize(
    ("body", "sends"),
    [
        ({"thinking": {"type": "adaptive"}}, ({"type": "adaptive"}, None)),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            ({"type": "adaptive", "display": "omitted"}, None),
        ),
        ({"thinking": {"type": "adaptive"}, "reasoning_effort": "low"}, ({"type": "adaptive"}, {"effort": "low"})),
        ({"thinking": {"type": "enabled", "budget_tokens": 9000}}, ({"type": "adaptive"}, {"effort": "xhigh"})),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, ({"type": "adaptive"}, {"effort": "low"})),
        ({}, (None, None)),
    ],
)
def test_what_anthropics_own_surface_asks_for_wins(body: dict[str, Any], sends: Any) -> None:
    assert said(sent(ADAPTIVE, **body)[0]) == sends


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1024), ("low", 1024), ("medium", 4096), ("high", 8192), ("xhigh", 16384), ("max", 24576)],
)
def test_a_budget_model_is_told_the_tokens(effort: str, budget: int) -> None:
    json, dropped = sent(BUDGET, max_tokens=32_000, reasoning_effort=effort)
    assert (json["thinking"], json["max_tokens"]) == ({"type": "enabled", "budget_tokens": budget}, 32_000)
    assert dropped == ()


@pytest.mark.parametrize(
    ("body", "budget"),
    [
        ({"reasoning_effort": "none"}, None),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}, "reasoning_effort": "high"}, 2000),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, 1024),
        ({"thinking": {"type": "enabled"}}, 4096),
        ({"thinking": {"type": "adaptive"}, "reasoning_effort": "high"}, 8192),
        ({}, None),
    ],
)
def test_a_budget_may_be_given_in_tokens(body: dict[str, Any], budget: int | None) -> None:
    json, dropped = sent(BUDGET, max_tokens=32_000, **body)
    assert json.get("thinking", {}).get("budget_tokens") == budget
    assert dropped == ()


@pytest.mark.parametrize(
    ("callers", "budget"),
    [(8193, 8192), (8192, 4096), (3000, 1500), (1500, 1024), (1025, 1024), (1024, None), (9, None)],
)
def test_a_budget_shrinks_under_a_callers_limit(callers: int, budget: int | None) -> None:
    json, dropped = sent(BUDGET, max_tokens=callers, max_completion_tokens=callers, reasoning_effort="high")
    assert json["max_tokens"] == callers
    assert json.get("thinking", {}).get("budget_tokens") == budget
    assert dropped == (() if budget else ("reasoning_effort",))


def test_our_own_limit_makes_room_for_a_budget() -> None:
    assert sent(BUDGET, reasoning_effort="max")[0]["max_tokens"] == 24_576 + 4_096


def test_a_model_that_does_not_think_drops_what_was_asked_for() -> None:
    assert sent({}, reasoning_effort="low", thinking={"type": "adaptive"})[1] == ("reasoning_effort", "thinking")
    assert sent({}, reasoning_effort="none")[1] == ()


def test_thinking_forbids_sampling_but_a_temperature_of_one() -> None:
    body: dict[str, Any] = {"reasoning_effort": "low", "top_p": 0.97}
    json, dropped = sent(BUDGET, temperature=1, top_k=3, **body)
    assert (json["temperature"], json["top_p"], dropped) == (1, 0.97, ("top_k",))
    json, dropped = sent(ADAPTIVE, temperature=0.5, reasoning_effort="low", top_p=0.5)
    assert dropped == ("temperature", "top_p")


def test_thinking_on_a_budget_asks_for_a_tool_in_words() -> None:
    json, _ = sent(BUDGET, tools=[TOOL], tool_choice="required", reasoning_effort="low")
    assert (json["tool_choice"], json["system"]) == ({"type": "auto"}, "You must call one of the tools.")
    json, _ = sent(BUDGET, tools=[TOOL], tool_choice="required")
    assert json["tool_choice"] == {"type": "any"}


def test_a_tool_turn_without_its_thinking_switches_a_budget_off() -> None:
    body: dict[str, Any] = {"reasoning_effort": "low", "tools": [TOOL]}
    json, dropped = sent(BUDGET, SAY, *tool_turn(), **body)
    assert ("thinking" in json, dropped) == (False, ("reasoning_effort",))
    json, _ = sent(BUDGET, SAY, *tool_turn(thinking_blocks=[THOUGHT]), *tool_turn("b"), **body)
    assert "thinking" in json, "the model thinks once before it calls tools one after another"
    json, _ = sent(BUDGET, SAY, *tool_turn(), {"role": "assistant", "content": "Fine."}, SAY, **body)
    assert "thinking" in json, "that turn is over"
    json, _ = sent(ADAPTIVE, SAY, *tool_turn(), **body)
    assert json["thinking"] == {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize("owner", ["anthropic/claude-x", "anthropic/claude-y", "gemini/claude-x"])
def test_thinking_goes_back_first_and_only_to_its_own_model(owner: str) -> None:
    echoed = tool_turn(thinking_blocks=[{**THOUGHT, "signature": seal("c2ln", owner)}], content="I look.")
    ridden = tool_turn(seal_id("toolu_a", owner, {"thinking": [THOUGHT]}), content="I look.")
    for turn, id in ((echoed, "a"), (ridden, "toolu_a")):
        json, _ = sent(ADAPTIVE, SAY, *turn, tools=[TOOL])
        text, call = {"type": "text", "text": "I look."}, {"type": "tool_use", "id": id, "name": "f", "input": {}}
        mine = [THOUGHT] if owner == "anthropic/claude-x" else []
        assert json["messages"][1]["content"] == [*mine, text, call]


def test_what_is_no_thinking_block_stays_here() -> None:
    turn = tool_turn(thinking_blocks=[{"type": "summary", "signature": "c2ln"}, THOUGHT])
    json, _ = sent(ADAPTIVE, SAY, *turn, tools=[TOOL])
    assert [block["type"] for block in json["messages"][1]["content"]] == ["thinking", "tool_use"]


def test_nothing_but_thinking_is_no_message() -> None:
    json, _ = sent(ADAPTIVE, SAY, {"role": "assistant", "content": None, "thinking_blocks": [THOUGHT]}, SAY)
    assert [message["role"] for message in json["messages"]] == ["user"]
    assert json["messages"][0]["content"] == [{"type": "text", "text": "Say fine."}] * 2
