"""Language, task form, complexity and needs, from surface features of at most 2,000 characters.

The rows of `_TASKS` are tried in order; the first with a word or sign in the text names the task. Complexity is a sum
of small shares (`complexity_of`), cut at 1, banded at 0.33 and 0.66.
"""

import re
from typing import Any

import pycld2

from pipeline.core.classify.text import Text

__all__ = ["UNDETERMINED", "band_of", "complexity_of", "language_of", "needs_of", "task_of"]

UNDETERMINED = "und"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000fffff]")
_FEW_CHARS = 12  # below it a language is a guess
_TASKS: tuple[tuple[str, frozenset[str], re.Pattern[str] | None], ...] = (  # task, words, signs
    (
        "translate",
        frozenset(["translate", "translation", "übersetze", "übersetzen", "traduire"]),
        None,
    ),
    (
        "summarise",
        frozenset(["summarise", "summarize", "summary", "tldr", "zusammenfassen", "résumer"]),
        None,
    ),
    (
        "code",
        frozenset(["python", "javascript", "typescript", "rust", "sql", "regex", "refactor", "debug", "compile"]),
        re.compile(r"```|def \w+\(|function \w*\("),
    ),
    ("extraction", frozenset(["extract", "parse", "classify", "extrahiere", "extrahieren"]), None),
    (
        "maths",
        frozenset(["solve", "integral", "derivative", "equation", "theorem", "probability", "prove"]),
        re.compile(r"\d ?[-+*^=] ?\d(?!\d*-\d)|\\frac|\\int"),  # not a date
    ),
    (
        "reasoning",
        frozenset(["why", "explain", "compare", "analyse", "analyze", "tradeoff", "tradeoffs", "reason", "reasoning"]),
        re.compile("step by step"),
    ),
)
_TASK_SHARE = {"maths": 0.3, "reasoning": 0.25, "code": 0.25, "extraction": 0.05, "translate": 0.05}
_ASKS = re.compile(r"\?|\n *(?:\d+[.)]|[-*]) ")
_WORDS = re.compile(r"\w{2,}")


def language_of(sample: str) -> str:
    """ISO 639-1 where there is one, `und` where nothing can be said."""
    if len(sample) < _FEW_CHARS:
        return UNDETERMINED
    try:
        _, _, guesses = pycld2.detect(_CONTROL.sub(" ", sample))
    except (pycld2.error, ValueError):
        return UNDETERMINED
    code = str(guesses[0][1])
    return UNDETERMINED if code == "un" else code


def needs_of(body: dict[str, Any], text: Text) -> list[str]:
    """Capabilities that a model must have, sorted."""
    needs = set(text.kinds)
    n = body.get("n")
    asked = {
        "tools": bool(body.get("tools")),
        "streaming": body.get("stream") is True,
        "logprobs": body.get("logprobs") is True,
        "n": isinstance(n, int) and n > 1,
    }
    needs |= {name for name, is_asked in asked.items() if is_asked}
    answer_form = body.get("response_format")
    kind = answer_form.get("type") if isinstance(answer_form, dict) else None
    if kind in {"json_schema", "json_object"}:
        needs.add("json_schema" if kind == "json_schema" else "json_mode")
    return sorted(needs)


def task_of(sample: str, needs: list[str]) -> str:
    lower = sample.lower()
    words = set(_WORDS.findall(lower))
    for task, telling, signs in _TASKS:
        if not words.isdisjoint(telling) or (signs is not None and signs.search(lower)):
            return task
    return "extraction" if "json_schema" in needs else "chat"


def complexity_of(text: Text, *, task: str, needs: list[str], tokens: int) -> float:
    """0 for a greeting to 1: length, turns, number of asks, long words, task form, tools."""
    words = _WORDS.findall(text.sample)
    long_words = sum(len(word) > 8 for word in words) / len(words) if words else 0.0
    shares = (
        0.25 * min(1.0, tokens / 2_000),
        0.10 * min(1.0, text.turns / 10),
        0.15 * min(1.0, len(_ASKS.findall(text.sample)) / 5),
        0.15 * min(1.0, long_words * 3),
        _TASK_SHARE.get(task, 0.0),
        0.10 if "tools" in needs or "json_schema" in needs else 0.0,
    )
    return round(min(1.0, sum(shares)), 4)


def band_of(complexity: float) -> str:
    if complexity < 0.33:
        return "low"
    return "medium" if complexity < 0.66 else "high"
