"""Going on with an answer that broke off: what was delivered, what is asked, and how the words join on."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.core.continuation import (
    MIN_OVERLAP,
    Continuation,
    Seam,
    continued,
    delivered,
    heard_tokens,
    prefix_tokens,
)
from schemas.completion import Choice, Completion, ToolCall, Usage
from schemas.events import Delta, Prefix

PREFILL, ASKED = {"prefill": True}, {"prefill": False}


def delta(attempt: int, seq: int, *pieces: dict[str, Any], continues: tuple[int, int] | None = None) -> Delta:
    event = Delta("r1", "acme", attempt, seq, "chunk", orjson.dumps(pieces))
    if continues is not None:
        event.continues_attempt, event.continues_pieces = continues
    return event


def say(text: str) -> dict[str, Any]:
    return {"content": text}


def prefix(content: str, **facts: Any) -> Prefix:
    return Prefix(attempt=1, pieces=1, content=content, **facts)


# --- what was delivered


def test_what_was_delivered_are_all_pieces_in_order_and_repeated_ones_count_once() -> None:
    pieces = [delta(1, 0, {"role": "assistant", "content": "The"}, say(" export")), delta(1, 1, say(" fails"))]
    assert delivered([*pieces, pieces[1]]) == Prefix(1, 2, "The export fails")


def test_several_continuations_in_a_row_accumulate() -> None:
    pieces = [delta(1, 0, say("a")), delta(2, 0, say("b"), continues=(1, 1)), delta(4, 0, say("c"), continues=(2, 1))]
    assert delivered(pieces) == Prefix(4, 1, "abc")


def test_an_attempt_that_said_nothing_is_taken_over_by_one_that_begins_anew() -> None:
    assert delivered([delta(1, 0, {"role": "assistant"}), delta(2, 0, say("x"))]) == Prefix(2, 1, "x")


def test_reasoning_and_its_signatures_were_delivered_too() -> None:
    block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    found = delivered([delta(1, 0, {"reasoning_content": "hm"}, {"thinking_blocks": [block]})])
    assert found is not None
    assert (found.content, found.reasoning_content, orjson.loads(found.thinking_blocks)) == ("", "hm", [block])
    assert not found.is_empty


def test_late_pieces_of_an_attempt_that_was_given_up_do_not_count() -> None:
    pieces = [delta(1, 0, say("a")), delta(2, 0, say("b"), continues=(1, 1)), delta(1, 1, say("zombie"))]
    assert delivered(pieces) == Prefix(2, 1, "ab")


@pytest.mark.parametrize(
    "pieces",
    [
        [delta(1, 1, say("a"))],
        [delta(1, 0, say("a")), delta(1, 2, say("b"))],
        [delta(1, 0, say("a")), delta(1, 1, say("b")), delta(2, 0, say("c"), continues=(1, 1))],
        [delta(1, 0, say("a")), delta(2, 0, say("b"))],
        [delta(2, 0, say("b"), continues=(1, 1))],
        [delta(1, 0, {"tool_calls": [{"index": 0}]})],
        [delta(1, 0, {"refusal": "no"})],
        [delta(1, 0, {"something": "new"})],
        [Delta("r1", "acme", 1, 0, "chunk", b"[")],
    ],
    ids=["late start", "gap", "zombie", "restart", "tail only", "tool call", "refusal", "unknown", "garbage"],
)
def test_a_gap_or_a_piece_that_is_no_text_cannot_be_continued(pieces: list[Delta]) -> None:
    assert delivered(pieces) is None


def test_nothing_at_all_is_an_empty_prefix() -> None:
    found = delivered([Delta("r1", "acme", 0, 0, "note", b"{}")])
    assert found is not None
    assert found.is_empty


def test_tokens_are_counted_over_the_joined_text() -> None:
    assert prefix_tokens(prefix("One by one the words arrive.")) == 7
    call = {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}
    heard = [delta(1, 0, say("One by one the wo"), say("rds arrive.")), Delta("r1", "acme", 1, 1, "chunk", b"[")]
    assert (heard_tokens(heard), heard_tokens([delta(1, 0, call)])) == (7, 1)


# --- what is asked

USER = {"role": "user", "content": "Why?"}


def test_a_model_that_prefills_gets_the_beginning_as_its_own_without_white_space_at_its_end() -> None:
    asked = continued({"messages": [USER], "seed": 1}, prefix("Because \n"), PREFILL)
    assert asked == {"messages": [USER, {"role": "assistant", "content": "Because"}], "seed": 1}


def test_the_callers_own_prefill_and_what_followed_are_one_message() -> None:
    body = {"messages": [USER, {"role": "assistant", "content": "Be"}]}
    assert continued(body, prefix("cause"), PREFILL)["messages"] == [USER, {"role": "assistant", "content": "Because"}]


def test_another_model_is_asked_to_go_on_behind_the_whole_beginning() -> None:
    body = {"messages": [USER]}
    *kept, begun, wish = continued(body, prefix("Because "), ASKED)["messages"]
    assert (kept, begun) == ([USER], {"role": "assistant", "content": "Because "})
    assert wish["role"] == "user"
    assert "exactly where it stopped" in wish["content"]
    assert body == {"messages": [USER]}


@pytest.mark.parametrize("flags", [PREFILL, ASKED])
def test_where_only_reasoning_was_delivered_the_request_is_asked_again(flags: dict[str, Any]) -> None:
    assert continued({"messages": [USER]}, prefix("", reasoning_content="hm"), flags) == {"messages": [USER]}


def test_json_is_asked_for_in_words_since_a_vendor_that_enforces_it_would_begin_again() -> None:
    schema = {"type": "object"}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    asked = continued({"messages": [USER], "response_format": form}, prefix('{"a'), PREFILL)
    assert "response_format" not in asked
    system, user, begun = asked["messages"]
    assert orjson.dumps(schema).decode() in system["content"]
    assert (user, begun["content"]) == (USER, '{"a')


# --- how it joins on

SAID = "The export of the ticket fails since"


@pytest.mark.parametrize(
    ("said", "comes", "new"),
    [
        (SAID, " Monday.", " Monday."),
        (SAID, SAID + " Monday.", " Monday."),
        (SAID, "ticket fails since Monday.", " Monday."),
        (SAID, "fails since Monday.", "fails since Monday."),  # eleven characters: may be chance
        (SAID, "The export of the printer", "The export of the printer"),
        (SAID, SAID, ""),
        ("I", "I think", " think"),
        ("", "anything", "anything"),
        ("ab" * 20, "ab" * 20 + "c", "c"),
    ],
)
def test_a_repeated_beginning_is_cut(said: str, comes: str, new: str) -> None:
    seam = Seam(said)
    assert seam.feed(comes) + seam.end() == new
    assert Seam(said).rest(comes) == new


@pytest.mark.parametrize(
    ("spaces", "comes", "new"),
    [(" ", " World", "World"), (" ", "World", "World"), ("\n\n", "\nWorld", "World"), ("\n", "\n\nWorld", "\nWorld"),
     (" ", "\nWorld", "\nWorld")],
)  # fmt: skip
def test_white_space_that_the_model_did_not_see_is_there_once(spaces: str, comes: str, new: str) -> None:
    seam = Seam("Hello", spaces)
    assert seam.feed(comes) + seam.end() == new


def test_text_is_held_back_only_while_it_may_be_a_repetition() -> None:
    seam = Seam(SAID)
    assert [seam.feed(piece) for piece in ("The", " export", " was", " late")] == ["", "", "The export was", " late"]


texts = st.text(alphabet="ab \n", max_size=60)


@given(texts, st.sampled_from(["", " ", "\n ", "\n\n"]), st.lists(st.text(alphabet="ab \n", max_size=9)), st.booleans())
@example("ab" * 10, "", ["ab" * 9, "ab", "x"], False)
def test_any_split_into_pieces_gives_the_same_text(said: str, spaces: str, pieces: list[str], repeats: bool) -> None:
    pieces = [said[len(said) // 2 :], *pieces] if repeats else pieces
    seam, whole = Seam(said, spaces), "".join(pieces)
    streamed = "".join(seam.feed(piece) for piece in pieces) + seam.end()
    at_once = Seam(said, spaces)
    assert streamed == at_once.feed(whole) + at_once.end()
    assert streamed == Seam(said, spaces).rest(whole) == seam.rest(whole)


@given(st.text(alphabet="ab ", min_size=MIN_OVERLAP, max_size=60), st.text(alphabet="ab ", max_size=60))
def test_what_is_cut_was_said_and_the_rest_is_unchanged(said: str, comes: str) -> None:
    new = Seam(said).rest(comes)
    cut = comes[: len(comes) - len(new)]
    assert comes.endswith(new)
    assert said.endswith(cut)
    assert not cut or len(cut) >= MIN_OVERLAP


@given(st.text(alphabet="abc ", max_size=60), st.lists(st.text(alphabet="xyz ", min_size=1)))
def test_text_without_an_overlap_passes_unchanged(said: str, pieces: list[str]) -> None:
    pieces = ["x", *pieces]
    seam = Seam(said)
    assert [seam.feed(piece) for piece in pieces] == pieces
    assert seam.end() == ""


# --- pieces and answer


def completion(text: str, **facts: Any) -> Completion:
    usage = Usage(input_tokens=90, output_tokens=7, cache_read_tokens=50)
    return Completion([Choice(text=text, **facts), Choice(index=1, text="x")], usage)


def test_the_whole_answer_is_prefix_and_continuation_for_one_input_and_all_output() -> None:
    joined = Continuation(prefix(SAID, input_tokens=12, output_tokens=9), ASKED)
    assert joined.piece(say(SAID)) == {}
    assert joined.piece(say(" Monday.")) == say(" Monday.")
    answer = joined.answer(completion(SAID + " Monday."))
    assert [choice.text for choice in answer.choices] == [SAID + " Monday."]
    assert answer.usage == Usage(input_tokens=12, output_tokens=16, estimated=True)


def test_an_answer_that_came_whole_is_joined_alike() -> None:
    answer = Continuation(prefix("Hello "), PREFILL).answer(completion(" World"))
    assert answer.choices[0].text == "Hello World"


def test_reasoning_passes_only_while_no_content_was_delivered() -> None:
    thought = {"reasoning_content": "hm", "thinking_blocks": [{"signature": "s"}]}
    after = Continuation(prefix("A", reasoning_content="first"), ASKED)
    assert after.piece(thought) == {}
    assert after.answer(completion("B", reasoning_content="hm")).choices[0].reasoning_content == "first"
    before = Continuation(prefix("", reasoning_content="first "), ASKED)
    assert before.piece(thought) == {"reasoning_content": "hm"}
    answer = before.answer(completion("B", reasoning_content="hm", thinking_blocks=[{"signature": "s"}]))
    assert (answer.choices[0].reasoning_content, answer.choices[0].thinking_blocks) == ("first hm", [])


def test_a_tool_call_ends_the_text_in_front_of_it() -> None:
    joined = Continuation(prefix(SAID), ASKED)
    call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}
    assert joined.piece(say("The export")) == {}
    assert joined.piece(call) == {**call, "content": "The export"}
    answer = joined.answer(completion("The export", tool_calls=[ToolCall("c", "f", "{}")], finish_reason="tool_calls"))
    assert answer.choices[0].text == SAID + "The export"
    assert [tool.name for tool in answer.choices[0].tool_calls] == ["f"]
