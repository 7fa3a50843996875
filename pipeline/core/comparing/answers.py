"""What an answer says: text, calls of tools, and whether it refuses. Out of a chat completion, its first choice.

Form: platform.openai.com/docs/api-reference/chat/object
"""

from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["NOTHING_SAID", "Said", "said_in"]

_SHORT = 400
_REFUSALS = (
    "i can't help with", "i cannot help with", "i can't assist", "i cannot assist", "i'm sorry, but i can't",
    "i'm sorry, but i cannot", "i am sorry, but i cannot", "i'm unable to", "i am unable to", "i won't be able to help",
    "i can't provide", "i cannot provide", "i can't comply", "i cannot comply",
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class Said:
    """`calls`: name and arguments of each, as canonical JSON where the arguments are JSON, sorted: order means nothing."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    is_refusal: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.text.strip() and not self.calls


NOTHING_SAID = Said()


def said_in(body: bytes | None) -> Said:
    """Of a body of `responses`; one that is no chat completion says nothing."""
    try:
        choice = orjson.loads(body or b"{}")["choices"][0]
        message = choice["message"]
        text, refusal = _text(message.get("content")), _text(message.get("refusal"))
        calls = tuple(sorted(_call(call) for call in message.get("tool_calls") or ()))
    except (ValueError, LookupError, TypeError, AttributeError):
        return NOTHING_SAID
    filtered = choice.get("finish_reason") == "content_filter"
    return Said(text or refusal, calls, filtered or bool(refusal) or (not calls and _refuses(text)))


def _text(content: Any) -> str:
    """A string, or the text of its parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _call(call: dict[str, Any]) -> tuple[str, str]:
    asked = call.get("function") or call.get("custom") or {}
    arguments = asked.get("arguments", asked.get("input", ""))
    return str(asked.get("name", "")), _canonical(arguments if isinstance(arguments, str) else orjson.dumps(arguments))


def _canonical(arguments: str | bytes) -> str:
    try:
        return orjson.dumps(orjson.loads(arguments or "{}"), option=orjson.OPT_SORT_KEYS).decode()
    except (ValueError, TypeError):  # no JSON, or nested too deep to write
        return arguments if isinstance(arguments, str) else arguments.decode(errors="replace")


def _refuses(text: str) -> bool:
    """By the words that models refuse with; a long answer that begins so goes on to help."""
    return len(text) <= _SHORT and text.strip().lower().replace("\u2019", "'").startswith(_REFUSALS)
