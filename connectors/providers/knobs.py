"""Which parameters of a request go out: the model's flags against what the caller asked for, as one table.

A wire says per parameter whether it can spell it; the model's flags say whether it is taken; the model's `policy` says
what becomes of one that is not: dropped and named (`x-dropped-params`), or the request is refused before any call
(provider_contracts.md section 1, rule 1). Policy and flags are data, resolved in the catalogue; nothing here knows a model.

    sampling        if_effort_none: only with effort none; one_of_temperature_top_p: the temperature wins
    temperature     above `temperature_max` it is clamped
    effort          moved to the nearest one the model takes, upwards if two are as near
    n               more than `n_max` is not taken
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.providers.adapter import ProviderCall
from schemas.errors import ErrorKind, ProviderError

__all__ = ["EFFORTS", "SAMPLING", "Knobs", "effort_of", "fit", "leave_out"]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
SAMPLING = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs")
# Not knobs: the conversation itself, and what every adapter spells in its own way.
_STRUCTURE = frozenset(
    {
        "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "tools", "tool_choice",
        "response_format", "functions", "function_call", "input", "thinking",
    }
)  # fmt: skip
_TOOL_KNOBS = frozenset({"parallel_tool_calls"})


@dataclass(slots=True)
class Knobs:
    """`values`: parameters that go out, under OpenAI's names; `dropped`: names of those that do not."""

    values: dict[str, Any] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)

    @property
    def stop(self) -> list[str]:
        """Stop sequences as a list, blank ones left out."""
        said = self.values.get("stop") or []
        return [text for text in ([said] if isinstance(said, str) else said) if text]

    @property
    def effort(self) -> str | None:
        return self.values.get("reasoning_effort")


def fit(
    call: ProviderCall,
    *,
    spells: Collection[str] | None,
    lacks: Collection[str] = (),
    elsewhere: Collection[str] = (),
) -> Knobs | ProviderError:
    """What goes out of the parameters of `call.body`; null is absent.

    Args:
        call: with the model's resolved flags; one that is missing there restricts nothing.
        spells: parameters that the wire has a spelling for; None: any (it is OpenAI's own).
        lacks: parameters that it has none for, although `spells` is None.
        elsewhere: parameters that the adapter maps by itself: not looked at here.
    """
    asked = {k: v for k, v in call.body.items() if v is not None and k not in _STRUCTURE and k not in elsewhere}
    knobs = Knobs()
    unwanted = {name for name in asked if name in lacks or (spells is not None and name not in spells)}
    _fit_effort(asked, call.flags, unwanted)
    unwanted |= _untaken(asked, call)
    for name, value in asked.items():
        if name not in unwanted:
            knobs.values[name] = value
        elif not _changes_nothing(name, value):
            if _policy(call.flags).get(name) == "refuse":
                return _refused(name)
            knobs.dropped.append(name)
    knobs.dropped.sort()
    _clamp_temperature(knobs.values, call.flags)
    return knobs


def effort_of(call: ProviderCall) -> str | None:
    """How hard the model will think: as asked and fitted, else by its default; None: nobody says."""
    asked = {"reasoning_effort": call.body.get("reasoning_effort")}
    unwanted: set[str] = set()
    _fit_effort(asked, call.flags, unwanted)
    effort = None if unwanted else asked["reasoning_effort"]
    return effort or call.flags.get("default_effort")


def leave_out(name: str, knobs: Knobs, call: ProviderCall) -> ProviderError | None:
    """For what an adapter alone finds that it cannot spell: named as dropped, or refused if the model's policy says so."""
    if _policy(call.flags).get(name) == "refuse":
        return _refused(name)
    knobs.dropped = sorted({*knobs.dropped, name})
    return None


def _policy(flags: Mapping[str, Any]) -> Mapping[str, str]:
    return flags.get("policy") or {}


def _untaken(asked: Mapping[str, Any], call: ProviderCall) -> set[str]:
    flags = call.flags
    untaken = set(_unsampled(asked, flags))
    if (asked.get("n") or 1) > (flags.get("n_max") or 128):
        untaken.add("n")
    if flags.get("stop") is False:
        untaken.add("stop")
    if flags.get("logprobs") is False:
        untaken |= {"logprobs", "top_logprobs"}
    if not call.body.get("tools"):
        untaken |= _TOOL_KNOBS  # servers refuse them without tools (apache/apisix#13583)
    return untaken


def _unsampled(asked: Mapping[str, Any], flags: Mapping[str, Any]) -> Collection[str]:
    match flags.get("sampling", "yes"):
        case "no":
            return SAMPLING
        case "if_effort_none":
            effort = asked.get("reasoning_effort") or flags.get("default_effort")
            return () if effort == "none" else SAMPLING
        case "one_of_temperature_top_p":
            return ("top_p",) if "temperature" in asked else ()
        case _:
            return ()


def _fit_effort(asked: dict[str, Any], flags: Mapping[str, Any], unwanted: set[str]) -> None:
    """An effort of a name that we do not know goes out as it is: the vendor may know it."""
    effort, taken = asked.get("reasoning_effort"), flags.get("efforts")
    if effort not in EFFORTS or taken is None:
        return
    known = [e for e in taken if e in EFFORTS]
    if not known:
        unwanted.add("reasoning_effort")
        return
    at = EFFORTS.index(effort)
    asked["reasoning_effort"] = min(known, key=lambda e: (abs(EFFORTS.index(e) - at), -EFFORTS.index(e)))


def _clamp_temperature(values: dict[str, Any], flags: Mapping[str, Any]) -> None:
    highest = flags.get("temperature_max")
    if highest is not None and values.get("temperature", 0) > highest:
        values["temperature"] = highest


def _changes_nothing(name: str, value: Any) -> bool:
    """One choice and no log probabilities are what everybody gives: leaving that out loses nothing."""
    return (name == "n" and value == 1) or (name in {"logprobs", "top_logprobs"} and not value)


def _refused(name: str) -> ProviderError:
    return ProviderError(
        ErrorKind.INVALID_REQUEST, code="unsupported_parameter", message=f"this model does not take `{name}` as asked"
    )
