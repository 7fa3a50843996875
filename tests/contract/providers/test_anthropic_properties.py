"""Any conversation reaches Anthropic whole or is refused by name; any split of a stream ends in the same answer."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.providers import ADAPTERS, Delta, ProviderCall, WireRequest
from connectors.providers.sse import SSEParser
from schemas.chat import check_chat
from schemas.completion import Completion
from schemas.errors import ErrorKind, ProviderError

ANTHROPIC = ADAPTERS["anthropic"]
derandomized = settings(derandomize=True, max_examples=150, deadline=None)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["", " ", "\u2028", "Grüße 👋"])
KINDS = st.sampled_from(["image/png", "image/jpeg", "image/jpeg", "image/webp", "image/tiff"])
IMAGES = st.builds(
    lambda kind, data: {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}},
    KINDS,
    st.sampled_from(["AAAA", "BBBB", "CCCC"]),
)
TEXT_PARTS = TEXTS.map(lambda text: {"type": "text", "text": text})
CONTENT = TEXTS | st.lists(TEXT_PARTS | IMAGES, max_size=3)
PLAIN = st.one_of(
    st.builds(lambda content: [{"role": "user", "content": content}], CONTENT),
    st.builds(
        lambda role, content: [{"role": role, "content": content}],
        st.sampled_from(["system", "developer", "assistant"]),
        TEXTS | st.none() | st.lists(TEXT_PARTS, max_size=2),
    ),
)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b"]), TEXTS | st.integers(0, 9), max_size=2)
IDS = st.lists(
    st.sampled_from(["a", "call_0", "f:1", "ü", "with space", "x" * 70]), min_size=1, max_size=3, unique=True
)


@st.composite
def tool_turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = draw(IDS)
    calls = [
        {"id": id, "type": "function", "function": {"name": "f", "arguments": json.dumps(draw(ARGUMENTS))}}
        for id in ids
    ]
    results = [{"role": "tool", "tool_call_id": id, "content": draw(CONTENT)} for id in draw(st.permutations(ids))]
    return [{"role": "assistant", "content": draw(TEXTS | st.none()), "tool_calls": calls}, *results]


CONVERSATIONS = st.lists(PLAIN | tool_turns(), min_size=1, max_size=6).map(lambda turns: [m for t in turns for m in t])


def parts_of(content: Any) -> Iterator[tuple[str, str]]:
    """What a caller says, without blank texts."""
    parts: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    for part in parts:
        if part["type"] == "text" and part["text"].strip():
            yield "text", part["text"]
        if part["type"] == "image_url":
            yield "image", part["image_url"]["url"].rpartition(",")[2]


def asked(messages: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for message in messages:
        match message["role"]:
            case "tool":
                yield "result", *parts_of(message["content"])
            case "user" | "assistant":
                yield from parts_of(message["content"])
        for call in message.get("tool_calls", ()):
            yield "call", json.loads(call["function"]["arguments"])


def sent(messages: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for block in (block for message in messages for block in message["content"]):
        match block["type"]:
            case "text":
                yield "text", block["text"]
            case "image":
                yield "image", block["source"]["data"]
            case "tool_use":
                yield "call", block["input"]
            case "tool_result":
                content = block.get("content", "")
                inner = [{"type": "text", "text": content}] if isinstance(content, str) else content
                yield "result", *(said for said in sent([{"content": inner}]) if said[1])


def check_form(messages: list[dict[str, Any]]) -> None:
    """Roles alternate, a user begins, results answer the calls just before and stand first."""
    roles = [message["role"] for message in messages]
    assert roles[0] == "user"
    assert all(one != next_ for one, next_ in pairwise(roles))
    calls = [[b["id"] for b in m["content"] if b["type"] == "tool_use"] for m in messages]
    assert len(set(ids := [id for turn in calls for id in turn])) == len(ids)
    for before, message in zip([[], *calls], messages, strict=False):
        results = [block["type"] == "tool_result" for block in message["content"]]
        assert results == sorted(results, reverse=True)
        answered = [block["tool_use_id"] for block in message["content"] if block["type"] == "tool_result"]
        assert sorted(answered) == sorted(before)


@given(messages=CONVERSATIONS, mid_system=st.booleans())
@derandomized
def test_a_conversation_goes_out_whole_or_is_refused_by_name(messages: list[dict[str, Any]], mid_system: bool) -> None:
    body = {"model": "m", "messages": messages}
    assert check_chat(body) is None
    before = json.dumps(body)
    wire = ANTHROPIC.to_wire(ProviderCall(body, "claude-x", flags={"mid_system": mid_system}))
    assert json.dumps(body) == before
    if isinstance(wire, ProviderError):
        assert wire.kind is ErrorKind.INVALID_REQUEST
        assert "`messages." in wire.message
        assert "image/tiff" in before
        return
    check_form(wire.json["messages"])
    systems = [m["content"] for m in messages if m["role"] in {"system", "developer"}]
    said = {text for content in systems for _, text in parts_of(content)}
    everything = [*sent(wire.json["messages"])]
    spoken = [what for what in everything if not is_of_system(what, said) and what != ("text", "(conversation begins)")]
    expected = [what for what in asked(messages) if not is_of_system(what, said)]
    assert trimmed(spoken) == trimmed(expected)
    told = json.dumps([wire.json.get("system"), wire.json["messages"]], ensure_ascii=False)
    assert all(json.dumps(text, ensure_ascii=False)[1:-1].strip() in told for text in said)


def is_of_system(what: tuple[Any, ...], said: set[str]) -> bool:
    return what[0] == "text" and (what[1] in said or what[1].removeprefix("[System note] ") in said)


def trimmed(said: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """White space at the end of a begun answer is refused by Anthropic."""
    return [(what[0], what[1].rstrip()) if what[0] == "text" else what for what in said]


BLOCKS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "c2ln"}, TEXTS),
    st.just({"type": "redacted_thinking", "data": "b3Bh"}),
    st.builds(lambda args: {"type": "tool_use", "id": "toolu_a", "name": "f", "input": args}, ARGUMENTS),
)
REPLIES = st.builds(
    lambda content, stop, read: {
        "type": "message",
        "id": "msg_1",
        "model": "claude-x-1",
        "content": content,
        "stop_reason": stop,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": read, "output_tokens": 9},
    },
    st.lists(BLOCKS, max_size=4),
    st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "pause_turn", "new"]),
    st.integers(0, 5),
)


def as_events(reply: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {**reply, "content": [], "usage": {**reply["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(reply["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": emptied(block)}
        for delta in as_deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "ping"}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": reply["stop_reason"]}, "usage": {"output_tokens": 9}}
    yield {"type": "message_stop"}


def emptied(block: dict[str, Any]) -> dict[str, Any]:
    match block["type"]:
        case "text":
            return {**block, "text": ""}
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case "tool_use":
            return {**block, "input": {}}
        case _:
            return block


def as_deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match block["type"]:
        case "text":
            yield from ({"type": "text_delta", "text": piece} for piece in block["text"])
        case "thinking":
            yield from ({"type": "thinking_delta", "thinking": piece} for piece in block["thinking"])
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use":
            said = json.dumps(block["input"], ensure_ascii=False, separators=(",", ":")) if block["input"] else ""
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in ("", said[:4], said[4:]))


CALL = ProviderCall({"messages": [{"role": "user", "content": "Hi"}]}, "claude-x", stream=True)


def read(chunks: list[bytes]) -> tuple[Completion | ProviderError, list[Delta]]:
    parser, events = ANTHROPIC.stream(CALL), SSEParser()
    deltas = [delta for chunk in chunks for event in events.feed(chunk) for delta in parser.feed(event)]
    return parser.finish(), deltas


@given(reply=REPLIES, line_end=st.sampled_from(["\n", "\r\n", "\r"]), cuts=st.lists(st.integers(0, 4000), max_size=12))
@derandomized
def test_a_stream_ends_as_the_whole_answer_however_it_is_cut(
    reply: dict[str, Any], line_end: str, cuts: list[int]
) -> None:
    frames = (f"data: {json.dumps(event, ensure_ascii=False)}{line_end * 2}" for event in as_events(reply))
    data = "".join(frames).encode()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    cut, uncut = read([data[a:b] for a, b in pairwise(edges)]), read([data])
    assert cut == uncut
    assert uncut[0] == ANTHROPIC.from_wire(json.dumps(reply).encode(), CALL)


@given(at=st.integers(0, 30))
@derandomized
def test_a_stream_that_dies_anywhere_is_no_answer(at: int) -> None:
    content = [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "text", "text": "fine"}]
    reply = {"content": content, "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 9}}
    events = [*as_events(reply)]
    outcome, _ = read([f"data: {json.dumps(event)}\n\n".encode() for event in events[: min(at, len(events) - 1)]])
    assert isinstance(outcome, ProviderError)
    assert (outcome.kind, outcome.code) == (ErrorKind.TRANSPORT, "early_end")


def test_the_wire_is_a_request_at_all() -> None:
    assert isinstance(ANTHROPIC.to_wire(CALL), WireRequest)
