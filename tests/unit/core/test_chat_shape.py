from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.chat import check_chat

HI = {"messages": [{"role": "user", "content": "hi"}]}


def _nested(depth: int) -> dict[str, Any]:
    value: Any = {}
    for _ in range(depth - 2):
        value = {"a": value}
    return {**HI, "metadata": value}


@pytest.mark.parametrize(
    "body",
    [
        HI,
        {**HI, "temperature": None, "max_tokens": None, "stop": None, "tools": None, "response_format": None},
        {**HI, "temperature": 0.5, "n": 128, "stop": ["a"], "stream": True, "max_completion_tokens": 1},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {**HI, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        {**HI, "a_field_from_next_week": object()},
        _nested(64),
    ],
)
def test_well_formed(body: dict[str, Any]) -> None:
    assert check_chat(body) is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages.0"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
        ({**HI, "temperature": 2.1}, "temperature"),
        ({**HI, "temperature": float("nan")}, "temperature"),
        ({**HI, "temperature": True}, "temperature"),
        ({**HI, "top_p": float("inf")}, "top_p"),
        ({**HI, "temperature": 10**400}, "temperature"),
        ({**HI, "max_tokens": 0}, "max_tokens"),
        ({**HI, "max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({**HI, "n": 129}, "n"),
        ({**HI, "stream": "yes"}, "stream"),
        ({**HI, "tools": [1]}, "tools.0"),
        ({**HI, "tools": [{"type": "function"}]}, "tools.0.function"),
        ({**HI, "stop": [1]}, "stop"),
        ({**HI, "response_format": "json"}, "response_format"),
        (_nested(65), None),
    ],
)
def test_faults_name_their_field(body: dict[str, Any], param: str | None) -> None:
    fault = check_chat(body)
    assert fault is not None
    assert (fault.code, fault.param) == ("invalid_request", param)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["messages", "tools", "stop", "n", "temperature", "response_format", "stream", "tool_choice"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_no_body_raises(body: dict[str, Any]) -> None:
    check_chat({**HI, **body})
