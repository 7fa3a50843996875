"""Writes a Messages request (provider_contracts.md section 4).

Anthropic refuses every field it does not know, so only what is named here goes out:

1. the conversation as blocks (`messages`); notes for what has no parameter stand at the end of the system prompt, where
   they spoil no cached beginning
2. thinking first, since it forbids other parameters, then what the model's flags leave of those (`knobs`)
3. `max_tokens`, which Anthropic requires: the route's, else the caller's, else the model's limit; a call that may write
   long is streamed whatever the caller asked for, since a silent connection of ten minutes is cut on the way
4. at most four `cache_control`; the last ones count, they reach furthest
5. the version of the API without sampling parameters, unless the call sends one to a model that takes it
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from connectors.providers.adapter import ProviderCall, WireRequest
from connectors.providers.anthropic.formats import output_format
from connectors.providers.anthropic.messages import (
    ends_with_assistant,
    lacks_thinking,
    marked,
    write_messages,
    write_system,
)
from connectors.providers.anthropic.thinking import Plan, plan
from connectors.providers.anthropic.tools import ForcedToolError, Tooling, read_tools
from connectors.providers.conversation import Conversation, Text, UnmappableError, read_conversation, unmappable
from connectors.providers.knobs import Knobs, fit, leave_out
from schemas.errors import ErrorKind, ProviderError

__all__ = ["to_wire"]

_VERSION = "2026-10-21"
_VERSION_WITH_SAMPLING = "2023-06-01"
_SAMPLING = ("temperature", "top_p", "top_k")
_SPELLS = frozenset(
    {
        *_SAMPLING, "stop", "user", "safety_identifier", "service_tier", "parallel_tool_calls", "cache_control",
    }
)  # fmt: skip
# One choice fewer, or no log probabilities, is another answer than was asked for.
_POLICY = {"n": "refuse", "logprobs": "refuse", "top_logprobs": "refuse"}
_INPUTS = ("text", "image", "pdf")
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_E_MAIL = re.compile(r"[^@\s]+@[^@\s]+")
_MAX_USER_CHARS = 256
_MAX_MARKS = 4
_MAX_UNSTREAMED_TOKENS = 16_384  # minutes at the pace of a large model; Anthropic's own SDK refuses more unstreamed


def to_wire(call: ProviderCall) -> WireRequest | ProviderError:
    if call.operation != "chat":
        return _refused("unsupported_operation", "Anthropic has no embeddings")
    try:
        return _wire(call)
    except UnmappableError as flaw:
        return unmappable(flaw)
    except ForcedToolError:
        return _refused("unsupported_parameter", "this model does not take `tool_choice` as asked")


def _wire(call: ProviderCall) -> WireRequest | ProviderError:
    conversation = _conversation(call)
    thinks = plan(call, may_think=not (ends_with_assistant(conversation) or lacks_thinking(conversation)))
    knobs = _knobs(call, thinks)
    if isinstance(knobs, ProviderError):
        return knobs
    tooling = read_tools(
        call, one_at_a_time=knobs.values.get("parallel_tool_calls") is False, may_force=not thinks.has_budget
    )
    form, note = output_format(call)
    conversation.system += [Text(said) for said in (tooling.note, note) if said]
    body = {
        "model": call.upstream,
        "max_tokens": thinks.max_tokens,
        **_prompt(conversation, tooling),
        **_thinking(thinks, form),
        **_parameters(knobs),
    }
    dropped = {*knobs.dropped, *tooling.dropped, *(("cache_control",) if _limit_marks(body) else ())}
    stream = call.stream or thinks.max_tokens > _MAX_UNSTREAMED_TOKENS
    if stream:
        body["stream"] = True
    return WireRequest("POST", "/v1/messages", _headers(stream, body), body, tuple(sorted(dropped)), stream)


def _conversation(call: ProviderCall) -> Conversation:
    messages = call.body["messages"]
    conversation = read_conversation(
        messages,
        owner=f"anthropic/{call.upstream}" if call.keep_state else None,
        inputs=call.flags.get("inputs") or _INPUTS,
        mid_system=call.flags.get("mid_system") is True,
    )
    if call.flags.get("prefill") is False and ends_with_assistant(conversation):
        raise UnmappableError(
            f"messages.{len(messages) - 1}", "this model does not go on with an assistant's message: the user must end"
        )
    return conversation


def _knobs(call: ProviderCall, thinks: Plan) -> Knobs | ProviderError:
    policy = {**_POLICY, **(call.flags.get("policy") or {})}
    knobs = fit(
        replace(call, flags={**call.flags, "policy": policy}),
        spells=_SPELLS - set(_barred(call.body, thinks)),
        elsewhere=() if "reasoning_effort" in thinks.dropped else ("reasoning_effort",),
    )
    if isinstance(knobs, ProviderError):
        return knobs
    lost = [name for name in thinks.dropped if name == "thinking"]
    if not all(text.strip() for text in knobs.stop):  # blank ones are refused
        lost.append("stop")
    for name in lost:
        if (refused := leave_out(name, knobs, call)) is not None:
            return refused
    return knobs


def _barred(body: Mapping[str, Any], thinks: Plan) -> Iterator[str]:
    """What this very request cannot have: a thinking model samples as it likes, other tiers than two are not known."""
    if thinks.is_on:
        yield "top_k"
        if body.get("temperature") != 1:
            yield "temperature"
        if (body.get("top_p") or 0) < 0.95:
            yield "top_p"
    if body.get("service_tier") not in _TIERS:
        yield "service_tier"
    if not marked({}, body.get("cache_control")):
        yield "cache_control"


def _prompt(conversation: Conversation, tooling: Tooling) -> dict[str, Any]:
    prompt: dict[str, Any] = {}
    if (system := write_system(conversation.system)) is not None:
        prompt["system"] = system
    prompt["messages"] = write_messages(conversation)
    if tooling.tools:
        prompt["tools"] = tooling.tools
    if tooling.choice is not None:
        prompt["tool_choice"] = tooling.choice
    return prompt


def _thinking(thinks: Plan, form: dict[str, Any] | None) -> dict[str, Any]:
    said: dict[str, Any] = {} if thinks.thinking is None else {"thinking": thinks.thinking}
    output = {"effort": thinks.effort, "format": form}
    if kept := {name: value for name, value in output.items() if value is not None}:
        said["output_config"] = kept
    return said


def _parameters(knobs: Knobs) -> dict[str, Any]:
    values = knobs.values
    said = {name: values[name] for name in _SAMPLING if name in values}
    if stop := [text for text in knobs.stop if text.strip()]:
        said["stop_sequences"] = stop
    if user := values.get("safety_identifier") or values.get("user"):
        said["metadata"] = {"user_id": _opaque(str(user))}
    if "service_tier" in values:
        said["service_tier"] = _TIERS[values["service_tier"]]
    return marked(said, values.get("cache_control"))


def _opaque(user: str) -> str:
    """As it is, unless it names a person: Anthropic wants no e-mail addresses, and at most 256 characters."""
    if not _E_MAIL.search(user) and len(user) <= _MAX_USER_CHARS:
        return user
    return f"user_{blake2b(user.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"


def _limit_marks(body: dict[str, Any]) -> bool:
    """Takes off marks beyond the fourth, the first ones first; whether there were any."""
    most = _MAX_MARKS - ("cache_control" in body)
    holders = [holder for holder in _markable(body) if "cache_control" in holder]
    for holder in holders[: max(0, len(holders) - most)]:
        del holder["cache_control"]
    return len(holders) > most


def _markable(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """In the order in which Anthropic reads a prompt."""
    yield from body.get("tools", ())
    if isinstance(body.get("system"), list):
        yield from body["system"]
    for message in body["messages"]:
        yield from message["content"]


def _headers(stream: bool, body: Mapping[str, Any]) -> dict[str, str]:
    samples = any(name in body for name in _SAMPLING)
    return {
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
        "anthropic-version": _VERSION_WITH_SAMPLING if samples else _VERSION,
    }


def _refused(code: str, message: str) -> ProviderError:
    return ProviderError(ErrorKind.INVALID_REQUEST, code=code, message=message)
