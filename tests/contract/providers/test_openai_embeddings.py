"""Embeddings at OpenAI and at compatible servers: what is asked, and which vectors are believed."""

import base64
import json
import struct
from typing import Any

import pytest

from connectors.providers import ADAPTERS, ProviderCall, WireRequest
from schemas.completion import Embeddings
from schemas.errors import ErrorKind, ProviderError

ONE, TWO = [0.5, -0.25], [1.0, 2.0]
USAGE = {"prompt_tokens": 8, "total_tokens": 8}


def asked(**body: Any) -> ProviderCall:
    return ProviderCall({"model": "asked-model", **body}, "vendor-model", operation="embeddings")


def wire_of(adapter: str, call: ProviderCall) -> WireRequest:
    wire = ADAPTERS[adapter].to_wire(call)
    assert isinstance(wire, WireRequest)
    return wire


def packed(numbers: list[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def row(index: int | None, vector: Any) -> dict[str, Any]:
    return {"object": "embedding", "embedding": vector, **({} if index is None else {"index": index})}


def reply(*rows: dict[str, Any], usage: Any = USAGE) -> bytes:
    return json.dumps({"object": "list", "data": rows, "model": "vendor-model-2", "usage": usage}).encode()


def read(body: bytes, call: ProviderCall) -> Embeddings:
    outcome = ADAPTERS["openai"].from_wire(body, call)
    assert isinstance(outcome, Embeddings), outcome
    return outcome


@pytest.mark.parametrize(
    ("adapter", "wanted", "form"),
    [
        ("openai", None, "base64"),
        ("openai", "float", "base64"),
        ("openai", "base64", "base64"),
        ("openai-compatible", None, "float"),
        ("openai-compatible", "float", "float"),
        ("openai-compatible", "base64", "base64"),
    ],
)
def test_the_form_is_the_one_that_the_family_knows(adapter: str, wanted: str | None, form: str) -> None:
    wire = wire_of(adapter, asked(input=["a"], encoding_format=wanted, dimensions=2, extra=None))
    assert (wire.method, wire.path) == ("POST", "/embeddings")
    assert wire.json == {"model": "vendor-model", "input": ["a"], "dimensions": 2, "encoding_format": form}


def test_account_fields_stay_with_openai() -> None:
    assert wire_of("openai", asked(input="a", user="u")).json["user"] == "u"
    wire = wire_of("openai-compatible", asked(input="a", user="u"))
    assert "user" not in wire.json
    assert wire.dropped == ("user",)


def test_the_surface_for_answers_plays_no_part() -> None:
    call = ProviderCall({"input": "a"}, "m", flags={"api": "responses"}, operation="embeddings")
    assert wire_of("openai", call).path == "/embeddings"


@pytest.mark.parametrize("write", [lambda numbers: numbers, lambda numbers: base64.b64encode(packed(numbers)).decode()])
def test_either_form_is_read_whatever_was_asked(write: Any) -> None:
    got = read(reply(row(1, write(TWO)), row(0, write(ONE))), asked(input=["a", "b"]))
    assert got.vectors == [packed(ONE), packed(TWO)], "in the order of the input"
    assert (got.format, got.usage.input_tokens, got.usage.estimated) == ("float", 8, False)
    assert [entry["embedding"] for entry in got.to_openai("id", 1, "m")["data"]] == [ONE, TWO]


def test_the_caller_gets_the_form_that_was_asked_for() -> None:
    got = read(reply(row(None, ONE)), asked(input="a", encoding_format="base64"))
    assert got.to_openai("id", 1, "m")["data"][0]["embedding"] == base64.b64encode(packed(ONE)).decode()


@pytest.mark.parametrize(
    ("given", "wanted"), [("a", 1), ([1, 2, 3], 1), (["a", "b"], 2), ([[1, 2], [3]], 2), (["a"], 1)]
)
def test_an_input_has_so_many_vectors(given: Any, wanted: int) -> None:
    rows = [row(at, ONE) for at in range(wanted)]
    assert len(read(reply(*rows), asked(input=given)).vectors) == wanted


@pytest.mark.parametrize(
    "body",
    [
        reply(row(0, ONE)),
        reply(row(0, ONE), row(1, TWO), row(2, TWO)),
        reply(row(0, ONE), row(0, TWO)),
        reply(row(0, ONE), row(5, TWO)),
        reply(row(0, ONE), {"index": [1], "embedding": TWO}),
        reply(row(0, ONE), row(1, [1.0])),
        reply(row(0, []), row(1, [])),
        reply(row(0, ONE), row(1, None)),
        reply(row(0, ONE), row(1, [1.0, None])),
        reply(row(0, ONE), row(1, ["1", "2"])),
        reply(row(0, ONE), row(1, [1e300, 1.0])),
        reply(row(0, ONE), row(1, [10**400, 1])),
        reply(row(0, ONE), row(1, "AAAA")),
        reply(row(0, ONE), row(1, "no base64!")),
        reply(row(0, ONE), row(1, base64.b64encode(struct.pack("<2f", float("nan"), 1)).decode())),
        b'{"data": {}}',
        b"[]",
        b"<html>",
    ],
)
def test_vectors_that_are_not_as_wanted_are_a_malformed_reply(body: bytes) -> None:
    outcome = ADAPTERS["openai"].from_wire(body, asked(input=["a", "b"]))
    assert isinstance(outcome, ProviderError)
    assert outcome.kind is ErrorKind.MALFORMED_REPLY


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "total_tokens": 0}, {"prompt_tokens": "8"}, 7])
def test_usage_that_is_missing_is_estimated_from_the_input(usage: Any) -> None:
    got = read(reply(row(0, ONE), usage=usage), asked(input="word " * 100))
    assert got.usage.estimated
    assert 100 <= got.usage.input_tokens <= 150
    assert got.usage.output_tokens == 0


def test_an_error_with_status_200_is_an_error() -> None:
    body = b'{"error": {"message": "Rate limit exceeded, try again", "code": 429, "type": "rate_limit"}}'
    outcome = ADAPTERS["openai-compatible"].from_wire(body, asked(input="a"))
    assert isinstance(outcome, ProviderError)
    assert outcome.kind is ErrorKind.RATE_LIMITED
