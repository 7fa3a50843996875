"""Writes a chat completions request for OpenAI or a server that speaks like it.

The caller's request has this form already; what is done here (provider_contracts.md section 4):

1. null is absent, in every field of the body and inside messages (tashfeenahmed/freellmapi#232); schemas are left
   alone.
2. Parameters follow the model's flags (`knobs`); without tools no `tool_choice` goes out: servers refuse that
   (apache/apisix#13583).
3. The limit of tokens goes under the one name that the model takes.
4. What other vendors want back (`thinking_blocks`, `extra_content`, `cache_control`, our seals) stays here, and so do the
   citations of an earlier answer, which strict servers refuse. A message that says nothing says "".
5. `developer` becomes `system` where the server does not know it; a result that is said twice is sent once, two
   different ones are an error (QwenLM/qwen-code#8163); without native JSON Schema the schema stands in the prompt.
6. A part that the model or the role does not take is an error naming it; so are the `functions` of old.
7. `stream_options.include_usage` is always asked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.providers.adapter import ProviderCall, WireRequest
from connectors.providers.answer import made_id
from connectors.providers.conversation import UnmappableError, unmappable
from connectors.providers.knobs import Knobs, fit
from connectors.providers.notes import json_schema
from connectors.providers.wire_json import dumps
from schemas.completion import EmbeddingFormat
from schemas.errors import ProviderError
from schemas.seals import plain_id

__all__ = ["Quirks", "to_wire"]


@dataclass(frozen=True, slots=True)
class Quirks:
    """In what a family of servers differs; the model's flags win where they speak.

    Attributes:
        max_tokens_name: the limit's name unless flagged.
        knows_developer: takes messages of role `developer`.
        lacks: parameters that nobody of this family takes.
        only_stored: parameters that are taken with `store: true` only.
        input_flags: content part -> the entry of the flag `inputs` without which the part is refused.
        rich_roles: roles whose messages may hold more than text; None: any.
        embeddings_as: the form in which vectors are asked for.
        max_id_chars: the longest id of a tool call; another vendor's may be longer.
    """

    max_tokens_name: str
    knows_developer: bool = True
    lacks: frozenset[str] = frozenset()
    only_stored: frozenset[str] = frozenset()
    input_flags: Mapping[str, str] | None = None
    rich_roles: frozenset[str] | None = None
    embeddings_as: EmbeddingFormat = "base64"
    max_id_chars: int | None = None


# Under these keys lies JSON Schema or what the caller means by it, in which null is a value and every name its own.
_VERBATIM = frozenset({"parameters", "schema", "arguments", "metadata"})
_TEXT_PARTS = frozenset({"text", "refusal"})
_FOREIGN = frozenset(
    {"thinking_blocks", "extra_content", "cache_control", "is_error", "reasoning_content", "annotations"}
)
_STRUCTURE = ("tools", "tool_choice", "response_format")


def to_wire(call: ProviderCall, quirks: Quirks) -> WireRequest | ProviderError:
    is_stored = call.body.get("store") is True
    knobs = fit(call, spells=None, lacks=quirks.lacks if is_stored else quirks.lacks | quirks.only_stored)
    if isinstance(knobs, ProviderError):
        return knobs
    try:
        _check_taken(call, quirks)
        messages = list(_messages(call.body.get("messages") or (), quirks))
    except UnmappableError as flaw:
        return unmappable(flaw)
    body = {"model": call.upstream, "messages": messages}
    body |= {key: _cleaned(key, value) for key, value in knobs.values.items()}
    body |= _structure(call, knobs)
    _ask_for_schema(body, call)
    _limit_tokens(body, call, quirks)
    _ask_for_stream(body, call)
    accept = "text/event-stream" if call.stream else "application/json"
    headers = {"content-type": "application/json", "accept": accept}
    return WireRequest("POST", "/chat/completions", headers, body, tuple(knobs.dropped), call.stream)


def _check_taken(call: ProviderCall, quirks: Quirks) -> None:
    if call.body.get("functions"):
        raise UnmappableError("functions", "functions are written as `tools`")
    taken = call.flags.get("inputs") or ()
    refused = {part for part, flag in (quirks.input_flags or {}).items() if flag not in taken}
    for at, message in enumerate(call.body.get("messages") or ()):
        content = message.get("content")
        if isinstance(content, list):
            is_plain = quirks.rich_roles is not None and message["role"] not in quirks.rich_roles
            _check_parts(f"messages.{at}.content", content, refused, message["role"] if is_plain else None)


def _check_parts(path: str, parts: Sequence[dict[str, Any]], refused: set[str], plain_role: str | None) -> None:
    for at, part in enumerate(parts):
        if part["type"] in refused:
            raise UnmappableError(f"{path}.{at}", f"this model takes no {part['type']} parts")
        if plain_role is not None and part["type"] not in _TEXT_PARTS:
            raise UnmappableError(f"{path}.{at}", f"a message of role `{plain_role}` holds text only")


def _cleaned(key: str, value: Any) -> Any:
    """Without nulls and what is meant for other vendors."""
    if key in _VERBATIM:
        return value
    if isinstance(value, dict):
        kept = ((name, inner) for name, inner in value.items() if inner is not None and name not in _FOREIGN)
        return {name: _cleaned(name, inner) for name, inner in kept}
    if isinstance(value, list):
        return [_cleaned("", item) for item in value]
    return value


def _structure(call: ProviderCall, knobs: Knobs) -> dict[str, Any]:
    said = {key: _cleaned(key, call.body[key]) for key in _STRUCTURE if call.body.get(key) is not None}
    if not said.get("tools"):
        said.pop("tools", None)
        if said.pop("tool_choice", None) is not None:
            knobs.dropped.append("tool_choice")
    if call.body.get("thinking") is not None:
        knobs.dropped.append("thinking")  # Anthropic's knob, which has no spelling here
    knobs.dropped.sort()
    return said


def _messages(messages: Sequence[dict[str, Any]], quirks: Quirks) -> Iterator[dict[str, Any]]:
    results: dict[str, Any] = {}
    for at, message in enumerate(messages):
        if message.get("role") != "tool":
            results.clear()
            yield _message(_cleaned("", message), quirks)
            continue
        id = _id(message["tool_call_id"], quirks)
        content = message.get("content") or ""
        if id not in results:
            results[id] = content
            yield {**_cleaned("", message), "content": _cleaned("", content), "tool_call_id": id}
        elif results[id] != content:
            raise UnmappableError(f"messages.{at}", f"tool call `{id}` has two different results")


def _message(message: dict[str, Any], quirks: Quirks) -> dict[str, Any]:
    if message.get("role") == "developer" and not quirks.knows_developer:
        return _worded({**message, "role": "system"})
    if "tool_calls" not in message:
        return _worded(message)
    calls = [_tool_call(call, quirks) for call in message["tool_calls"]]
    rest = {key: value for key, value in message.items() if key != "tool_calls"}
    return {**rest, "tool_calls": calls} if calls else _worded(rest)  # OpenAI refuses an empty list


def _worded(message: dict[str, Any]) -> dict[str, Any]:
    """Content may be absent beside tool calls only."""
    return message if "content" in message else {**message, "content": ""}


def _id(said: str, quirks: Quirks) -> str:
    id = plain_id(said)
    return id if quirks.max_id_chars is None or len(id) <= quirks.max_id_chars else made_id(id)


def _tool_call(call: dict[str, Any], quirks: Quirks) -> dict[str, Any]:
    if isinstance(call.get("id"), str):
        call["id"] = _id(call["id"], quirks)
    function = call.get("function")
    said = function.get("arguments") if isinstance(function, dict) else "custom tools have none"
    if isinstance(said, str) and said:
        return call
    text = dumps(said).decode() if said else "{}"  # some clients replay the object itself
    return {**call, "function": {**call["function"], "arguments": text}}


def _ask_for_schema(body: dict[str, Any], call: ProviderCall) -> None:
    """JSON mode and the schema in the prompt, where a model has no more than that."""
    wanted = body.get("response_format") or {}
    if wanted.get("type") != "json_schema" or call.flags.get("json_schema") is not False:
        return
    body["response_format"] = {"type": "json_object"}
    note, messages = json_schema(wanted["json_schema"].get("schema")), body["messages"]
    first = messages[0]
    if first["role"] not in {"system", "developer"}:
        messages.insert(0, {"role": "system", "content": note})
    elif isinstance(first.get("content"), list):
        messages[0] = {**first, "content": [*first["content"], {"type": "text", "text": note}]}
    else:  # into the one that is there: many templates take one system message
        messages[0] = {**first, "content": "\n\n".join(filter(None, (first.get("content"), note)))}


def _limit_tokens(body: dict[str, Any], call: ProviderCall, quirks: Quirks) -> None:
    asked = (call.body.get(name) for name in ("max_completion_tokens", "max_tokens"))
    limit = call.max_tokens if call.max_tokens is not None else next((n for n in asked if n is not None), None)
    if limit is not None:
        body[call.flags.get("max_tokens_name") or quirks.max_tokens_name] = limit


def _ask_for_stream(body: dict[str, Any], call: ProviderCall) -> None:
    if call.stream:
        options = _cleaned("stream_options", call.body.get("stream_options") or {})
        body["stream"] = True
        body["stream_options"] = {**options, "include_usage": True}
