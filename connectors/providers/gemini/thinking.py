"""How much Gemini thinks: `thinkingLevel` from 3 on, `thinkingBudget` on 2.5, never both (the API refuses that).

    effort           none                            minimal          low    medium  high    xhigh, max
    level            the lowest the model has        as said, or the nearest that it has, upwards if two are as near
    budget           0; 128 if it cannot be off      1,024            1,024  8,192   24,576  24,576

A budget in tokens (the Anthropic surface) goes out as it is on budget models, else as the level that is nearest. Thoughts
are asked for whenever the caller asked for thinking: they come back as `reasoning_content`.
Source: ai.google.dev/gemini-api/docs/thinking, provider_contracts.md section 4.1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.providers.adapter import ProviderCall
from connectors.providers.knobs import EFFORTS

__all__ = ["thinking_config", "thinking_wish", "thinks"]

_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
_LEAST_BUDGET = 128  # 2.5 pro, which cannot be off
_MOST_BUDGET = 24_576  # 2.5 flash; pro takes more, but no flag tells them apart
_LEVELS = ("low", "medium", "high")  # every model that has levels has these, but for 3 pro


def thinks(flags: Mapping[str, Any]) -> bool:
    return flags.get("thinking") in {"level", "budget"}


def thinking_wish(call: ProviderCall) -> Mapping[str, Any]:
    """`thinking` of the Anthropic surface; {} if there is none that can be read."""
    wish = call.body.get("thinking")
    return wish if isinstance(wish, Mapping) and wish.get("type") in ("enabled", "adaptive", "disabled") else {}


def thinking_config(call: ProviderCall, effort: str | None) -> dict[str, Any]:
    """`thinkingConfig` of a call; {} leaves it to the model. `effort` is None where the caller said nothing."""
    wish = thinking_wish(call)
    if not thinks(call.flags) or (effort not in EFFORTS and not wish):
        return {}
    if wish.get("type") == "disabled" or (effort == "none" and not wish):
        return _amount("none", call.flags)
    budget = wish.get("budget_tokens")
    if wish.get("type") == "enabled" and isinstance(budget, int):
        return {**_budgeted(budget, call.flags), "includeThoughts": True}
    wanted = effort if effort in EFFORTS and effort != "none" else None
    return {**(_amount(wanted, call.flags) if wanted else {}), "includeThoughts": True}


def _amount(effort: str, flags: Mapping[str, Any]) -> dict[str, Any]:
    if flags["thinking"] == "level":
        at = EFFORTS.index(effort)
        return _level(min(_levels(flags), key=lambda level: (abs(EFFORTS.index(level) - at), -EFFORTS.index(level))))
    off = _LEAST_BUDGET if flags.get("thinking_off") is False else 0
    return {"thinkingBudget": _BUDGETS.get(effort, off)}


def _budgeted(tokens: int, flags: Mapping[str, Any]) -> dict[str, Any]:
    if flags["thinking"] == "budget":
        return {"thinkingBudget": min(max(tokens, _LEAST_BUDGET), _MOST_BUDGET)}
    levels = [level for level in _levels(flags) if level in _BUDGETS]
    return _level(min(levels, key=lambda level: (abs(_BUDGETS[level] - tokens), -_BUDGETS[level])))


def _level(name: str) -> dict[str, Any]:
    return {"thinkingLevel": name.upper()}


def _levels(flags: Mapping[str, Any]) -> Sequence[str]:
    known = [level for level in flags.get("levels") or () if level in _BUDGETS]
    return known or _LEVELS
