"""What Messages clients send and get at the edges: nothing is lost in silence, nothing ends in our own fault."""

from typing import Any

import orjson
import pytest
from gateway_house import House
from responses_house import completed
from starlette.datastructures import Headers

from connectors.gateway.messages.request import read
from connectors.gateway.problems import Problem
from connectors.gateway.surface import Asking
from schemas.completion import Choice, ToolCall
from schemas.events import Request

SAID = [{"role": "user", "content": "hi"}]
URL = "/v1/messages"
HINT = {"type": "ephemeral"}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BB"}}


def asking(**body: Any) -> Asking | Problem:
    return read(b"", {"model": "small", "max_tokens": 9, "messages": SAID, **body}, Headers({}))


def body_of(**body: Any) -> dict[str, Any]:
    got = asking(**body)
    assert isinstance(got, Asking), got
    return got.body


@pytest.mark.parametrize("system", [None, "be brief", [{"type": "text", "text": "be brief"}]])
def test_the_cache_hint_of_a_whole_request_stays_one(system: Any) -> None:
    got = body_of(system=system, cache_control=HINT)
    assert got["cache_control"] == HINT
    assert not any("cache_control" in message for message in got["messages"])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"messages": [{"role": "user", "content": [{**PDF, "context": "of 2026"}]}]}, "messages.0.content.0.context"),
        (
            {"messages": [{"role": "user", "content": [{**PDF, "citations": {"enabled": True}}]}]},
            "messages.0.content.0.citations",
        ),
        ({"tools": [{"name": "f", "input_schema": {}, "max_uses": 3}]}, "tools.0.max_uses"),
        ({"tools": [{"type": {}, "name": "f"}]}, "tools.0"),
    ],
)
def test_what_the_platforms_form_has_no_place_for_is_refused_by_name(body: dict[str, Any], named: str) -> None:
    got = asking(**body)
    assert isinstance(got, Problem)
    assert got.param == named


def test_hints_of_a_tool_that_one_vendor_knows_are_left_out_and_named() -> None:
    got = asking(tools=[{"name": "f", "input_schema": {}, "eager_input_streaming": True, "defer_loading": None}])
    assert isinstance(got, Asking)
    assert got.dropped == ["eager_input_streaming"]


async def test_a_tier_of_the_wrong_type_is_the_callers_fault() -> None:
    async with House().client() as client:
        got = await client.post(
            URL, json={"model": "small", "max_tokens": 9, "messages": SAID, "tools": [{"type": []}]}
        )
    assert got.status_code == 400
    assert isinstance(asking(service_tier={}), Asking)  # the check of the form says it


async def test_two_calls_that_are_told_late_to_have_no_arguments_are_no_tangle() -> None:
    """A server that gives no arguments at all gets `{}` for each call when the answer ends."""
    calls = [ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}")]
    pieces: list[dict[str, Any]] = [
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": at, "function": {"arguments": "{}"}} for at in (0, 1)]},
    ]

    def answer(house: House, request: Request) -> None:
        for seq, piece in enumerate(pieces):
            house.delta(request, seq, piece)
        house.respond(completed(request, Choice(tool_calls=calls, finish_reason="tool_calls")))

    async with House(answer).client() as client:
        got = await client.post(URL, json={"model": "small", "max_tokens": 9, "stream": True, "messages": SAID})
    events = [orjson.loads(line[6:]) for line in got.text.splitlines() if line.startswith("data: ")]
    assert [e["content_block"]["name"] for e in events if e["type"] == "content_block_start"] == ["f", "g"]
    assert events[-1]["type"] == "message_stop"


@pytest.mark.parametrize("upto", range(4))
async def test_citations_of_a_stream_are_said_once_however_much_was_lost(upto: int) -> None:
    cited = [{"type": "url_citation", "url_citation": {"url": f"https://e.org/{at}"}} for at in range(2)]
    pieces: list[dict[str, Any]] = [{"content": "hello"}, {"annotations": cited[:1]}, {"content": " world"}]

    def answer(house: House, request: Request) -> None:
        for seq, piece in enumerate(pieces[:upto]):
            house.delta(request, seq, piece)
        house.respond(completed(request, Choice(text="hello world", annotations=cited)))

    async with House(answer).client() as client:
        got = await client.post("/v1/chat/completions", json={"model": "small", "stream": True, "messages": SAID})
    chunks = [orjson.loads(line[6:]) for line in got.text.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert [note for delta in deltas for note in delta.get("annotations", ())] == cited
    assert "".join(delta.get("content", "") for delta in deltas) == "hello world"
