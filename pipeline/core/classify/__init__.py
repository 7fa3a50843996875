"""What a request is: plain features, no model, well under a millisecond (DESIGN.md section 6).

    text         the text of a body;                      tokens: how many
    features     language, task form, complexity, band;   sensitivity: how far it may travel

Equal bodies have equal features under one `CLASSIFIER_VERSION`.
"""

from typing import Any

from pipeline.core.classify.features import band_of, complexity_of, language_of, needs_of, task_of
from pipeline.core.classify.sensitivity import sensitivity_of
from pipeline.core.classify.text import read_text
from pipeline.core.classify.tokens import count_tokens, input_tokens
from schemas.events import Features

__all__ = ["CLASSIFIER_VERSION", "classify", "count_input_tokens", "count_tokens"]

CLASSIFIER_VERSION = "plain-1"


def classify(body: dict[str, Any], *, asked_sensitivity: str | None) -> Features:
    """Features of a Chat or Embeddings body; `asked_sensitivity` may raise what is found, never lower it."""
    text = read_text(body)
    needs = needs_of(body, text)
    task = task_of(text.sample, needs)
    tokens = input_tokens(body, text)
    complexity = complexity_of(text, task=task, needs=needs, tokens=tokens)
    sensitivity, findings = sensitivity_of(text.sample, asked=asked_sensitivity)
    return Features(
        input_tokens=tokens,
        language=language_of(text.sample),
        task=task,
        complexity=complexity,
        band=band_of(complexity),
        sensitivity=sensitivity.value,
        needs=needs,
        findings=findings,
        classifier_version=CLASSIFIER_VERSION,
    )


def count_input_tokens(body: dict[str, Any]) -> int:
    """The tokens that a body would be charged for, by our estimate."""
    return input_tokens(body, read_text(body))
