"""Tokens as OpenAI counts them, on all its surfaces."""

from typing import Any

from connectors.providers.reply import count
from schemas.completion import Usage

__all__ = ["read_usage"]


def read_usage(raw: Any, *, asked: str = "prompt_tokens", said: str = "completion_tokens") -> Usage | None:
    """None unless both numbers are there: nought and nought is what servers send that do not count.

    Args:
        raw: `usage` of the answer.
        asked: what the surface calls the tokens of the prompt; their details are called after it.
        said: likewise those of the answer.
    """
    if not isinstance(raw, dict):
        return None
    input_tokens, output_tokens = count(raw.get(asked)), count(raw.get(said))
    if input_tokens is None or output_tokens is None or input_tokens + output_tokens == 0:
        return None
    prompt, completion = raw.get(f"{asked}_details"), raw.get(f"{said}_details")
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=_detail(prompt, "cached_tokens"),
        cache_write_tokens=_detail(prompt, "cache_write_tokens"),
        reasoning_tokens=_detail(completion, "reasoning_tokens"),
    )


def _detail(details: Any, name: str) -> int:
    return (count(details.get(name)) or 0) if isinstance(details, dict) else 0
