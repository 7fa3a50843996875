"""What Anthropic's answers, streams and errors hold beyond the wire samples."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.providers import ADAPTERS, ProviderCall
from connectors.providers.retry_after import retry_after_s
from connectors.providers.sse import SSEvent
from schemas.completion import Completion, Usage
from schemas.errors import ErrorKind, ProviderError
from schemas.seals import unseal

ANTHROPIC = ADAPTERS["anthropic"]
CALL = ProviderCall({"messages": [{"role": "user", "content": "Hi"}]}, "claude-x", stream=True)
START = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 30, "output_tokens": 1}}}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
TEXT = {"type": "text", "text": "fine"}
NOW = 1_790_000_000.0


def use(id: str | None = "toolu_a", input_: Any = None) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "f", "input": input_}


def whole(*content: dict[str, Any], **more: Any) -> Completion | ProviderError:
    reply = {"type": "message", "content": list(content), "stop_reason": "end_turn", **more}
    outcome = ANTHROPIC.from_wire(json.dumps(reply).encode(), CALL)
    assert isinstance(outcome, Completion | ProviderError)
    return outcome


def answer(*content: dict[str, Any], **more: Any) -> Completion:
    outcome = whole(*content, **more)
    assert isinstance(outcome, Completion), outcome
    return outcome


def streamed(*events: dict[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    parser = ANTHROPIC.stream(CALL)
    deltas = [delta for event in events for delta in parser.feed(SSEvent("", json.dumps(event)))]
    assert all(delta.index == 0 for delta in deltas)
    return parser, [delta.delta for delta in deltas]


def opens(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def grows(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def closes(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def test_signatures_leave_sealed_and_the_first_call_takes_them_along() -> None:
    choice = answer(THINKING, use("toolu_a"), use("toolu_b"), stop_reason="tool_use").choices[0]
    assert choice.thinking_blocks[0]["signature"].startswith("mrs1-")
    first = unseal(choice.tool_calls[0].id)
    assert (first.text, first.owner, first.state) == ("toolu_a", "anthropic/claude-x", {"thinking": [THINKING]})
    assert choice.tool_calls[1].id == "toolu_b"


def test_an_answer_goes_back_to_its_model_as_it_came() -> None:
    """Through a client that echoes all, and through one that keeps ids alone."""
    message = answer(THINKING, TEXT, use(input_={"a": 1})).to_openai("id", 1, "m")["choices"][0]["message"]
    for kept in (message, {key: value for key, value in message.items() if key != "thinking_blocks"}):
        result = {"role": "tool", "tool_call_id": kept["tool_calls"][0]["id"], "content": "ok"}
        call = ProviderCall({"messages": [{"role": "user", "content": "Hi"}, kept, result]}, "claude-x")
        wire = ANTHROPIC.to_wire(call)
        assert not isinstance(wire, ProviderError)
        assert wire.json["messages"][1]["content"] == [THINKING, TEXT, use(input_={"a": 1})]
        assert wire.json["messages"][2]["content"][0]["tool_use_id"] == "toolu_a"


def test_thinking_that_is_too_long_for_an_id_does_not_ride_in_it() -> None:
    long = {**THINKING, "signature": hashlib.shake_256(b"").hexdigest(3000)}
    choice = answer(long, use()).choices[0]
    assert choice.tool_calls[0].id == "toolu_a"
    assert choice.thinking_blocks


def test_thinking_without_a_signature_is_told_but_cannot_come_back() -> None:
    choice = answer({"type": "thinking", "thinking": "hm"}, TEXT).choices[0]
    assert (choice.reasoning_content, choice.thinking_blocks) == ("hm", [])


def test_indices_of_calls_are_ours_and_empty_pieces_are_not_passed_on() -> None:
    _, deltas = streamed(
        START,
        opens(0, {"type": "text", "text": ""}),
        grows(0, type="text_delta", text="Hm"),
        closes(0),
        opens(3, use("toolu_a", {})),
        grows(3, type="input_json_delta", partial_json=""),
        grows(3, type="input_json_delta", partial_json='{"a'),
        grows(3, type="input_json_delta", partial_json='":1}'),
        closes(3),
        opens(4, use("toolu_b", {"b": 2})),
        closes(4),
    )
    function = {"name": "f", "arguments": ""}
    assert deltas == [
        {"role": "assistant", "content": "Hm"},
        {"tool_calls": [{"index": 0, "id": "toolu_a", "type": "function", "function": function}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '":1}'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "toolu_b", "type": "function", "function": {**function, "arguments": '{"b":2}'}}
            ]
        },
    ]


def test_thinking_streams_at_once_and_its_block_when_it_is_whole() -> None:
    _, deltas = streamed(
        opens(0, {"type": "thinking", "thinking": "", "signature": ""}),
        grows(0, type="thinking_delta", thinking="h"),
        grows(0, type="thinking_delta", thinking="m"),
        grows(0, type="signature_delta", signature="c2ln"),
        closes(0),
    )
    block = deltas.pop()["thinking_blocks"][0]
    assert {**block, "signature": unseal(block["signature"]).text} == THINKING
    assert deltas == [{"role": "assistant", "reasoning_content": "h"}, {"reasoning_content": "m"}]


def test_blocks_that_were_left_open_are_closed_with_the_message() -> None:
    ending = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
    parser, deltas = streamed(START, opens(0, use()), ending, {"type": "message_stop"})
    assert deltas[-1] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    outcome = parser.finish()
    assert isinstance(outcome, Completion)
    assert outcome.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "events",
    [
        [opens(0, TEXT), opens(0, TEXT)],
        [grows(0, type="text_delta", text="x")],
        [opens(0, TEXT), grows(0, type="input_json_delta", partial_json="x")],
        [opens(0, TEXT), grows(0, type="citations_delta", citation={})],
        [opens(0, {"type": "web_search_tool_result"})],
        [opens(0, {**TEXT, "citations": [{"url": "x"}]})],
        [{"type": "content_block_start", "index": "0", "content_block": TEXT}],
        [{"type": "message_start"}],
        [[]],
    ],
)
def test_what_cannot_be_passed_on_ends_the_stream_as_malformed(events: list[Any]) -> None:
    parser, _ = streamed(*events)
    assert parser.ended
    outcome = parser.finish()
    assert isinstance(outcome, ProviderError)
    assert outcome.kind is ErrorKind.MALFORMED_REPLY


def test_nothing_after_the_end_is_read() -> None:
    ending = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    parser, deltas = streamed(START, opens(0, TEXT), ending, {"type": "message_stop"}, opens(1, TEXT))
    assert parser.ended
    assert len(deltas) == 1


def test_a_message_that_stops_without_a_reason_is_an_early_end() -> None:
    outcome = streamed(START, opens(0, TEXT), {"type": "message_stop"})[0].finish()
    assert isinstance(outcome, ProviderError)
    assert (outcome.kind, outcome.code) == (ErrorKind.TRANSPORT, "early_end")


def test_usage_of_a_broken_stream_has_the_vendors_input_and_our_count_of_the_output() -> None:
    assert streamed(START)[0].usage_so_far() is None
    text = {"type": "text", "text": "x" * 400}
    assert streamed(START, opens(0, text))[0].usage_so_far() == Usage(30, 100, estimated=True)
    counted = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}}
    assert streamed(START, opens(0, text), counted)[0].usage_so_far() == Usage(30, 7)
    assert streamed(opens(0, text))[0].usage_so_far().estimated


def test_cached_tokens_are_part_of_the_input_once() -> None:
    usage = {
        "input_tokens": 2,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 8,
        "cache_creation": {"ephemeral_1h_input_tokens": 3},
        "output_tokens": 6,
        "service_tier": "standard",
    }
    assert answer(TEXT, usage=usage).usage == Usage(
        30, 6, cache_read_tokens=20, cache_write_tokens=8, cache_write_1h_tokens=3, service_tier="standard"
    )


@pytest.mark.parametrize(
    ("reason", "content", "finish"),
    [
        ("end_turn", [TEXT], "stop"),
        ("end_turn", [use()], "tool_calls"),
        ("stop_sequence", [TEXT], "stop"),
        ("tool_use", [TEXT], "stop"),
        ("max_tokens", [use()], "length"),
        ("model_context_window_exceeded", [], "length"),
        ("refusal", [], "content_filter"),
        ("brand_new", [TEXT], "stop"),
        ("brand_new", [use()], "tool_calls"),
    ],
)
def test_stop_reasons_have_one_meaning(reason: str, content: list[dict[str, Any]], finish: str) -> None:
    assert answer(*content, stop_reason=reason).choices[0].finish_reason == finish


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("pause_turn", ErrorKind.PROVIDER_FAULT),
        ("brand_new", ErrorKind.PROVIDER_FAULT),
        ("tool_use", ErrorKind.MALFORMED_REPLY),
        (None, ErrorKind.MALFORMED_REPLY),
    ],
)
def test_a_reason_that_is_no_end_is_an_error(reason: str | None, kind: ErrorKind) -> None:
    outcome = whole(THINKING, stop_reason=reason)
    assert isinstance(outcome, ProviderError)
    assert outcome.kind is kind


def test_a_call_without_an_id_gets_one_and_one_without_a_name_is_malformed() -> None:
    ids = [call.id for call in answer(use(None), use(None)).choices[0].tool_calls]
    assert len(set(ids)) == 2
    assert ids == [call.id for call in answer(use(None), use(None)).choices[0].tool_calls]
    assert isinstance(whole({"type": "tool_use", "id": "a", "input": {}}), ProviderError)
    assert isinstance(whole(use(input_=["x"])), ProviderError)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"detail": "prompt is too long"}, ErrorKind.CONTEXT_TOO_LONG),
        (400, {"error": "no"}, ErrorKind.INVALID_REQUEST),
        (400, [{"error": {"type": "overloaded_error"}}], ErrorKind.OVERLOADED),
        (429, {"error": {"type": "rate_limit_error", "message": "context limit tokens"}}, ErrorKind.RATE_LIMITED),
        (422, {"error": {"type": "invalid_request_error", "message": "x"}}, ErrorKind.INVALID_REQUEST),
        (403, {"error": {"type": "invalid_request_error", "message": "x"}}, ErrorKind.AUTH),
        (307, {}, ErrorKind.PROVIDER_FAULT),
        (503, "busy", ErrorKind.OVERLOADED),
    ],
)
def test_errors_of_any_shape_have_a_kind(status: int, body: Any, kind: ErrorKind) -> None:
    error = ANTHROPIC.to_error(status, {}, json.dumps(body).encode())
    assert (error.kind, error.status) == (kind, status)


def test_an_error_event_by_name_alone_is_one() -> None:
    parser = ANTHROPIC.stream(CALL)
    parser.feed(SSEvent("error", '{"message": "Overloaded"}'))
    outcome = parser.finish()
    assert isinstance(outcome, ProviderError)
    assert outcome.kind is ErrorKind.OVERLOADED


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": 12}, 12),
        ({"anthropic-ratelimit-requests-remaining": "5", "anthropic-ratelimit-requests-reset": 12}, None),
        ({"anthropic-ratelimit-input-tokens-reset": 7, "anthropic-ratelimit-output-tokens-reset": 30}, 30),
        ({"anthropic-ratelimit-tokens-reset": -5}, 0),
        ({"anthropic-ratelimit-tokens-reset": "soon"}, None),
        ({"anthropic-ratelimit-tokens-reset": 9, "retry-after": "3"}, 3),
    ],
)
def test_the_reset_of_a_limit_is_a_wait(headers: dict[str, Any], wait: float | None) -> None:
    told = {name: value if isinstance(value, str) else rfc3339(value) for name, value in headers.items()}
    assert retry_after_s(told, now=NOW, use_resets=True) == wait


def rfc3339(after_s: float) -> str:
    return datetime.fromtimestamp(NOW + after_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
