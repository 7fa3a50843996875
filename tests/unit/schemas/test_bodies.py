"""Faults in a body are found before any call, and named."""

from typing import Any

import pytest

from schemas.bodies import check_body

CALL = {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def conversation(arguments: Any, *results: Any) -> dict[str, Any]:
    call = {**CALL, "function": {"name": "f", "arguments": arguments}}
    return {
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            *({"role": "tool", "tool_call_id": "call_a", "content": result} for result in results),
        ]
    }


@pytest.mark.parametrize("arguments", ["", " ", None, "{}", '{"city": "Paris"}'])
def test_arguments_that_are_an_object_or_nothing_pass(arguments: Any) -> None:
    assert check_body("chat", conversation(arguments, "7")) is None


@pytest.mark.parametrize("arguments", ['{"city": "Par', "[1]", "null", "7", {"city": "Paris"}])
def test_broken_arguments_in_the_history_are_the_callers_fault(arguments: Any) -> None:
    """BerriAI/litellm#35303: taken for a connection error they were retried along every fallback."""
    fault = check_body("chat", conversation(arguments, "7"))
    assert fault is not None
    assert (fault.code, fault.param) == ("invalid_request_error", "messages.1.tool_calls.0.function.arguments")


def test_the_same_result_twice_passes_and_two_different_ones_are_named() -> None:
    """QwenLM/qwen-code#8163."""
    assert check_body("chat", conversation("{}", "7", "7")) is None
    fault = check_body("chat", conversation("{}", "7", "8"))
    assert fault is not None
    assert fault.code == "invalid_request_error"
    assert "call_a" in fault.message


def test_an_id_may_be_used_again_in_a_later_turn() -> None:
    body = conversation("{}", "7")
    body["messages"] += conversation("{}", "8")["messages"]
    assert check_body("chat", body) is None


@pytest.mark.parametrize("value", ["text", ["a", "b"], [1, 2, 3], [[1], [2, 3]]])
def test_what_can_be_embedded_passes(value: Any) -> None:
    assert check_body("embeddings", {"input": value, "encoding_format": None}) is None


@pytest.mark.parametrize("value", [None, "", [], [""], [1, "a"], [[]], [True], {"a": 1}, ["a"] * 2_049])
def test_what_cannot_be_embedded_is_named(value: Any) -> None:
    fault = check_body("embeddings", {"input": value})
    assert fault is not None
    assert fault.param == "input"


@pytest.mark.parametrize(("name", "value"), [("encoding_format", "hex"), ("dimensions", 0), ("dimensions", True)])
def test_absurd_embedding_parameters_are_named(name: str, value: Any) -> None:
    fault = check_body("embeddings", {"input": "x", name: value})
    assert fault is not None
    assert fault.param == name
