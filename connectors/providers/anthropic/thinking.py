"""How much a model is to think: `reasoning_effort` or Anthropic's own `thinking`, against the model's flags.

    flag `thinking`   asked for                                   asked to be off
    adaptive          {type: adaptive} and `output_config.effort` {type: disabled}; between_tools where that is all there
                                                                  is; effort low where it cannot be off
    budget            {type: enabled, budget_tokens}              nothing is sent
    else              dropped and named                           nothing is sent

Adaptive models leave the text of their thoughts out unless asked for a summary (`display`): an effort asks for it, the
caller's own `thinking` says it or does not. A budget is at least 1,024 tokens and lies below `max_tokens`, against which
thinking counts: our own default is raised, under a caller's small limit the budget shrinks to a half, so that an answer
fits too, or thinking is off. `thinking` from the caller wins over the effort. Source: provider_contracts.md section 4.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.providers.adapter import ProviderCall
from connectors.providers.knobs import EFFORTS

__all__ = ["Plan", "plan"]

_DEFAULT_MAX_TOKENS = 4_096  # of a model whose limit nobody told us
_LEAST_BUDGET = 1_024
_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 4_096, "high": 8_192, "xhigh": 16_384, "max": 24_576}
_LEVELS = ("low", "medium", "high")
_OFF = frozenset({"disabled", "between_tools"})
_KINDS = frozenset({"enabled", "adaptive", *_OFF})


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes out; `dropped` names what was asked for and is not done."""

    max_tokens: int
    thinking: dict[str, Any] | None = None
    effort: str | None = None
    dropped: tuple[str, ...] = ()

    @property
    def is_on(self) -> bool:
        return self.thinking is not None and self.thinking["type"] not in _OFF

    @property
    def has_budget(self) -> bool:
        return self.thinking is not None and self.thinking["type"] == "enabled"


@dataclass(frozen=True, slots=True)
class _Wish:
    """`kind` is the type of `thinking`, `budget` its tokens, `display` whether thoughts are shown; None: unsaid."""

    kind: str | None
    budget: int | None
    effort: str | None
    display: str | None

    @property
    def is_off(self) -> bool:
        return self.kind in _OFF or (self.kind is None and self.effort == "none")

    @property
    def names(self) -> tuple[str, ...]:
        if self.is_off:
            return ()
        asked = {"thinking": self.kind, "reasoning_effort": self.effort}
        return tuple(name for name, value in asked.items() if value not in (None, "none"))


def plan(call: ProviderCall, *, may_think: bool) -> Plan:
    """What to send.

    Args:
        call: with the model's flags.
        may_think: the conversation lets a model with a budget think.
    """
    wish = _wish(call.body)
    limit, is_callers = _limit(call)
    match call.flags.get("thinking"):
        case "adaptive":
            return _adaptive(call.flags, wish, limit)
        case "budget" if may_think:
            return _budget(wish, limit, is_callers=is_callers)
        case _:
            return Plan(limit, dropped=wish.names)


def _wish(body: Mapping[str, Any]) -> _Wish:
    asked, effort = body.get("thinking"), body.get("reasoning_effort")
    kind = asked.get("type") if isinstance(asked, Mapping) else None
    if not isinstance(asked, Mapping) or not isinstance(kind, str) or kind not in _KINDS:
        return _Wish(None, None, effort, None)
    budget, display = asked.get("budget_tokens"), asked.get("display")
    return _Wish(kind, budget if isinstance(budget, int) else None, effort, display)


def _limit(call: ProviderCall) -> tuple[int, bool]:
    """How much may be generated, and whether the caller said so."""
    asked = (call.body.get(name) for name in ("max_completion_tokens", "max_tokens"))
    callers = next((number for number in asked if number is not None), None)
    limit = call.max_tokens if call.max_tokens is not None else callers
    if limit is None:
        limit = call.flags.get("max_output_tokens") or _DEFAULT_MAX_TOKENS
    return limit, callers is not None


def _adaptive(flags: Mapping[str, Any], wish: _Wish, limit: int) -> Plan:
    levels = [level for level in flags.get("efforts") or _LEVELS if level not in {"none", "minimal"}] or list(_LEVELS)
    if wish.is_off:
        match flags.get("thinking_off", True):
            case True:
                return Plan(limit, {"type": "disabled"})
            case "between_tools":
                return Plan(limit, {"type": "between_tools"})
            case _:
                return Plan(limit, effort=levels[0])
    effort = wish.effort
    if wish.kind == "enabled" and wish.budget is not None:
        effort = _effort_for(wish.budget)
    if wish.kind is None and effort is None:
        return Plan(limit)
    display = wish.display or ("summarized" if wish.kind is None else None)
    return Plan(
        limit, _shown({"type": "adaptive"}, display), None if effort in {None, "none"} else _level(str(effort), levels)
    )


def _effort_for(budget: int) -> str:
    """The effort whose budget this would be: newer models take no number."""
    return next((effort for effort, tokens in _BUDGETS.items() if effort != "minimal" and budget <= tokens), "max")


def _level(effort: str, levels: list[str]) -> str:
    """The same, else the next lower one; a name that we do not know goes out as it is: the vendor may know it."""
    if effort not in EFFORTS:
        return effort
    lower = [level for level in levels if level in EFFORTS and EFFORTS.index(level) <= EFFORTS.index(effort)]
    return max(lower, key=EFFORTS.index) if lower else levels[0]


def _budget(wish: _Wish, limit: int, *, is_callers: bool) -> Plan:
    budget = _wished_budget(wish)
    if budget is None:
        return Plan(limit, dropped=wish.names)
    if limit <= budget and not is_callers:
        limit = budget + min(limit, _DEFAULT_MAX_TOKENS)  # no model with budgets holds less than that
    elif limit <= _LEAST_BUDGET:
        return Plan(limit, dropped=wish.names)
    elif limit <= budget:
        budget = max(_LEAST_BUDGET, limit // 2)
    return Plan(limit, _shown({"type": "enabled", "budget_tokens": budget}, wish.display))


def _shown(thinking: dict[str, Any], display: str | None) -> dict[str, Any]:
    return thinking if display is None else {**thinking, "display": display}


def _wished_budget(wish: _Wish) -> int | None:
    if wish.is_off:
        return None
    if wish.kind == "enabled" and wish.budget is not None:
        return max(_LEAST_BUDGET, wish.budget)
    if wish.kind is not None:
        return _BUDGETS.get(wish.effort or "", _BUDGETS["medium"])
    return _BUDGETS.get(wish.effort or "")
