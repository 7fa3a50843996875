from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.classify import CLASSIFIER_VERSION, classify, count_tokens
from schemas.catalog import Sensitivity


def _body(text: Any, **said: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **said}


@pytest.mark.parametrize(
    ("text", "task", "language"),
    [
        ("Hello there, nice to meet you today", "chat", "en"),
        ("Please translate this sentence into French", "translate", "en"),
        ("Write a python program that sorts a list of words", "code", "en"),
        ("Solve the equation for the unknown number", "maths", "en"),
        ("Guten Morgen, wie geht es Ihnen heute in Berlin?", "chat", "de"),
        ("ok", "chat", "und"),
        ("", "chat", "und"),
    ],
)
def test_task_and_language(text: str, task: str, language: str) -> None:
    found = classify(_body(text), asked_sensitivity=None)
    assert (found.task, found.language, found.classifier_version) == (task, language, CLASSIFIER_VERSION)


def test_needs_are_read_from_the_body() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    body = _body(
        [{"type": "text", "text": "what is it"}, image, {"type": "input_audio"}, {"type": "file"}],
        tools=[{"type": "function"}], stream=True, logprobs=True, n=2, response_format={"type": "json_schema"},
    )  # fmt: skip
    needs = ["audio", "file", "json_schema", "logprobs", "n", "streaming", "tools", "vision"]
    assert classify(body, asked_sensitivity=None).needs == needs
    assert classify(_body("x", response_format={"type": "json_object"}), asked_sensitivity=None).needs == ["json_mode"]


def test_long_text_is_estimated_from_its_prefix() -> None:
    assert count_tokens("word " * 100_000) == pytest.approx(100_000, rel=0.01)


def test_embeddings_inputs_are_counted() -> None:
    assert classify({"input": ["one two", "three"]}, asked_sensitivity=None).input_tokens >= 3


@given(
    text=st.text(st.characters(), max_size=200), asked=st.sampled_from([None, *(each.value for each in Sensitivity)])
)
def test_any_text_has_features_and_sensitivity_is_never_lowered(text: str, asked: str | None) -> None:
    found = classify(_body(text), asked_sensitivity=asked)
    assert 0 <= found.complexity <= 1
    assert Sensitivity(found.sensitivity) >= Sensitivity.INTERNAL
    assert asked is None or Sensitivity(found.sensitivity) >= Sensitivity(asked)
    assert found == classify(_body(text), asked_sensitivity=asked)


def test_an_unknown_level_is_the_highest() -> None:
    assert classify(_body("x"), asked_sensitivity="secret").sensitivity == "restricted"


def test_lone_surrogates_do_no_harm() -> None:
    assert classify(_body("broken \ud800 text that goes on"), asked_sensitivity=None).input_tokens > 0
