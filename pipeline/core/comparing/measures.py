"""How alike two answers are (CONTRACT.md section 8, "Shadow").

exact              equal text and calls of tools
normalised         equal text but for case, white space and punctuation
token_f1           harmonic mean of precision and recall over the bags of words (as in SQuAD, arXiv:1606.05250)
json_equal         equal as JSON, where both are JSON
tool_calls_equal   names and parsed arguments, where either calls a tool
length_ratio       characters of the shadow by those of the primary
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.core.comparing.answers import Said

__all__ = ["Measures", "measured", "same_json"]

_WORD = re.compile(r"\w+")
_NO_JSON = object()


@dataclass(slots=True, frozen=True)
class Measures:
    """Names and meaning are those of `ShadowComparison`."""

    exact: bool
    normalised: bool
    token_f1: float
    json_equal: bool | None
    tool_calls_equal: bool | None
    length_ratio: float | None


def measured(primary: Said, shadow: Said) -> Measures:
    """Of two answers that were given."""
    words, other = _words(primary.text), _words(shadow.text)
    return Measures(
        exact=primary.text == shadow.text and primary.calls == shadow.calls,
        normalised=words == other,
        token_f1=_f1(Counter(words), Counter(other)),
        json_equal=_json_equal(primary.text, shadow.text),
        tool_calls_equal=primary.calls == shadow.calls if primary.calls or shadow.calls else None,
        length_ratio=len(shadow.text) / len(primary.text) if primary.text else None,
    )


def same_json(one: Any, other: Any) -> bool:
    """1 and 1.0 are the same number, true and 1 are not the same."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    return bool(one == other)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _f1(one: "Counter[str]", other: "Counter[str]") -> float:
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 1.0


def _json_equal(one: str, other: str) -> bool | None:
    first, second = _parsed(one), _parsed(other)
    if first is _NO_JSON or second is _NO_JSON:
        return None
    try:
        return same_json(first, second)
    except RecursionError:
        return one == other


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return _NO_JSON
