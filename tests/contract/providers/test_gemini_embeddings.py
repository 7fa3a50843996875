"""Embeddings at Gemini: batchEmbedContents."""

import json
from typing import Any

import pytest

from connectors.providers import ProviderCall, WireRequest
from connectors.providers.gemini import GEMINI
from schemas.completion import Embeddings
from schemas.errors import ErrorKind, ProviderError


def call_of(**body: Any) -> ProviderCall:
    return ProviderCall({"model": "m", **body}, "models/gemini-embedding-001", operation="embeddings")


def answer_to(call: ProviderCall, *vectors: Any, **more: Any) -> Embeddings | ProviderError:
    reply = {"embeddings": [{"values": vector} for vector in vectors], **more}
    outcome = GEMINI.from_wire(json.dumps(reply).encode(), call)
    assert isinstance(outcome, Embeddings | ProviderError)
    return outcome


def test_all_texts_go_out_in_one_call() -> None:
    wire = GEMINI.to_wire(call_of(input=["one", "two"], dimensions=768, encoding_format="base64", user="u1"))
    assert isinstance(wire, WireRequest)
    assert wire.path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    assert wire.json == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "outputDimensionality": 768,
                "content": {"parts": [{"text": text}]},
            }
            for text in ("one", "two")
        ]
    }
    assert wire.dropped == ("user",)


@pytest.mark.parametrize(
    ("given", "named"),
    [([1, 2], "input.0"), (["one", [1]], "input.1"), ([], "input"), (["x"] * 101, "input"), (None, "input")],
)
def test_what_is_no_text_is_refused_by_name(given: Any, named: str) -> None:
    error = GEMINI.to_wire(call_of(input=given))
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.INVALID_REQUEST
    assert f"`{named}`" in error.message


def test_a_parameter_is_refused_where_the_policy_says_so() -> None:
    flags = {"policy": {"user": "refuse"}}
    error = GEMINI.to_wire(ProviderCall({"input": "one", "user": "u1"}, "m", flags=flags, operation="embeddings"))
    assert isinstance(error, ProviderError)
    assert "`user`" in error.message


def test_vectors_come_back_in_order_and_in_the_form_asked_for() -> None:
    floats = answer_to(call_of(input=["one", "two"]), [0.5, -1], [0.25, 2])
    assert isinstance(floats, Embeddings)
    told = floats.to_openai("", 0, "m")
    assert [row["embedding"] for row in told["data"]] == [[0.5, -1.0], [0.25, 2.0]]
    coded = answer_to(call_of(input="one", encoding_format="base64"), [0.5])
    assert isinstance(coded, Embeddings)
    assert coded.to_openai("", 0, "m")["data"][0]["embedding"] == "AAAAPw=="


def test_usage_is_estimated_unless_it_is_told() -> None:
    guessed = answer_to(call_of(input="one two three four"), [0.5])
    assert isinstance(guessed, Embeddings)
    assert guessed.usage.estimated
    assert guessed.usage.input_tokens > 4
    assert guessed.usage.output_tokens == 0
    told = answer_to(call_of(input="one"), [0.5], usageMetadata={"promptTokenCount": 9})
    assert isinstance(told, Embeddings)
    assert (told.usage.input_tokens, told.usage.estimated) == (9, False)


@pytest.mark.parametrize("vectors", [[], [[0.5], [0.5]], [["x"]], [None], [[1e300]], [[]]])
def test_an_answer_that_fits_not_its_question_is_malformed(vectors: list[Any]) -> None:
    error = answer_to(call_of(input="one"), *vectors)
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.MALFORMED_REPLY


def test_vectors_of_different_lengths_are_malformed() -> None:
    assert isinstance(answer_to(call_of(input=["one", "two"]), [0.5], [0.5, 1]), ProviderError)


def test_an_error_said_with_200_is_an_error() -> None:
    body = json.dumps({"error": {"code": 503, "status": "UNAVAILABLE", "message": "Later."}}).encode()
    error = GEMINI.from_wire(body, call_of(input="one"))
    assert isinstance(error, ProviderError)
    assert error.kind is ErrorKind.OVERLOADED
