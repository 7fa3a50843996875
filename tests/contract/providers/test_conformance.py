"""Every adapter against every wire sample: what goes out, what comes back, streamed and not."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.providers import ADAPTERS, Adapter, Delta, ProviderCall, WireRequest
from connectors.providers.sse import SSEParser
from schemas.completion import Completion, Usage
from schemas.errors import ProviderError
from schemas.seals import unseal

WIRE = Path(__file__).parents[1] / "wire"
CASES = sorted(path.parent.relative_to(WIRE).as_posix() for path in WIRE.glob("*/*/expected.json"))
STREAMED = [case for case in CASES if (WIRE / case / "events.sse").exists()]
WHOLE = [case for case in CASES if (WIRE / case / "response.json").exists()]
BOTH = [case for case in WHOLE if case in STREAMED]
# What the body of a streamed call has beyond that of a whole one; usage comes unasked but for Chat Completions.
ASKS_FOR_STREAM: dict[str, dict[str, Any]] = {
    "openai": {"stream": True, "stream_options": {"include_usage": True}},
    "openai-compatible": {"stream": True, "stream_options": {"include_usage": True}},
    "openai-responses": {"stream": True},
    "anthropic": {"stream": True},
    "gemini": {},  # the path says it
}


def load(case: str, name: str) -> Any:
    return json.loads((WIRE / case / f"{name}.json").read_text(encoding="utf-8"))


def estimate(call: ProviderCall, choices: Any) -> Usage:
    return Usage(input_tokens=7, output_tokens=9)


def adapter_of(case: str) -> Adapter:
    """A folder has its adapter's name; OpenAI's second surface has a folder of its own, and the flags choose it."""
    folder = case.partition("/")[0]
    return ADAPTERS[{"openai-responses": "openai"}.get(folder, folder)]


def call_of(case: str, *, stream: bool) -> ProviderCall:
    asked = load(case, "request")
    return ProviderCall(asked["body"], asked["upstream"], stream, asked["max_tokens"], asked["flags"])


def read_whole(case: str) -> Completion | ProviderError:
    adapter, reply = adapter_of(case), load(case, "response")
    body = (reply["text"] if "text" in reply else json.dumps(reply["body"])).encode()
    if reply["status"] != 200:
        return adapter.to_error(reply["status"], reply["headers"], body)
    return adapter.from_wire(body, call_of(case, stream=False), estimate=estimate)


def read_stream(case: str, *, cut: int = 1 << 20) -> tuple[Completion | ProviderError, list[Delta]]:
    parser = adapter_of(case).stream(call_of(case, stream=True), estimate=estimate)
    events, data = SSEParser(), (WIRE / case / "events.sse").read_bytes()
    chunks = (data[at : at + cut] for at in range(0, len(data), cut))
    deltas = [delta for chunk in chunks for event in events.feed(chunk) for delta in parser.feed(event)]
    return parser.finish(), deltas


def opened(value: Any) -> Any:
    """Samples hold signatures and ids as the vendor wrote them."""
    if isinstance(value, str):
        return unseal(value).text
    if isinstance(value, list):
        return [opened(inner) for inner in value]
    return {key: opened(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def check(case: str, got: Completion | ProviderError) -> None:
    expected = load(case, "expected")
    if "error" in expected:
        assert isinstance(got, ProviderError), got
        facts = {"kind": got.kind, "status": got.status, "code": got.code, "retry_after_s": got.retry_after_s}
        assert {"status": None, "code": None, "retry_after_s": None, **expected["error"]} == facts
    else:
        assert isinstance(got, Completion), got
        told = opened(got.to_openai("id", 1, "model"))
        assert {key: told[key] for key in told if key not in {"id", "object", "created", "model"}} == expected[
            "completion"
        ]


@pytest.mark.parametrize("case", CASES)
def test_the_request_goes_out_as_the_vendor_wants_it(case: str) -> None:
    expected, adapter = load(case, "expected"), adapter_of(case)
    call = call_of(case, stream=False)
    before = json.dumps(call.body)
    wire = adapter.to_wire(call)
    assert isinstance(wire, WireRequest)
    assert (wire.json, list(wire.dropped)) == (expected["wire"], expected["dropped"])
    assert json.loads(wire.content()) == expected["wire"]
    assert json.dumps(call.body) == before, "the caller's body was changed"
    assert not any(name.lower() == adapter.credential[0] for name in wire.headers)


@pytest.mark.parametrize("case", STREAMED)
def test_a_stream_is_asked_for_with_usage(case: str) -> None:
    wire = adapter_of(case).to_wire(call_of(case, stream=True))
    assert isinstance(wire, WireRequest)
    assert wire.json == {**load(case, "expected")["wire"], **ASKS_FOR_STREAM[case.partition("/")[0]]}


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_answer_is_read(case: str) -> None:
    check(case, read_whole(case))


@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
@pytest.mark.parametrize("case", STREAMED)
def test_a_stream_is_read_however_it_is_cut(case: str, cut: int) -> None:
    check(case, read_stream(case, cut=cut)[0])


@pytest.mark.parametrize("case", BOTH)
def test_streamed_and_unstreamed_end_in_the_same(case: str) -> None:
    assert read_stream(case)[0] == read_whole(case)


@pytest.mark.parametrize("case", [case for case in STREAMED if "completion" in load(case, "expected")])
def test_the_pieces_add_up_to_the_answer(case: str) -> None:
    outcome, deltas = read_stream(case)
    assert isinstance(outcome, Completion)
    for choice in outcome.choices:
        pieces = [piece.delta for piece in deltas if piece.index == choice.index]
        assert [piece.get("role") for piece in pieces] == (["assistant"] + [None] * len(pieces))[: len(pieces)]
        assert "".join(piece.get("content") or "" for piece in pieces) == choice.text
        assert "".join(piece.get("reasoning_content") or "" for piece in pieces) == (choice.reasoning_content or "")
        assert "".join(piece.get("refusal") or "" for piece in pieces) == (choice.refusal or "")
        assert fold_calls(pieces) == [call.to_openai() for call in choice.tool_calls]


def fold_calls(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As a client does it: the first piece of a call has everything but arguments, further ones only those."""
    calls: list[dict[str, Any]] = []
    for piece in (piece for delta in pieces for piece in delta.get("tool_calls", ())):
        if piece["index"] == len(calls):
            assert {"id", "type", "function"} <= piece.keys()
            calls.append({"id": piece["id"], "type": piece["type"], "function": dict(piece["function"])})
        else:
            assert piece.keys() == {"index", "function"}
            assert piece["function"].keys() == {"arguments"}
            calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return calls


@pytest.mark.parametrize("case", [case for case in WHOLE if "error" in load(case, "expected")])
def test_what_an_error_says_is_short_and_holds_no_key_and_no_address(case: str) -> None:
    outcome = read_whole(case)
    assert isinstance(outcome, ProviderError)
    assert 0 < len(outcome.message) <= 300
    assert not any(word in outcome.message for word in ("sk-", "://", ".com", "<html", "\n"))


def test_case_names_are_alike() -> None:
    names: Mapping[str, set[str]] = {
        provider: {case.partition("/")[2] for case in CASES if case.startswith(f"{provider}/")} for provider in ADAPTERS
    }
    assert names["openai"] < names["openai-compatible"]
