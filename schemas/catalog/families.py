"""What is known of model families, so that a catalogue need not repeat it: flags, limits and list prices.

Matched on `upstream` (its last path segment, lower case), longest prefix first; what the catalogue says itself wins.
A model of a known vendor that no row names gets the newest family's restrictions: they cost a parameter, while the
wrong freedom costs a refused call. A price is listed for an exact name (or its dated snapshot), never guessed for a
relative. Source: provider_contracts.md section 3; prices: the vendors' pages.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

_Row = TypeVar("_Row")

_IMAGE: Mapping[str, Any] = {"inputs": ["text", "image"]}
_GPT_4: Mapping[str, Any] = {
    "api": "both",
    "json_schema": True,
    "max_tokens_name": "max_completion_tokens",
    "n_max": 128,
}
_GPT_REASONING: Mapping[str, Any] = {
    **_GPT_4,
    **_IMAGE,
    "sampling": "if_effort_none",
    "efforts": ["none", "low", "medium", "high"],
}
_GPT_NEWEST: Mapping[str, Any] = {
    **_GPT_REASONING,
    "sampling": "no",
    "tools_need_responses": True,
    "thinking_off": False,
    "efforts": ["low", "medium", "high", "xhigh"],
}
_GPT_6: Mapping[str, Any] = {
    **_GPT_REASONING,
    "tools_need_responses": True,
    "efforts": ["none", "low", "medium", "high", "xhigh"],
}
_O_SERIES: Mapping[str, Any] = {
    **_GPT_REASONING,
    "sampling": "no",
    "thinking_off": False,
    "efforts": ["low", "medium", "high"],
}
_CLAUDE: Mapping[str, Any] = {
    "temperature_max": 1,
    "sampling": "one_of_temperature_top_p",
    "thinking": "budget",
    "json_schema": True,
    "signatures": True,
    "inputs": ["text", "image", "pdf"],
}
_CLAUDE_NEWEST: Mapping[str, Any] = {
    **_CLAUDE,
    "sampling": "no",
    "thinking": "adaptive",
    "thinking_off": False,
    "forced_tools": False,
    "prefill": False,
}
_GEMINI: Mapping[str, Any] = {
    "json_schema": True,
    "thinking": "budget",
    "n_max": 8,
    "inputs": ["text", "image", "pdf", "audio", "video"],
}
_GEMINI_NEWEST: Mapping[str, Any] = {
    **_GEMINI,
    "thinking": "level",
    "sampling": "no",
    "prefill": False,
    "signatures": True,
    "n_max": 1,
}
_EMBEDS: Mapping[str, Any] = {"tools": False, "streaming": False}

_FLAGS: Mapping[str, Mapping[str, Any]] = {
    "gpt-": _GPT_NEWEST,
    "gpt-oss": {"efforts": ["low", "medium", "high"], "thinking_off": False},
    "gpt-3.5": _GPT_4,
    "gpt-4": {**_GPT_4, **_IMAGE},
    "gpt-5": {**_GPT_REASONING, "efforts": ["minimal", "low", "medium", "high"]},
    "gpt-5.1": _GPT_REASONING,
    "gpt-5.4": {**_GPT_REASONING, "tools_need_responses": True},
    "gpt-6-sol": _GPT_6,
    "gpt-6-luna": _GPT_6,
    "o1": _O_SERIES,
    "o3": _O_SERIES,
    "o4": _O_SERIES,
    "claude-": _CLAUDE_NEWEST,
    "claude-haiku-4-5": _CLAUDE,
    "claude-sonnet-4-5": _CLAUDE,
    "claude-opus-4-5": _CLAUDE,
    "claude-sonnet-4-6": {**_CLAUDE, "thinking": "adaptive", "prefill": False},
    "claude-opus-4-6": {**_CLAUDE, "thinking": "adaptive", "prefill": False},
    "claude-opus-4-7": {**_CLAUDE, "thinking": "adaptive", "prefill": False, "sampling": "no"},
    "claude-opus-4-8": {**_CLAUDE, "thinking": "adaptive", "prefill": False, "sampling": "no", "mid_system": True},
    "claude-opus-5": {**_CLAUDE_NEWEST, "mid_system": True},
    "claude-sonnet-5-5": {**_CLAUDE_NEWEST, "thinking_off": "between_tools"},
    "gemini-": _GEMINI_NEWEST,
    "gemini-2.5": _GEMINI,
    "gemini-3": {**_GEMINI_NEWEST, "sampling": "yes", "prefill": True},
    "gemini-3.6": _GEMINI_NEWEST,
    "gemini-3.7": _GEMINI_NEWEST,
    "gemini-3.8": _GEMINI_NEWEST,
    "text-embedding-": _EMBEDS,
}

_LIMITS: Mapping[str, tuple[int, int]] = {  # context_tokens, max_output_tokens
    "gpt-4.1": (1_047_576, 32_768),
    "gpt-4o": (128_000, 16_384),
    "gpt-5": (400_000, 128_000),
    "gpt-6": (1_050_000, 128_000),
    "claude-haiku-4-5": (200_000, 64_000),
    "claude-opus-5": (1_000_000, 128_000),
    "claude-sonnet-5": (1_000_000, 128_000),
    "gemini-2.5": (1_048_576, 65_536),
    "gemini-3": (1_048_576, 65_536),
    "text-embedding-3": (8_192, 1),
}

_PRICES: Mapping[str, tuple[float, float, float]] = {  # US dollars per million tokens: input, cached input, output
    "gpt-4.1": (2.0, 0.5, 8.0),
    "gpt-4.1-mini": (0.4, 0.1, 1.6),
    "gpt-4.1-nano": (0.1, 0.025, 0.4),
    "gpt-4o": (2.5, 1.25, 10.0),
    "gpt-4o-mini": (0.15, 0.075, 0.6),
    "text-embedding-3-small": (0.02, 0.02, 0.0),
    "text-embedding-3-large": (0.13, 0.13, 0.0),
}
_SNAPSHOT = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")


def known_facts(upstream: str) -> dict[str, Any]:
    """What the families say of a model, in the keys of the catalogue: flags, and limits and price where listed."""
    name = upstream.rsplit("/", 1)[-1].lower()
    facts: dict[str, Any] = {"flags": dict(_longest(_FLAGS, name) or {})}
    if limits := _longest(_LIMITS, name):
        facts |= {"context_tokens": limits[0], "max_output_tokens": limits[1]}
    if rates := _PRICES.get(_SNAPSHOT.sub("", name)):
        per_mtok = ("input_per_mtok_usd", "cached_input_per_mtok_usd", "output_per_mtok_usd")
        facts["price"] = {**dict(zip(per_mtok, rates, strict=True)), "source": "built-in list prices"}
    return facts


def _longest(rows: Mapping[str, _Row], name: str) -> _Row | None:
    fits = [prefix for prefix in rows if name.startswith(prefix)]
    return rows[max(fits, key=len)] if fits else None
