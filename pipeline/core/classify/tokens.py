"""How many tokens: counted with OpenAI's o200k_base, which is an estimate for every other vendor.

The encoding is read once and kept. Text longer than 200,000 characters is extrapolated from its prefix. Overheads per
message: github.com/openai/openai-cookbook, "How to count tokens with tiktoken".
"""

from functools import cache
from typing import Any

import orjson
from rs_bpe.bpe import openai

from pipeline.core.classify.text import Text

__all__ = ["COUNTED_CHARS", "count_tokens", "input_tokens"]

COUNTED_CHARS = 200_000

_PER_MESSAGE = 4
_PER_REPLY = 3
_CHARS_PER_JSON_TOKEN = 4
_PER_PART = {"vision": 800, "audio": 500, "file": 2_000}


@cache
def _encoding() -> Any:
    return openai.o200k_base()


def count_tokens(text: str) -> int:
    """Tokens of a text; special tokens in it count as plain text."""
    prefix = text[:COUNTED_CHARS]
    try:
        counted = int(_encoding().count(prefix))
    except UnicodeEncodeError:  # lone surrogates
        counted = int(_encoding().count(prefix.encode(errors="replace").decode()))
    return counted if len(text) <= COUNTED_CHARS else -(-counted * len(text) // COUNTED_CHARS)


def input_tokens(body: dict[str, Any], text: Text) -> int:
    """Tokens that the vendor will charge for the body, by our estimate."""
    frame = _PER_MESSAGE * text.turns + _PER_REPLY if text.turns else 0
    parts = sum(_PER_PART[kind] * count for kind, count in text.kinds.items())
    return count_tokens(text.whole) + frame + parts + _declared(body)


def _declared(body: dict[str, Any]) -> int:
    """Tools and response schemas are sent as JSON."""
    said = [value for value in (body.get("tools"), body.get("response_format")) if value]
    return len(orjson.dumps(said)) // _CHARS_PER_JSON_TOKEN if said else 0
