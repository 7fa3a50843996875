"""Writes a chat completions request for OpenAI or a server that speaks like it.

The caller's request has this form already; what is done here (provider_contracts.md section 4):

1. null is absent, in every field of the body and inside messages (tashfeenahmed/freellmapi#232); schemas are left
   alone.
2. Without tools neither `tool_choice` nor `parallel_tool_calls` goes out: servers refuse that (apache/apisix#13583).
3. The limit of tokens goes under the one name that the model takes; sampling and effort follow the model's flags.
4. `developer` becomes `system` where the server does not know it; parameters that the server refuses are dropped, and
   named.
5. `stream_options.include_usage` is always asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.providers.adapter import ProviderCall, WireRequest
from schemas.errors import ErrorKind, ProviderError

__all__ = ["Quirks", "to_wire"]


@dataclass(frozen=True, slots=True)
class Quirks:
    """In what a family of servers differs; the model's flags win where they speak.

    Attributes:
        max_tokens_name: the limit's name unless flagged.
        knows_developer: takes messages of role `developer`.
        takes_effort: takes `reasoning_effort` although no `efforts` are flagged.
        drops: parameters that go out to nobody of this family.
        input_flags: content part -> the entry of the flag `inputs` without which the part is refused.
    """

    max_tokens_name: str
    knows_developer: bool = True
    takes_effort: bool = True
    drops: frozenset[str] = frozenset()
    input_flags: Mapping[str, str] | None = None


_TOOL_KNOBS = ("tool_choice", "parallel_tool_calls")
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Under these keys lies JSON Schema, in which null is a value.
_VERBATIM = frozenset({"parameters", "schema"})


def to_wire(call: ProviderCall, quirks: Quirks) -> WireRequest | ProviderError:
    refused = _refused_part(call, quirks)
    if refused is not None:
        return ProviderError(
            ErrorKind.INVALID_REQUEST, code="unsupported_content", message=f"this model takes no {refused} parts"
        )
    body = {key: _without_nulls(key, value) for key, value in call.body.items() if value is not None}
    dropped = _drop(body, call, quirks)
    body["model"] = call.upstream
    body["messages"] = [_message(message, quirks) for message in body.get("messages", ())]
    _limit_tokens(body, call, quirks)
    _ask_for_stream(body, call)
    accept = "text/event-stream" if call.stream else "application/json"
    headers = {"content-type": "application/json", "accept": accept}
    return WireRequest("POST", "/chat/completions", headers, body, tuple(dropped))


def _refused_part(call: ProviderCall, quirks: Quirks) -> str | None:
    taken = call.flags.get("inputs") or ()
    refused = {part for part, flag in (quirks.input_flags or {}).items() if flag not in taken}
    for message in call.body.get("messages") or ():
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") in refused:
                return str(part["type"])
    return None


def _without_nulls(key: str, value: Any) -> Any:
    if key in _VERBATIM:
        return value
    if isinstance(value, dict):
        return {name: _without_nulls(name, inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls("", item) for item in value]
    return value


def _drop(body: dict[str, Any], call: ProviderCall, quirks: Quirks) -> list[str]:
    """Takes out what may not go out and returns the names of what was there."""
    unwanted = set(quirks.drops)
    if not body.get("tools"):
        body.pop("tools", None)
        unwanted.update(_TOOL_KNOBS)
    if not _fit_effort(body, call, quirks):
        unwanted.add("reasoning_effort")
    if not _may_sample(body, call):
        unwanted.update(_SAMPLING)
    dropped = sorted(unwanted & body.keys())
    for name in dropped:
        del body[name]
    return dropped


def _fit_effort(body: dict[str, Any], call: ProviderCall, quirks: Quirks) -> bool:
    """Moves the effort to the nearest one the model takes, upwards if two are as near; false if it takes none."""
    efforts, asked = call.flags.get("efforts"), body.get("reasoning_effort")
    if efforts is None or asked not in _EFFORTS:
        return bool(efforts) or (efforts is None and quirks.takes_effort)
    known = [effort for effort in efforts if effort in _EFFORTS]
    if known:
        at = _EFFORTS.index(asked)
        body["reasoning_effort"] = min(known, key=lambda e: (abs(_EFFORTS.index(e) - at), -_EFFORTS.index(e)))
    return bool(known)


def _may_sample(body: dict[str, Any], call: ProviderCall) -> bool:
    sampling = call.flags.get("sampling", "yes")
    if sampling == "if_effort_none":
        return body.get("reasoning_effort") == "none"
    return sampling not in {"no", False}  # YAML 1.1 reads a bare `no` as false


def _message(message: dict[str, Any], quirks: Quirks) -> dict[str, Any]:
    if message.get("role") == "developer" and not quirks.knows_developer:
        return {**message, "role": "system"}
    if "tool_calls" not in message:
        return message
    calls = [_tool_call(call) for call in message["tool_calls"]]
    rest = {key: value for key, value in message.items() if key != "tool_calls"}
    return {**rest, "tool_calls": calls} if calls else rest  # OpenAI refuses an empty list


def _tool_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or function.get("arguments"):
        return call
    return {**call, "function": {**function, "arguments": "{}"}}


def _limit_tokens(body: dict[str, Any], call: ProviderCall, quirks: Quirks) -> None:
    asked = [body.pop(name, None) for name in ("max_completion_tokens", "max_tokens")]
    limit = call.max_tokens if call.max_tokens is not None else next((n for n in asked if n is not None), None)
    if limit is not None:
        body[call.flags.get("max_tokens_name") or quirks.max_tokens_name] = limit


def _ask_for_stream(body: dict[str, Any], call: ProviderCall) -> None:
    options = body.pop("stream_options", {})
    body.pop("stream", None)
    if call.stream:
        body["stream"] = True
        body["stream_options"] = {**options, "include_usage": True}
