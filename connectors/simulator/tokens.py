"""Token counts from OpenAI's own vocabulary (o200k), the same for every model, streamed or not."""

import random
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

from rs_bpe import bpe

_MESSAGE_OVERHEAD = 3  # OpenAI cookbook, "How to count tokens": three tokens frame each message ...
_REPLY_PRIMER = 3  # ... and three more prime the reply.
IMAGE_TOKENS = 85  # what OpenAI charges for a low-detail image
_WORTH_KEEPING = 20_000  # characters; longer texts would fill the memory of the count cache


@cache
def _vocabulary() -> Any:
    return bpe.openai.o200k_base()


def count(text: str) -> int:
    """Tokens of a text."""
    return _count_kept(text) if len(text) < _WORTH_KEEPING else int(_vocabulary().count(text))


@lru_cache(maxsize=4_096)
def _count_kept(text: str) -> int:
    return int(_vocabulary().count(text))


def encode(text: str) -> list[int]:
    """Token ids of a text."""
    ids: list[int] = _vocabulary().encode(text)
    return ids


def decode(ids: list[int]) -> str | None:
    """The text of token ids; None when they end inside a UTF-8 character."""
    text: str | None = _vocabulary().decode(ids)
    return text


def cut(ids: list[int], limit: int) -> list[int]:
    """The first `limit` ids, fewer where that would split a character."""
    kept = ids[: max(limit, 0)]
    while kept and decode(kept) is None:
        kept.pop()
    return kept


def pieces(ids: list[int], rng: random.Random, *, most: int = 5) -> Iterator[tuple[str, list[int]]]:
    """The text in steps of 1 to `most` tokens, as (text, ids); a character's tokens stay together."""
    start = 0
    while start < len(ids):
        end = start + rng.randint(1, most)
        while (text := decode(ids[start:end])) is None and end < len(ids):
            end += 1
        yield text or "", ids[start:end]
        start = end


def of_messages(texts: list[str], tools: str) -> int:
    """Prompt tokens by OpenAI's counting rule.

    Args:
        texts: One text per message, all its parts joined.
        tools: The tool definitions and schemas as they are shown to the model.
    """
    framed = sum(count(text) + _MESSAGE_OVERHEAD for text in texts)
    return framed + _REPLY_PRIMER + (count(tools) if tools else 0)
