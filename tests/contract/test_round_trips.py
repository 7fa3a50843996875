"""Nothing is lost on the way: from any surface to any vendor, and from any answer to any surface, streamed or whole."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from typing import Any

import orjson
import pytest
from gateway_house import NOW
from hypothesis import given, settings
from hypothesis import strategies as st
from responses_house import completed
from starlette.datastructures import Headers
from vendor_house import VENDORS, Vendor

from connectors.gateway.chat import CHAT
from connectors.gateway.messages import MESSAGES
from connectors.gateway.messages.request import read as read_messages
from connectors.gateway.responses import RESPONSES
from connectors.gateway.responses.request import read as read_responses
from connectors.gateway.streaming import Assembler
from connectors.gateway.surface import Asking, Opening, Surface
from connectors.providers import WireRequest
from schemas.chat import check_chat
from schemas.completion import Choice, Completion, ToolCall, Usage
from schemas.errors import ErrorKind, ProviderError
from schemas.events import Delta, Request

derandomized = settings(derandomize=True, deadline=None, max_examples=50)
everyone = pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)

Fact = tuple[Any, ...]
"""What a conversation says, whoever spells it: text, media, call (name, input), result (name, texts, is an error)."""

WORDS = st.text("abé👩\u2028\u2029\u0085 ", max_size=4)
DATA = st.sampled_from(["AAAA", "BBBB", "JVBERi0="])
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b"]), WORDS | st.integers(0, 9) | st.none(), max_size=2)


def text(said: str) -> Fact:
    return ("text", said.rstrip())


def told(facts: Iterable[Fact]) -> list[Fact]:
    """Without blank texts; what a result shows follows the run of results, where vendors have no other place for it."""
    kept: list[Fact] = []
    for is_result, run in groupby(facts, lambda fact: fact[0] == "result"):
        if not is_result:
            kept += [fact for fact in run if fact[0] != "text" or fact[1].strip()]
            continue
        results = list(run)
        kept += [("result", name, "".join("".join(texts).split()), bad) for _, name, texts, _, bad in results]
        kept += [fact for *_, media, _ in results for fact in media]
    return kept


def result(name: str, parts: Iterable[Fact], *, bad: bool = False) -> Fact:
    parts = list(parts)
    texts, media = [fact[1] for fact in parts if fact[0] == "text"], [fact for fact in parts if fact[0] != "text"]
    return ("result", name, texts, media, bad)


# -- what each wire says


def unnoted(said: str) -> str:
    return said.removeprefix("[System note] ")


def of_chat(wire: dict[str, Any]) -> Iterator[Fact]:
    names: dict[str, str] = {}
    for message in wire["messages"]:
        parts = list(chat_parts(message.get("content")))
        if message["role"] == "tool":
            yield result(names[message["tool_call_id"]], parts)
            continue
        yield from parts
        for call in message.get("tool_calls", ()):
            names[call["id"]] = call["function"]["name"]
            yield ("call", call["function"]["name"], json.loads(call["function"]["arguments"]))


def chat_parts(content: Any) -> Iterator[Fact]:
    parts: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    for part in parts:
        match part["type"]:
            case "text" | "refusal" as kind:
                yield text(part[kind])
            case "image_url":
                yield ("image", part["image_url"]["url"].rpartition(",")[2])
            case "file":
                yield ("document", part["file"]["file_data"].rpartition(",")[2])


def of_responses(wire: dict[str, Any]) -> Iterator[Fact]:
    names: dict[str, str] = {}
    for item in wire["input"]:
        match item.get("type"):
            case "function_call":
                names[item["call_id"]] = item["name"]
                yield ("call", item["name"], json.loads(item["arguments"]))
            case "function_call_output":
                yield result(names[item["call_id"]], response_parts(item["output"]))
            case _:
                yield from response_parts(item["content"])


def response_parts(content: Any) -> Iterator[Fact]:
    parts: list[Any] = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        match part["type"]:
            case "input_text" | "output_text":
                yield text(part["text"])
            case "refusal":
                yield text(part["refusal"])
            case "input_image":
                yield ("image", part["image_url"].rpartition(",")[2])
            case "input_file":
                yield ("document", part["file_data"].rpartition(",")[2])


def of_anthropic(wire: dict[str, Any]) -> Iterator[Fact]:
    system = wire.get("system") or ""
    yield from (
        text(said) for said in (system.split("\n\n") if isinstance(system, str) else [b["text"] for b in system])
    )
    names: dict[str, str] = {}
    for message in wire["messages"]:
        yield from anthropic_blocks(message["content"], names)


def anthropic_blocks(content: Any, names: dict[str, str]) -> Iterator[Fact]:
    blocks: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks:
        match block["type"]:
            case "text":
                yield text(unnoted(block["text"]))
            case "image" | "document" as kind:
                yield (kind, block["source"].get("data") or block["source"]["url"])
            case "tool_use":
                names[block["id"]] = block["name"]
                yield ("call", block["name"], block["input"])
            case "tool_result":
                parts = anthropic_blocks(block.get("content") or "", names)
                yield result(names[block["tool_use_id"]], parts, bad=block.get("is_error", False))


def of_gemini(wire: dict[str, Any]) -> Iterator[Fact]:
    for content in (wire.get("systemInstruction", {"parts": []}), *wire["contents"]):
        for part in content["parts"]:
            match part:
                case {"text": said}:
                    yield text(unnoted(said))
                case {"functionCall": call}:
                    yield ("call", call["name"], call["args"])
                case {"functionResponse": {"name": name, "response": {"error": said}}}:
                    yield result(name, [text(said)], bad=True)
                case {"functionResponse": {"name": name, "response": {"output": said}}}:
                    yield result(name, [text(said)])
                case {"inlineData": {"mimeType": kind, "data": data}}:
                    yield ("document" if kind == "application/pdf" else "image", data)
                case {"fileData": {"fileUri": url}}:
                    yield ("image", url)


READERS = {"anthropic": of_anthropic, "gemini": of_gemini, "openai-responses": of_responses}
NO_PLACE: dict[str, set[Fact]] = {
    "openai": {("result", "image"), ("result", "document")},
    "openai-compatible": {("document",), ("result", "document")},
}
"""What a vendor has no form for: by name it is refused."""


def check_told(vendor: Vendor, body: dict[str, Any], facts: list[Fact], kinds: set[Fact]) -> None:
    assert check_chat(body) is None
    before = json.dumps(body)
    wire = vendor.adapter.to_wire(vendor.call(*body["messages"], flags=vendor.flags(mid_system=False)))
    assert json.dumps(body) == before
    if kinds & NO_PLACE.get(vendor.folder, set()):
        assert isinstance(wire, ProviderError)
        assert wire.kind is ErrorKind.INVALID_REQUEST
        assert "`messages." in wire.message
        return
    assert isinstance(wire, WireRequest), wire
    json.loads(wire.content())
    spoken = told(READERS.get(vendor.folder, of_chat)(wire.json))
    if vendor.folder == "anthropic" and ("text", "(conversation begins)") in spoken:
        spoken.remove(("text", "(conversation begins)"))
    knows_errors = vendor.folder in {"anthropic", "gemini"}
    expected = told(facts if knows_errors else (f if f[0] != "result" else (*f[:4], False) for f in facts))
    # Anthropic refuses an error without a word.
    assert [("result", f[1], "", True) if f[2:] == ("(nomessage)", True) else f for f in spoken] == expected


# -- a conversation as Messages


TEXT = WORDS.map(lambda said: {"type": "text", "text": said})
IMAGE = st.builds(
    lambda kind, data: {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}},
    st.sampled_from(["image/png", "image/jpeg", "image/webp"]),
    DATA,
) | st.just({"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}})
PDF = {"media_type": "application/pdf", "data": "JVBERi0="}
DOCUMENT = st.just({"type": "document", "source": {"type": "base64", **PDF}, "title": "a.pdf"})
RICH = st.lists(TEXT | IMAGE | DOCUMENT, min_size=1, max_size=3)
THOUGHT = st.builds(lambda said: {"type": "thinking", "thinking": said, "signature": "c2ln"}, WORDS) | st.just(
    {"type": "redacted_thinking", "data": "b3Bh"}
)


@st.composite
def messages_form(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Ends with the user, who also begins."""
    said: list[dict[str, Any]] = [{"role": "user", "content": draw(WORDS | RICH)}]
    for turn in range(draw(st.integers(0, 4))):
        match draw(st.sampled_from(["user", "assistant", "system", "tools", "tools"])):
            case "user":
                said.append({"role": "user", "content": draw(WORDS | RICH)})
            case "system":
                said.append({"role": "system", "content": draw(WORDS | st.lists(TEXT, max_size=2))})
            case "assistant":
                spoken = WORDS | st.builds(
                    lambda one, two: one + two, st.lists(THOUGHT, max_size=2), st.lists(TEXT, max_size=2)
                )
                said.append({"role": "assistant", "content": draw(spoken)})
            case _:
                said += exchange(draw, turn)
    return [*said, {"role": "user", "content": "And?"}]


def exchange(draw: st.DrawFn, turn: int) -> list[dict[str, Any]]:
    """Calls, and their results anywhere among what else the user says."""
    ids = [f"toolu_{turn}_{at}" for at in range(draw(st.integers(1, 3)))]
    calls = [{"type": "tool_use", "id": id, "name": f"f{id[-1]}", "input": draw(ARGUMENTS)} for id in ids]
    results = []
    for id in draw(st.permutations(ids)):
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": id}
        content = draw(st.none() | WORDS | RICH)
        block |= {} if content is None else {"content": content}
        results.append(block | draw(st.sampled_from([{}, {"is_error": True}])))
    beside = draw(st.lists(TEXT | IMAGE, max_size=2))
    spoken = [*draw(st.lists(THOUGHT, max_size=1)), *draw(st.lists(TEXT, max_size=1)), *calls]
    answer = [*beside, *results] if draw(st.booleans()) else [*results, *beside]
    return [{"role": "assistant", "content": spoken}, {"role": "user", "content": answer}]


def blocks_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """In the order that Anthropic wants; blank texts left out."""
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    ranks = {"tool_result": 0, "thinking": 0, "redacted_thinking": 0, "tool_use": 2}
    kept = [block for block in blocks if block["type"] != "text" or block["text"].strip()]
    return sorted(kept, key=lambda block: ranks.get(block["type"], 1))


def facts_of_messages(body: dict[str, Any]) -> list[Fact]:
    names: dict[str, str] = {}
    system = [{"content": body["system"]}] if body.get("system") else []
    return [fact for message in (*system, *body["messages"]) for fact in anthropic_blocks(blocks_of(message), names)]


def kinds_in(facts: list[Fact]) -> set[Fact]:
    inside = {("result", media[0]) for fact in facts if fact[0] == "result" for media in fact[3]}
    return {(fact[0],) for fact in facts} | inside


@everyone
@derandomized
@given(messages=messages_form(), system=st.none() | WORDS | st.lists(TEXT, max_size=2))
def test_what_a_messages_client_says_reaches_every_vendor(vendor: Vendor, messages: Any, system: Any) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": messages, "system": system}
    asking = read_messages(b"", body, Headers({}))
    assert isinstance(asking, Asking), asking
    facts = facts_of_messages(body)
    check_told(vendor, asking.body, facts, kinds_in(facts))


@derandomized
@given(messages=messages_form())
def test_a_messages_conversation_comes_back_to_anthropic_as_it_was(messages: list[dict[str, Any]]) -> None:
    asking = read_messages(b"", {"model": "m", "max_tokens": 9, "messages": messages}, Headers({}))
    assert isinstance(asking, Asking), asking
    vendor = VENDORS["anthropic"]
    wire = vendor.wire(*asking.body["messages"], flags=vendor.flags(mid_system=True))
    assert wire.json["messages"] == normalised(messages)


def normalised(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours merged, blank texts and thinking that leads to nothing left out, each turn in Anthropic's order."""
    # What a user said before a silent assistant stands before what it said after: only turns are put in order.
    turns: list[dict[str, Any]] = []
    for role, run in groupby(messages, lambda message: message["role"]):
        said = [block for message in run for block in blocks_of(message)]
        ordered = blocks_of({"content": said})
        if any(block["type"] not in {"thinking", "redacted_thinking"} for block in ordered):
            turns.append({"role": role, "content": [shortened(block) for block in ordered]})
    merged: list[dict[str, Any]] = []
    for role, run in groupby(turns, lambda turn: turn["role"]):
        merged.append({"role": role, "content": [block for turn in run for block in turn["content"]]})
    if merged[0]["role"] != "user":
        merged.insert(0, {"role": "user", "content": [{"type": "text", "text": "(conversation begins)"}]})
    return merged


def shortened(block: dict[str, Any]) -> dict[str, Any]:
    """The content of a result: one text as a string, none not at all."""
    if block["type"] != "tool_result":
        return block
    rest = {name: value for name, value in block.items() if name != "content"}
    match blocks_of({"content": block.get("content") or ""}):
        case []:
            return rest | ({"content": "(no message)"} if block.get("is_error") else {})
        case [{"type": "text", "text": said}]:
            return {**rest, "content": said}
        case blocks:
            return {**rest, "content": blocks}


# -- a conversation as Responses


INPUT_TEXT = WORDS.map(lambda said: {"type": "input_text", "text": said})
INPUT_IMAGE = DATA.map(lambda data: {"type": "input_image", "image_url": f"data:image/png;base64,{data}"})
INPUT_FILE = st.just({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="})
INPUT = WORDS | st.lists(INPUT_TEXT | INPUT_IMAGE | INPUT_FILE, max_size=3)
OUTPUT = st.lists(
    WORDS.map(lambda said: {"type": "output_text", "text": said})
    | WORDS.map(lambda said: {"type": "refusal", "refusal": said}),
    max_size=2,
)


@st.composite
def responses_form(draw: st.DrawFn) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for turn in range(draw(st.integers(0, 4))):
        match draw(st.sampled_from(["user", "assistant", "developer", "tools", "tools"])):
            case "user":
                items.append({"role": "user", "content": draw(INPUT)})
            case "developer":
                items.append({"role": "developer", "content": draw(WORDS | st.lists(INPUT_TEXT, max_size=2))})
            case "assistant":
                items.append({"type": "message", "role": "assistant", "content": draw(OUTPUT)})
            case _:
                ids = [f"call_{turn}_{at}" for at in range(draw(st.integers(1, 3)))]
                named = ({"call_id": id, "name": f"f{id[-1]}", "arguments": json.dumps(draw(ARGUMENTS))} for id in ids)
                items += [{"type": "function_call", **call} for call in named]
                outputs = ({"call_id": id, "output": draw(INPUT)} for id in draw(st.permutations(ids)))
                items += [{"type": "function_call_output", **output} for output in outputs]
    return [*items, {"role": "user", "content": "And?"}]


@everyone
@derandomized
@given(items=responses_form(), instructions=st.none() | WORDS)
def test_what_a_responses_client_says_reaches_every_vendor(
    vendor: Vendor, items: Any, instructions: str | None
) -> None:
    asking = read_responses(b"", {"model": "m", "input": items, "instructions": instructions}, Headers({}))
    assert isinstance(asking, Asking), asking
    facts = [text(instructions or ""), *of_responses({"input": items})]
    check_told(vendor, asking.body, facts, kinds_in(facts))


# -- an answer on every surface


REQUEST = Request("r1", "acme", b"{}", "small", operation="chat")


@st.composite
def answers(draw: st.DrawFn) -> Choice:
    """As adapters make them: the text of signed thoughts is the reasoning, and nothing is thought after the calls."""
    texts = draw(st.lists(WORDS, max_size=2))
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": said, "signature": f"s{at}"} for at, said in enumerate(texts)
    ]
    if draw(st.booleans()):
        blocks.append({"type": "redacted_thinking", "data": "b3Bh"})
    reasoning = "".join(texts) if blocks else draw(WORDS)
    calls = [ToolCall(f"call_{at}", f"f{at}", json.dumps(draw(ARGUMENTS))) for at in range(draw(st.integers(0, 3)))]
    cited = [
        {"type": "url_citation", "url_citation": {"url": f"https://e.org/{at}"}}
        for at in range(draw(st.integers(0, 2)))
    ]
    said = draw(WORDS)
    return Choice(
        text=said,
        refusal=draw(WORDS) or None,
        reasoning_content=reasoning or None,
        thinking_blocks=draw(st.permutations(blocks)) if not any(texts) else blocks,
        tool_calls=calls,
        annotations=cited if said else [],
        finish_reason=draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"])),
    )


def cut(draw: st.DrawFn, said: str) -> list[str]:
    points = sorted(draw(st.lists(st.integers(0, len(said)), max_size=3)))
    return [said[a:b] for a, b in pairwise([0, *points, len(said)])]


def pieces_of(draw: st.DrawFn, choice: Choice) -> Iterator[dict[str, Any]]:
    """The deltas of an answer, as an adapter's stream has them."""
    for block in choice.thinking_blocks:
        yield from ({"reasoning_content": piece} for piece in cut(draw, block.get("thinking", "")))
        yield {"thinking_blocks": [block]}
    if not choice.thinking_blocks:
        yield from ({"reasoning_content": piece} for piece in cut(draw, choice.reasoning_content or ""))
    yield from ({"content": piece} for piece in cut(draw, choice.text))
    yield from ({"annotations": [note]} for note in choice.annotations)
    yield from ({"refusal": piece} for piece in cut(draw, choice.refusal or ""))
    for at, call in enumerate(choice.tool_calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": at, "id": call.id, "type": "function", "function": function}]}
        for piece in cut(draw, call.arguments):
            yield {"tool_calls": [{"index": at, "function": {"arguments": piece}}]}


@st.composite
def streams(draw: st.DrawFn) -> tuple[Choice, Usage, list[list[dict[str, Any]]]]:
    """An answer and the first records of its stream: what got lost is mended at the end."""
    choice = draw(answers())
    pieces = [{**piece, **({} if at else {"role": "assistant"})} for at, piece in enumerate(pieces_of(draw, choice))]
    records = [list(run) for _, run in groupby(pieces, lambda _: draw(st.booleans()))]
    usage = Usage(draw(st.integers(0, 9)), draw(st.integers(0, 9)), reasoning_tokens=draw(st.integers(0, 3)))
    return choice, usage, records[: draw(st.integers(0, len(records)))]


def both(
    surface: Surface, stream: tuple[Choice, Usage, list[list[dict[str, Any]]]]
) -> tuple[dict[str, Any], list[Any]]:
    """The whole answer, and the events of the streamed one as a client reads them that splits lines as Python does."""
    choice, usage, records = stream
    said = {"model": "small", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    said |= {"input": "hi", "stream_options": {"include_usage": True}} if surface is CHAT else {}
    asked = {"model": "small", "input": "hi"} if surface is RESPONSES else said
    asking = surface.read(b"", asked, Headers({}))
    assert isinstance(asking, Asking), asking
    response = completed(REQUEST, choice, usage=usage)
    whole = orjson.loads(surface.answer(response, asking))
    assert surface.frames is not None
    assembler = Assembler(surface.frames(Opening("r1", "small", NOW // 1000), asking))
    deltas = [Delta("r1", "acme", 1, at, "chunk", orjson.dumps(record)) for at, record in enumerate(records)]
    sent = b"".join([assembler.feed([delta]) for delta in deltas]) + assembler.finish(response)
    lines = [line for line in sent.decode().splitlines() if line]
    assert all(line.startswith(("data: ", "event: ")) for line in lines)
    return whole, [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


@derandomized
@given(streams())
def test_a_chat_stream_in_any_cuts_folds_to_the_whole_answer(stream: Any) -> None:
    whole, chunks = both(CHAT, stream)
    assert {(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks} == {
        (whole["id"], NOW // 1000, whole["model"])
    }
    *spoken, last = chunks
    assert last["choices"] == []
    assert {key: last["usage"][key] for key in whole["usage"]} == whole["usage"]
    told_ends = [chunk["choices"][0]["finish_reason"] for chunk in spoken]
    assert told_ends == [None] * (len(spoken) - 1) + [whole["choices"][0]["finish_reason"]]
    assert folded_chat([chunk["choices"][0]["delta"] for chunk in spoken]) == {
        name: value for name, value in whole["choices"][0]["message"].items() if value
    }


def folded_chat(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """As a client does it; what is empty is left out."""
    message: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    for at, delta in enumerate(deltas):
        assert ("role" in delta) == (at == 0)
        for name, value in delta.items():
            if name != "tool_calls":
                message[name] = message[name] + value if name in message else value
        for piece in delta.get("tool_calls", ()):
            if piece["index"] == len(calls):
                calls.append({name: piece[name] for name in ("id", "type")} | {"function": dict(piece["function"])})
            else:
                calls[piece["index"]]["function"]["arguments"] += piece["function"]["arguments"]
    return {name: value for name, value in {**message, "tool_calls": calls}.items() if value}


@derandomized
@given(streams())
def test_a_messages_stream_in_any_cuts_folds_to_the_whole_answer(stream: Any) -> None:
    whole, events = both(MESSAGES, stream)
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    assert folded_messages(events) == whole


def folded_messages(events: list[dict[str, Any]]) -> dict[str, Any]:
    """One block after the other; the numbers of the end win."""
    message: dict[str, Any] = events[0]["message"]
    content: list[dict[str, Any]] = message["content"]
    arguments, is_open = "", False
    for event in events[1:]:
        match event["type"]:
            case "content_block_start":
                assert (event["index"], is_open) == (len(content), False)
                content.append(event["content_block"])
                arguments, is_open = "", True
            case "content_block_delta":
                assert (event["index"], is_open) == (len(content) - 1, True)
                kind, *_ = (name for name in event["delta"] if name != "type")
                if kind == "partial_json":
                    arguments += event["delta"][kind]
                else:
                    content[-1][kind] += event["delta"][kind]
            case "content_block_stop":
                is_open = False
                if content[-1]["type"] == "tool_use":
                    content[-1]["input"] = json.loads(arguments or "{}")
            case "message_delta":
                message = {**message, **event["delta"], "usage": {**message["usage"], **event["usage"]}}
    return message


@derandomized
@given(streams())
def test_a_responses_stream_in_any_cuts_ends_in_the_whole_answer(stream: Any) -> None:
    whole, events = both(RESPONSES, stream)
    assert events[-1]["response"] == whole
    texts = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(texts) == stream[0].text


# -- bytes


@everyone
@pytest.mark.parametrize("case", ["parallel-tool-calls", "reasoning"])
def test_a_stream_split_at_every_byte_gives_the_same_pieces_and_answer(vendor: Vendor, case: str) -> None:
    _, data = vendor.sample(case)
    uncut = vendor.streamed([data])
    assert isinstance(uncut[0], Completion), uncut
    for at in range(1, len(data)):
        assert vendor.streamed([data[:at], data[at:]]) == uncut
