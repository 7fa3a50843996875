"""Whatever a chat answer says is all in the response, and a stream in any cuts says the same."""

from typing import Any

import orjson
from gateway_house import NOW
from hypothesis import given, settings
from hypothesis import strategies as st
from responses_house import completed, events_of

from connectors.gateway.responses import RESPONSES
from connectors.gateway.responses.answer import repeated
from connectors.gateway.responses.carried import unpacked
from connectors.gateway.responses.frames import ResponseFrames
from connectors.gateway.streaming import Assembler
from connectors.gateway.surface import Asking, Opening
from schemas.completion import Choice, ToolCall
from schemas.events import Delta, Request

REQUEST = Request("r1", "acme", b"{}", "small", operation="chat")
ASKING = Asking(b"{}", {}, echo=repeated({}))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
BLOCKS = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, TEXTS)
NAMES = {"reasoning_content": "reasoning", "content": "text", "refusal": "refusal"}


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    calls = [
        ToolCall(f"call_{at}", "f", orjson.dumps({"a": draw(TEXTS)}).decode()) for at in range(draw(st.integers(0, 3)))
    ]
    return Choice(
        text=draw(TEXTS),
        refusal=draw(TEXTS) or None,
        reasoning_content=draw(TEXTS) or None,
        thinking_blocks=draw(st.lists(BLOCKS, max_size=2)),
        tool_calls=calls,
        finish_reason=draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"])),
    )


def cut(draw: st.DrawFn, text: str) -> list[str]:
    points = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *points], [*points, len(text)], strict=True)]


def strands(draw: st.DrawFn, choice: Choice) -> list[list[dict[str, Any]]]:
    """The pieces of each text, of the blocks and of each call, in the order of a whole answer."""
    thought = [{"reasoning_content": part} for part in cut(draw, choice.reasoning_content or "")]
    calls = []
    for at, call in enumerate(choice.tool_calls):
        named = {"index": at, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        more = [{"index": at, "function": {"arguments": part}} for part in cut(draw, call.arguments)]
        calls.append([{"tool_calls": [piece]} for piece in (named, *more)])
    return [
        [*thought, *({"thinking_blocks": [block]} for block in choice.thinking_blocks)],
        [{"content": part} for part in cut(draw, choice.text)],
        [{"refusal": part} for part in cut(draw, choice.refusal or "")],
        *calls,
    ]


@st.composite
def streams(draw: st.DrawFn, *, mixed: bool) -> tuple[Choice, list[dict[str, Any]]]:
    """A choice and the first pieces of its stream: the rest got lost, and is mended at the end."""
    choice = draw(choices())
    left = [strand for strand in strands(draw, choice) if strand]
    pieces = []
    while left:
        strand = left[draw(st.integers(0, len(left) - 1)) if mixed else 0]
        pieces.append(strand.pop(0))
        left = [strand for strand in left if strand]
    return choice, pieces[: draw(st.integers(0, len(pieces)))]


def whole(choice: Choice) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads(RESPONSES.answer(completed(REQUEST, choice), ASKING))
    return read


def streamed(choice: Choice, pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assembler = Assembler(ResponseFrames(Opening("r1", "small", NOW // 1000), ASKING))
    deltas = [Delta("r1", "acme", 1, at, "chunk", orjson.dumps([piece])) for at, piece in enumerate(pieces)]
    return events_of((assembler.feed(deltas) + assembler.finish(completed(REQUEST, choice))).decode())


def said(output: list[dict[str, Any]]) -> dict[str, Any]:
    """What the items say, in the terms of a choice."""
    parts = [part for item in output if item["type"] == "message" for part in item["content"]]
    thoughts = [item for item in output if item["type"] == "reasoning"]
    calls = {item["call_id"]: (item["name"], item["arguments"]) for item in output if item["type"] == "function_call"}
    return {
        "text": "".join(part.get("text", "") for part in parts),
        "refusal": "".join(part.get("refusal", "") for part in parts),
        "reasoning": "".join(part["text"] for item in thoughts for part in item["summary"]),
        "blocks": [block for item in thoughts for block in unpacked(item.get("encrypted_content", ""))],
        "calls": calls,
    }


def meant(choice: Choice) -> dict[str, Any]:
    return {
        "text": choice.text,
        "refusal": choice.refusal or "",
        "reasoning": choice.reasoning_content or "",
        "blocks": choice.thinking_blocks,
        "calls": {call.id: (call.name, call.arguments) for call in choice.tool_calls},
    }


def deltas_of(events: list[dict[str, Any]], kind: str) -> str:
    return "".join(event["delta"] for event in events if event["type"] == f"response.{kind}.delta")


def check_told(events: list[dict[str, Any]]) -> None:
    """Each item begins once and ends once, as it then stands in the response."""
    begun = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    ended = {event["output_index"]: event["item"] for event in events if event["type"] == "response.output_item.done"}
    output = events[-1]["response"]["output"]
    assert begun == list(range(len(output)))
    assert [ended[at] for at in begun] == output


@settings(derandomize=True, deadline=None, max_examples=200)
@given(streams(mixed=False))
def test_a_stream_in_any_cuts_ends_in_the_whole_answer(stream: tuple[Choice, list[dict[str, Any]]]) -> None:
    choice, pieces = stream
    events, answer = streamed(choice, pieces), whole(choice)
    assert said(answer["output"]) == meant(choice)
    assert events[-1]["response"] == answer
    check_told(events)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(streams(mixed=True))
def test_a_stream_in_any_order_says_what_the_whole_answer_says(stream: tuple[Choice, list[dict[str, Any]]]) -> None:
    choice, pieces = stream
    events = streamed(choice, pieces)
    assert said(events[-1]["response"]["output"]) == meant(choice)
    assert deltas_of(events, "output_text") == choice.text
    assert deltas_of(events, "refusal") == (choice.refusal or "")
    assert deltas_of(events, "reasoning_summary_text") == (choice.reasoning_content or "")
    assert [item["status"] for item in events[-1]["response"]["output"] if "status" in item].count("incomplete") <= 1
    check_told(events)
