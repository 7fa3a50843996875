"""Exports as training data: what is held out follows from the file, and enough is left to train on."""

from typing import Any

import orjson
import pytest

from pipeline.core.tuning import LEAST, Dataset, InvalidDataset, dataset


def chat(number: int, **more: Any) -> bytes:
    said = [{"role": "user", "content": f"question {number}"}, {"role": "assistant", "content": "answer"}]
    return orjson.dumps({"messages": said, **more}) + b"\n"


def pair(number: int) -> bytes:
    asked = {"messages": [{"role": "user", "content": f"question {number}"}]}
    sides = [[{"role": "assistant", "content": text}] for text in ("good", "bad")]
    return orjson.dumps({"input": asked, "preferred_output": sides[0], "non_preferred_output": sides[1]}) + b"\n"


@pytest.mark.parametrize(("count", "held_out"), [(10, 0), (11, 1), (19, 1), (20, 2), (100, 10), (1000, 20)])
def test_a_tenth_is_held_out_but_never_too_much(count: int, held_out: int) -> None:
    lines = [chat(number) for number in range(count)]
    found = dataset(b"".join(lines))
    assert (found.rows, found.held_out, found.method) == (count - held_out, held_out, "supervised")
    trained = found.training.splitlines(keepends=True)
    assert trained == [line for line in lines if line in set(trained)]
    assert len(trained) == found.rows >= LEAST
    questions = {prompt["messages"][-1]["content"] for prompt in found.prompts}
    assert len(questions) == (held_out or 3)
    if held_out:
        assert not any(question.encode() + b'"' in found.training for question in questions)


def test_the_same_file_is_split_alike_and_prompts_are_what_is_answered() -> None:
    content = b"".join(chat(number, tools=[{"type": "function", "function": {"name": "f"}}]) for number in range(30))
    assert dataset(content) == dataset(content)
    assert all(
        set(prompt) == {"messages", "tools"} and len(prompt["messages"]) == 1 for prompt in dataset(content).prompts
    )


def test_preferences_are_for_dpo() -> None:
    found = dataset(b"".join(pair(number) for number in range(25)))
    assert isinstance(found, Dataset)
    assert (found.method, found.rows, found.held_out) == ("dpo", 23, 2)
    assert found.prompts[0]["messages"][0]["role"] == "user"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 examples"),
        (b"".join(map(chat, range(9))), "9 examples"),
        (b"".join(map(chat, range(10))) + b"{", "line 11 is no JSON"),
        (b"".join(map(chat, range(10))) + b'{"a":1}', "line 11 is neither"),
        (b"".join(map(chat, range(10))) + pair(1), "in one file"),
        (b"request_id,accepted_at\n", "line 1 is no JSON"),
        (b'{"messages":[{"role":"assistant","content":"x"}]}\n' * 10, "line 1 has nothing"),
    ],
)
def test_what_is_no_training_data_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(InvalidDataset, match=words):
        dataset(content)
