"""What goes into an export, how its lines read, and why the rest stays outside."""

import csv
import io
import random
from typing import Any

import orjson
import pytest
from export_builder import (
    NOW,
    answer,
    answered,
    asked,
    bodies,
    exchange,
    rating,
    versus,
    wanted,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.exporting import HEADER, Bodies, Skip, choose, lines_of
from pipeline.core.redaction import Redactor
from pipeline.core.redaction import findings as found_in


def chosen(reasons: dict[str, int], *, of: Any = None, **more: Any) -> None:
    """One request: in the export, or skipped for this reason."""
    requests, answers = more.get("requests", [asked()]), more.get("answers", [answered()])
    choice = choose(of or wanted(), requests, {one.request_id: one for one in answers}, more.get("ratings", []), [])
    assert choice.skipped == reasons
    assert len(choice.exchanges) + sum(choice.skipped.values()) == len(requests)


def lines(format: str, one: Any, content: Bodies) -> Any:
    said = lines_of(format, one, content, Redactor())
    return said if isinstance(said, Skip) else [orjson.loads(line.text) for line in said]


def cells(one: Any, content: Bodies) -> dict[str, str]:
    [line] = lines_of("csv", one, content, Redactor())  # type: ignore[misc]
    rows = list(csv.reader(io.StringIO((HEADER + line.text).decode(), newline="")))
    assert len(rows) == 2
    return dict(zip(*rows, strict=True))


@pytest.mark.parametrize(
    ("reason", "more"),
    [
        ("store_bodies", {"of": wanted(has_consent=False)}),
        ("role", {"requests": [asked(role="replay")]}),
        ("route", {"of": wanted(route="fast")}),
        ("no_outcome", {"answers": []}),
        ("error", {"answers": [answered(outcome="error")]}),
        ("model", {"of": wanted(model="large")}),
        ("score", {"of": wanted(min_score=0.5)}),
        ("score", {"of": wanted(min_score=0.5), "ratings": [rating(score=0.9, user="a"), rating(score=0.0, user="b")]}),
        ("score", {"of": wanted(min_score=0.5), "ratings": [rating(score=0.9, offset=1), rating(score=0.1, offset=2)]}),
    ],
)
def test_a_request_that_does_not_fit_is_counted_with_its_reason(reason: str, more: dict[str, Any]) -> None:
    chosen({reason: 1}, **more)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"of": wanted(route="auto", model="small")},
        {"of": wanted(min_score=0.5), "ratings": [rating(label="up")]},
        {"of": wanted(min_score=0.5), "ratings": [rating(score=0.1, offset=1), rating(score=0.9, offset=2)]},
        {"of": wanted(min_score=0.5), "requests": [asked(conversation_id="c-1")],
         "ratings": [rating("", conversation_id="c-1", score=1.0)]},
    ],
)  # fmt: skip
def test_a_request_that_fits_is_taken(more: dict[str, Any]) -> None:
    chosen({}, **more)


def test_the_order_in_which_things_were_read_does_not_matter() -> None:
    requests = [asked(f"r-{n}", accepted_at=NOW + n % 3) for n in range(12)]
    answers = {one.request_id: answered(one.request_id) for one in requests}
    said = [rating("r-1", user, offset=n, score=n / 10) for n, user in enumerate("abcab")]
    first = choose(wanted(), requests, answers, said, [versus(), versus("primary", "b")])
    for seed in range(5):
        chance = random.Random(seed)
        mixed = choose(
            wanted(), chance.sample(requests, 12), answers, chance.sample(said, 5), [versus("primary", "b"), versus()]
        )
        assert [one.asked for one in mixed.exchanges] == [one.asked for one in first.exchanges]
        assert [one.ratings for one in mixed.exchanges] == [one.ratings for one in first.exchanges]


def test_a_chat_becomes_a_line_of_a_training_file_without_personal_data() -> None:
    tool = {
        "type": "function",
        "function": {"name": "mail", "description": "to a@x.org", "parameters": {"type": "object"}},
    }
    call = {"id": "mrs1-abc", "type": "function", "function": {"name": "mail", "arguments": '{"to":"a@x.org"}'}}
    asked_of = bodies(
        {"role": "system", "content": "be brief", "cache_control": {"type": "ephemeral"}},
        {"role": "user", "content": [{"type": "text", "text": "write to a@x.org"}], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "mrs1-abc", "content": "sent to b@x.org"},
        tools=[tool], parallel_tool_calls=False, temperature=0.3, answered=answer("done: b@x.org"),
    )  # fmt: skip
    [line] = lines("openai-chat", exchange(), asked_of)
    assert line == {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "write to [EMAIL_1]"}], "name": "ann"},
            {"role": "assistant", "tool_calls": [{**call, "id": "call_1", "function": {
                "name": "mail", "arguments": '{"to":"[EMAIL_1]"}'}}]},
            {"role": "tool", "content": "sent to [EMAIL_2]", "tool_call_id": "call_1"},
            {"role": "assistant", "content": "done: [EMAIL_2]"},
        ],
        "tools": [{**tool, "function": {**tool["function"], "description": "to [EMAIL_1]"}}],
        "parallel_tool_calls": False,
    }  # fmt: skip


IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}


@pytest.mark.parametrize(
    ("reason", "one", "content"),
    [
        ("operation", exchange(asked=asked(operation="embeddings")), bodies()),
        ("unfinished", exchange(answered=answered(finish_reason="length")), bodies()),
        ("no_body", exchange(), Bodies(None, answer(), {})),
        ("no_body", exchange(), Bodies(b"no json", answer(), {})),
        ("no_body", exchange(), bodies(answered=b"{}")),
        ("not_text", exchange(), bodies(IMAGE)),
        ("not_text", exchange(), bodies(answered=answer(None))),
        ("not_text", exchange(), bodies({"role": "user"}, {"role": "robot", "content": "x"})),
    ],
)
def test_what_cannot_be_trained_on_is_skipped_whole(reason: str, one: Any, content: Bodies) -> None:
    assert lines("openai-chat", one, content) == Skip(reason)


def test_an_edit_is_preferred_over_the_answer_and_the_winner_over_the_loser() -> None:
    one = exchange(
        ratings=[rating(user="ann", score=0.2, edit="better: c@x.org"), rating(user="bob", label="up")],
        versus=[versus("shadow"), versus("primary", "again")],
    )
    found = lines("preference", one, bodies(shadow=answer("other")))
    prompt = {"messages": [{"role": "user", "content": "hi"}]}
    said = {text: [{"role": "assistant", "content": text}] for text in ("hello", "other", "better: [EMAIL_1]")}
    pairs = [("better: [EMAIL_1]", "hello"), ("hello", "other"), ("other", "hello")]
    assert found == [
        {"input": prompt, "preferred_output": said[better], "non_preferred_output": said[worse]}
        for better, worse in pairs
    ]


@pytest.mark.parametrize(
    ("reason", "more", "content"),
    [
        ("no_pair", {}, bodies()),
        ("no_pair", {"ratings": [rating(score=1.0)]}, bodies()),
        ("no_pair", {"ratings": [rating(score=1.0, edit="hello")]}, bodies()),
        ("no_pair", {"versus": [versus()]}, bodies()),
        ("no_pair", {"versus": [versus()]}, bodies(shadow=answer("hello"))),
        ("not_text", {"ratings": [rating(score=1.0, edit="x")]}, bodies(answered=answer(None, tool_calls=[
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]))),
        ("not_text", {"ratings": [rating(score=1.0, edit="mail b@x.org")]}, bodies(answered=answer("mail [EMAIL_1]"))),
    ],
)  # fmt: skip
def test_without_two_different_texts_there_is_no_pair(reason: str, more: dict[str, Any], content: Bodies) -> None:
    assert lines("preference", exchange(**more), content) == Skip(reason)


def test_a_row_says_what_analysts_ask_for() -> None:
    one = exchange(
        asked=asked(user="ann@x.org", tags={"team": "a", "by": "b@x.org"}),
        ratings=[rating(score=0.5), rating(label="up")],
    )
    found = cells(
        one, bodies({"role": "user", "content": "first"}, {"role": "user", "content": 'say "hi",\nann@x.org'})
    )
    said = {"accepted_at": "2027-01-15T08:00:00.000Z", "user": "[EMAIL_1]", "route": "auto", "cost_nano_usd": "1500",
            "score": "0.75", "ratings": "2", "prompt": 'say "hi",\n[EMAIL_1]', "answer": "hello", "first_token_ms": "200",
            "tags": '{"by":"[EMAIL_2]","team":"a"}'}  # fmt: skip
    assert said.items() <= found.items()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " =cmd|' /C calc'!A0", "＝1", "|calc", "%0A=1"])  # noqa: RUF001
def test_nothing_that_a_spreadsheet_computes_begins_a_cell(text: str) -> None:
    found = cells(exchange(asked=asked(user=text)), bodies({"role": "user", "content": text}, answered=answer(text)))
    assert all(found[name].startswith("'") for name in ("user", "prompt", "answer"))


TEXT = st.text(max_size=40) | st.sampled_from(
    ["mail a@x.org", "call +49 171 2345678", "4111 1111 1111 1111", '{"a": 1}']
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "function"]), "content": TEXT | st.none() | st.lists(
        st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}), max_size=2)},
    optional={"name": TEXT, "tool_calls": st.lists(st.fixed_dictionaries({"id": TEXT, "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.just("f"), "arguments": TEXT})}), max_size=2), "tool_call_id": TEXT},
)  # fmt: skip


@given(st.lists(MESSAGE, max_size=4), TEXT, TEXT, st.sampled_from(["openai-chat", "preference", "csv"]))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_whatever_was_said_lines_are_whole_repeatable_and_hold_no_personal_data(
    messages: list[Any], said: str, edit: str, format: str
) -> None:
    content = Bodies(orjson.dumps({"messages": messages}), answer(said), {})
    one = exchange(ratings=[rating(score=1.0, edit=edit)])
    first, second = (lines_of(format, one, content, Redactor()) for _ in range(2))
    assert first == second
    if isinstance(first, Skip):
        return
    for line in first:
        assert line.text.endswith(b"\n")
        if format != "csv":
            assert b"\n" not in line.text[:-1]
            assert all(found_in(text) == [] for text in leaves(orjson.loads(line.text)))


def leaves(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in leaves(part)]
