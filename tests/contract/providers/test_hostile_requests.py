"""Whatever stands in the fields that callers of other vendors send along, an adapter returns a value and never raises."""

from typing import Any

import pytest

from connectors.providers import ADAPTERS, ProviderCall, WireRequest
from schemas.chat import check_chat
from schemas.errors import ProviderError
from schemas.seals import seal

ODD: tuple[Any, ...] = (5, True, "x", ["x"], {"x": 1}, [None], [{}], {"type": ["x"]})
KINDS = ("openai", "openai-compatible", "anthropic", "gemini")
FLAGS: tuple[dict[str, Any], ...] = (
    {},
    {"api": "responses"},
    {"thinking": "adaptive", "forced_tools": False, "mid_system": True, "json_schema": False},
    {"thinking": "budget", "inputs": ["text", "image", "pdf", "audio"]},
    {"thinking": "level", "signatures": True},
)
HELLO = {"role": "user", "content": "Hi"}


def call(**more: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, **more}


def answered(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [HELLO, {"role": "assistant", "tool_calls": [spec]}, {"role": "tool", "tool_call_id": "c1", "content": "1"}]


def forged(owner: str, state: Any) -> list[dict[str, Any]]:
    """A seal proves nothing: anybody can write one."""
    return [
        HELLO,
        {"role": "assistant", "tool_calls": [call(id=seal("c1", owner, state))]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ]


def bodies(odd: Any) -> dict[str, dict[str, Any]]:
    said = {
        "thinking_blocks": [HELLO, {"role": "assistant", "content": "a", "thinking_blocks": odd}, HELLO],
        "refusal": [HELLO, {"role": "assistant", "refusal": odd}, HELLO],
        "is_error": [*answered(call())[:2], {"role": "tool", "tool_call_id": "c1", "content": "1", "is_error": odd}],
        "id of a call": answered(call(id=odd)),
        "name of a call": answered(call(function={"name": odd, "arguments": "{}"})),
        "extra_content": answered(call(extra_content=odd)),
        "extra_content.google": answered(call(extra_content={"google": odd})),
        "cache_control of a call": answered(call(cache_control=odd)),
        "cache_control": [{**HELLO, "cache_control": odd}],
        "forged anthropic": forged("anthropic/m", {"thinking": odd}),
        "forged gemini": forged("gemini/m", {"signature": odd}),
        "forged openai": forged("openai/m", {"reasoning": odd}),
        "forged": forged("anthropic/m", odd),
    }
    whole: dict[str, dict[str, Any]] = {name: {"messages": messages} for name, messages in said.items()}
    knobs = ("thinking", "top_k", "cache_control", "safety_identifier", "verbosity", "store", "functions")
    return whole | {name: {"messages": [HELLO], name: odd} for name in knobs}


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: "+".join(flags) or "plain")
@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("name", KINDS)
def test_a_request_with_any_value_in_any_field_is_a_value(name: str, odd: Any, flags: dict[str, Any]) -> None:
    for field, body in bodies(odd).items():
        if check_chat(body) is not None:
            continue
        outcome = ADAPTERS[name].to_wire(ProviderCall(body, "m", flags=flags))
        assert isinstance(outcome, WireRequest | ProviderError), field


@pytest.mark.parametrize("name", ["anthropic", "gemini"])
def test_thinking_that_cannot_be_read_is_named(name: str) -> None:
    body = {"messages": [HELLO, {"role": "assistant", "content": "a", "thinking_blocks": ["x"]}, HELLO]}
    outcome = ADAPTERS[name].to_wire(ProviderCall(body, "m"))
    assert isinstance(outcome, ProviderError)
    assert "`messages.1.thinking_blocks`" in outcome.message


@pytest.mark.parametrize("name", ["openai", "openai-compatible"])
def test_an_assistant_that_says_nothing_says_an_empty_text(name: str) -> None:
    """Content may be absent beside tool calls only; `{"role": "assistant"}` is a 400 at OpenAI."""
    silent = {"role": "assistant", "content": None, "thinking_blocks": [{"type": "redacted_thinking", "data": "x"}]}
    wire = ADAPTERS[name].to_wire(ProviderCall({"messages": [HELLO, silent, HELLO]}, "m"))
    assert isinstance(wire, WireRequest)
    assert wire.json["messages"][1] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize("name", ["openai", "openai-compatible"])
def test_what_a_client_echoes_of_an_answer_stays_here(name: str) -> None:
    """Strict servers refuse `annotations` in a request; the hint for a cache is Anthropic's, and named."""
    echoed = {"role": "assistant", "content": "a", "refusal": None, "annotations": [{"type": "url_citation"}]}
    body = {"messages": [HELLO, echoed, HELLO], "cache_control": {"type": "ephemeral"}}
    wire = ADAPTERS[name].to_wire(ProviderCall(body, "m"))
    assert isinstance(wire, WireRequest)
    assert wire.json == {"model": "m", "messages": [HELLO, {"role": "assistant", "content": "a"}, HELLO]}
    assert wire.dropped == ("cache_control",)


def test_the_cache_hint_of_a_tool_call_reaches_anthropic() -> None:
    hint = {"type": "ephemeral"}
    wire = ADAPTERS["anthropic"].to_wire(ProviderCall({"messages": answered(call(cache_control=hint))}, "m"))
    assert isinstance(wire, WireRequest)
    assert wire.json["messages"][1]["content"][0]["cache_control"] == hint
