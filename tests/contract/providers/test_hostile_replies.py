"""Whatever a server answers, an adapter returns a value and never raises."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.providers import ADAPTERS, ProviderCall
from connectors.providers.sse import SSEvent
from schemas.completion import Completion
from schemas.errors import ErrorKind, ProviderError

CALL = ProviderCall({"messages": [{"role": "user", "content": "Hi"}]}, "m", stream=True)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object in which every field is right, wrong or absent."""
    return st.fixed_dictionaries({}, optional={name: right | ANY for name, right in fields.items()})


FUNCTION = maybe(name=st.just("f"), arguments=st.sampled_from(["", "{}", '{"a":']))
CALLS = st.lists(maybe(index=st.integers(0, 2), id=st.sampled_from(["", "a", "b"]), function=FUNCTION), max_size=3)
MESSAGE = maybe(
    content=st.text(max_size=3), reasoning=st.text(max_size=3), refusal=st.text(max_size=3), tool_calls=CALLS
)
CHOICE = maybe(
    index=st.integers(0, 1),
    message=MESSAGE,
    delta=MESSAGE,
    finish_reason=st.sampled_from(["stop", "tool_calls"]),
    logprobs=ANY,
)
USAGE = maybe(
    prompt_tokens=st.integers(), completion_tokens=st.integers(), prompt_tokens_details=maybe(cached_tokens=ANY)
)
REPLY = maybe(id=st.just("x"), choices=st.lists(CHOICE, max_size=2), usage=USAGE, error=ANY, service_tier=ANY, code=ANY)
adapters = pytest.mark.parametrize("name", ADAPTERS)
chat_adapters = pytest.mark.parametrize("name", ["openai", "openai-compatible"])


@adapters
@given(reply=REPLY | ANY)
def test_a_whole_answer_of_any_shape_is_a_value(name: str, reply: Any) -> None:
    outcome = ADAPTERS[name].from_wire(json.dumps(reply).encode(), CALL)
    assert isinstance(outcome, Completion | ProviderError)
    if isinstance(outcome, Completion):
        json.dumps(outcome.to_openai("id", 1, "m"))


@adapters
@given(chunks=st.lists(REPLY | ANY, max_size=5))
def test_a_stream_of_any_shape_is_a_value(name: str, chunks: list[Any]) -> None:
    parser = ADAPTERS[name].stream(CALL)
    for chunk in chunks:
        for delta in parser.feed(SSEvent("", json.dumps(chunk))):
            assert delta.delta or delta.logprobs
    assert isinstance(parser.finish(), Completion | ProviderError)
    parser.usage_so_far()


@adapters
@given(status=st.integers(300, 599), reply=REPLY | ANY)
def test_an_error_of_any_shape_is_a_value(name: str, status: int, reply: Any) -> None:
    error = ADAPTERS[name].to_error(status, {}, json.dumps(reply).encode())
    assert error.message
    assert error.status == status


@adapters
@given(body=st.binary(max_size=50))
def test_bytes_of_any_kind_are_a_value(name: str, body: bytes) -> None:
    assert isinstance(ADAPTERS[name].from_wire(body, CALL), ProviderError)
    assert isinstance(ADAPTERS[name].to_error(500, {}, body), ProviderError)


@adapters
def test_nesting_without_end_is_a_malformed_reply(name: str) -> None:
    outcome = ADAPTERS[name].from_wire(b"[" * 100_000 + b"]" * 100_000, CALL)
    assert isinstance(outcome, ProviderError)
    assert outcome.kind is ErrorKind.MALFORMED_REPLY


@chat_adapters
def test_calls_without_an_id_get_ids_that_differ_within_a_turn_and_between_turns(name: str) -> None:
    calls = [{"function": {"name": "f", "arguments": "{}"}}] * 2
    reply = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}
    later = ProviderCall({"messages": [{"role": "user", "content": "Hi"}] * 3}, "m")
    ids = set()
    for call in (CALL, CALL, later):
        outcome = ADAPTERS[name].from_wire(json.dumps(reply).encode(), call)
        assert isinstance(outcome, Completion)
        ids |= {tool_call.id for tool_call in outcome.choices[0].tool_calls}
    assert len(ids) == 4, "the same for the same call, different otherwise"


@chat_adapters
def test_calls_without_id_and_index_are_told_apart_in_a_stream(name: str) -> None:
    parser = ADAPTERS[name].stream(CALL)
    for said in ('{"a":', "1}", ""):
        piece = {"function": {"name": "f", "arguments": said}}
        parser.feed(SSEvent("", json.dumps({"choices": [{"delta": {"tool_calls": [piece]}}]})))
    pieces = [{"function": {"name": name_, "arguments": "{}"}} for name_ in ("f", "g")]
    last = {"delta": {"tool_calls": pieces}, "finish_reason": "stop"}
    parser.feed(SSEvent("", json.dumps({"choices": [last]})))
    outcome = parser.finish()
    assert isinstance(outcome, Completion)
    assert [(call.name, call.arguments) for call in outcome.choices[0].tool_calls] == [
        ("f", '{"a":1}'),
        ("f", "{}"),
        ("g", "{}"),
    ]


@chat_adapters
def test_a_custom_tool_is_told_as_one(name: str) -> None:
    parser = ADAPTERS[name].stream(CALL)
    first = {"index": 0, "id": "call_a", "type": "custom", "custom": {"name": "sql", "input": "select"}}
    rest = {"index": 0, "custom": {"input": " 1"}}
    for piece in (first, rest):
        parser.feed(SSEvent("", json.dumps({"choices": [{"delta": {"tool_calls": [piece]}}]})))
    parser.feed(SSEvent("", json.dumps({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})))
    outcome = parser.finish()
    assert isinstance(outcome, Completion)
    assert outcome.choices[0].tool_calls[0].to_openai() == {
        "id": "call_a",
        "type": "custom",
        "custom": {"name": "sql", "input": "select 1"},
    }


@chat_adapters
@pytest.mark.parametrize("number", ["1e999", "-1", "NaN", "1e300", '"6"', "true", "null", "9" * 30])
def test_a_number_of_tokens_that_is_none_is_estimated(name: str, number: str) -> None:
    choice = (
        '{"message": {"content": "fine"}, "logprobs": {"content": [{"logprob": -Infinity}]}, "finish_reason": "stop"}'
    )
    usage = f'{{"prompt_tokens": 30, "completion_tokens": {number}}}'
    outcome = ADAPTERS[name].from_wire(f'{{"choices": [{choice}], "usage": {usage}}}'.encode(), CALL)
    assert isinstance(outcome, Completion)
    assert outcome.usage.estimated
    assert outcome.choices[0].logprobs == {"content": [{"logprob": None}], "refusal": None}
