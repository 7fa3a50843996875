"""Whatever conversation a caller has, nothing of it is lost on the way to OpenAI; whatever way a stream is cut, it reads
the same."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.providers import ADAPTERS, ProviderCall, WireRequest
from connectors.providers.sse import SSEParser
from schemas.chat import check_chat
from schemas.completion import Completion
from schemas.errors import ProviderError

WIRE = Path(__file__).parents[1] / "wire"
INPUTS = ["text", "image", "pdf"]
CHAT, RESPONSES = {"inputs": INPUTS}, {"api": "responses", "inputs": INPUTS}

WORDS = st.text("abé👩\u2028", min_size=1, max_size=4)
TEXT = WORDS.map(lambda text: {"type": "text", "text": text})
IMAGE = st.sampled_from(["AAAA", "BBBB"]).map(
    lambda data: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
)
FILE = st.just({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}})
TEXTS = WORDS | st.lists(TEXT, min_size=1, max_size=2)
RICH = TEXTS | st.lists(TEXT | IMAGE | FILE, min_size=1, max_size=3)


def turn(role: str, content: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return content.map(lambda said: [{"role": role, "content": said}])


@st.composite
def tool_turn(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An assistant's calls and their results, in any order, one of them perhaps said twice."""
    ids = draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True))
    calls = [
        {"id": id, "type": "function", "function": {"name": "f", "arguments": json.dumps({"x": draw(WORDS)})}}
        for id in ids
    ]
    results = [{"role": "tool", "tool_call_id": id, "content": draw(RICH)} for id in draw(st.permutations(ids))]
    twice = results[:1] if draw(st.booleans()) else []
    return [{"role": "assistant", "content": draw(st.none() | TEXTS), "tool_calls": calls}, *results, *twice]


TURNS = st.lists(
    st.one_of(
        turn("system", TEXTS), turn("developer", TEXTS), turn("user", RICH), turn("assistant", TEXTS), tool_turn()
    ),
    min_size=1,
    max_size=5,
).map(lambda turns: [message for turn in turns for message in turn])


def contents(content: Any) -> Iterator[tuple[str, str]]:
    """What one content says, in either spelling."""
    parts: list[dict[str, Any]] = [{"text": content}] if isinstance(content, str) else content or []
    for part in parts:
        if "text" in part:
            yield "text", part["text"]
        elif "image_url" in part:
            url = part["image_url"]
            yield "image", url if isinstance(url, str) else url["url"]
        else:
            yield "file", part.get("file", part)["file_data"]


def facts_of_chat(messages: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    said: list[tuple[str, ...]] = []
    for message in messages:
        if message["role"] == "tool":
            said += [("result", message["tool_call_id"], *fact) for fact in contents(message["content"])]
            continue
        said += contents(message.get("content"))
        said += [
            ("call", c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", ())
        ]
    return said


def facts_of_responses(items: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    said: list[tuple[str, ...]] = []
    for item in items:
        match item.get("type"):
            case "function_call":
                said.append(("call", item["call_id"], item["name"], item["arguments"]))
            case "function_call_output":
                said += [("result", item["call_id"], *fact) for fact in contents(item["output"])]
            case _:
                said += contents(item["content"])
    return said


def once(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without results that are said twice in their turn."""
    kept: list[dict[str, Any]] = []
    seen: set[str] = set()
    for message in messages:
        if message["role"] != "tool":
            seen = set()
        elif message["tool_call_id"] in seen:
            continue
        else:
            seen.add(message["tool_call_id"])
        kept.append(message)
    return kept


@settings(derandomize=True)
@given(messages=TURNS)
def test_nothing_of_a_conversation_is_lost_on_the_chat_surface(messages: list[dict[str, Any]]) -> None:
    assert check_chat({"messages": messages}) is None
    outcome = ADAPTERS["openai"].to_wire(ProviderCall({"messages": messages}, "m", flags=CHAT))
    rich = [f"messages.{at}." for at, m in enumerate(messages) if m["role"] == "tool" and holds_more_than_text(m)]
    if isinstance(outcome, WireRequest):
        assert not rich
        assert facts_of_chat(outcome.json["messages"]) == facts_of_chat(once(messages))
    else:
        assert rich, outcome
        assert rich[0] in outcome.message


def holds_more_than_text(message: dict[str, Any]) -> bool:
    return any(kind != "text" for kind, _ in contents(message["content"]))


@settings(derandomize=True)
@given(messages=TURNS)
def test_nothing_of_a_conversation_is_lost_on_the_responses_surface(messages: list[dict[str, Any]]) -> None:
    outcome = ADAPTERS["openai"].to_wire(ProviderCall({"messages": messages}, "m", flags=RESPONSES))
    assert isinstance(outcome, WireRequest), outcome
    assert facts_of_responses(outcome.json["input"]) == facts_of_chat(once(messages))
    json.loads(outcome.content())


SAMPLES = sorted(
    path.parent.relative_to(WIRE).as_posix()
    for folder in ("openai", "openai-compatible", "openai-responses")
    for path in (WIRE / folder).glob("*/events.sse")
)


def outcome_of(case: str, chunks: list[bytes]) -> Completion | ProviderError:
    asked = json.loads((WIRE / case / "request.json").read_text(encoding="utf-8"))
    call = ProviderCall(asked["body"], asked["upstream"], stream=True, flags=asked["flags"])
    folder = case.partition("/")[0]
    parser, events = ADAPTERS[folder.replace("-responses", "")].stream(call), SSEParser()
    for chunk in chunks:
        for event in events.feed(chunk):
            parser.feed(event)
    return parser.finish()


@pytest.mark.parametrize(
    "case", [case for case in SAMPLES if case.endswith(("/unicode", "/parallel-tool-calls", "/stop"))]
)
@settings(derandomize=True, max_examples=30)
@given(places=st.lists(st.integers(0, 10_000), max_size=12))
def test_a_stream_reads_the_same_for_every_split_of_its_bytes(case: str, places: list[int]) -> None:
    data = (WIRE / case / "events.sse").read_bytes()
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    assert outcome_of(case, [data[a:b] for a, b in pairwise(edges)]) == outcome_of(case, [data])
