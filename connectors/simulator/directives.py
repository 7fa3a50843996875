"""Wishes of a test, written into the last user message: `[[sim: fault=overloaded fail_attempts=1]]`.

They travel through any gateway, need no state in the simulator, and are listed in the package's docstring.
"""

import re
from dataclasses import dataclass
from typing import Any

_DIRECTIVE = re.compile(r"\s*\[\[sim:([^\]]*)\]\]\s*")
_WORDS = frozenset({"fault", "finish", "model", "quirk", "thinking", "tool"})
_NUMBERS = frozenset(
    {"after", "fail_attempts", "retry_after_s", "latency_ms", "cadence_ms", "tokens", "reasoning_tokens"}
)


class BadDirective(ValueError):
    """A directive that nobody knows; a test with a typing error must not pass for the wrong reason."""


@dataclass(frozen=True, slots=True)
class Directive:
    """The wishes of one message; None or empty means not wished for."""

    fault: str = ""
    finish: str = ""
    model: str = ""
    tool: str = ""
    quirk: str = ""
    thinking: str = ""
    after: float | None = None
    fail_attempts: float | None = None
    retry_after_s: float | None = None
    latency_ms: float | None = None
    cadence_ms: float | None = None
    tokens: float | None = None
    reasoning_tokens: float | None = None


NOTHING = Directive()


def read(text: str) -> tuple[str, Directive]:
    """Splits a user message into what was said and what was wished for.

    Raises:
        BadDirective: An unknown name or a value that is no number.
    """
    if "[[sim:" not in text:
        return text, NOTHING
    wishes = [pair for found in _DIRECTIVE.findall(text) for pair in found.split()]
    return _DIRECTIVE.sub(" ", text).strip(), Directive(**dict(map(_pair, wishes)))


def _pair(wish: str) -> tuple[str, Any]:
    name, equals, value = wish.partition("=")
    if not equals or name not in _WORDS | _NUMBERS:
        raise BadDirective(f"unknown directive '{wish}'")
    return name, _number(name, value) if name in _NUMBERS else value


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if number < 0:
        raise BadDirective(f"directive '{name}' takes a number from 0 on, not '{value}'")
    return number
