"""Writes a request for OpenAI's Responses surface from a Chat Completions one (provider_contracts.md section 4).

1. The conversation becomes `input` items. System messages, leading ones too, are items of role `developer`: the vendor
   reads `system` as that, and `instructions` would melt several messages into one text.
2. Parameters follow the model's flags (`knobs`); one choice is all there is, so more are refused. Stop sequences have
   no spelling: the answer is cut here (`stops`), so they are not dropped.
3. Nothing is stored at the vendor unless the caller says so. Hence reasoning comes back encrypted; it rides in the id of
   the call that follows it, and stands before that call again in the next turn (platform.openai.com/docs/guides/reasoning).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

from connectors.providers.adapter import ProviderCall, WireRequest
from connectors.providers.answer import made_id
from connectors.providers.conversation import (
    Assistant,
    Audio,
    Conversation,
    Document,
    Image,
    Inline,
    Linked,
    Part,
    System,
    Text,
    ToolResult,
    ToolUse,
    UnmappableError,
    User,
    objects_in,
    read_conversation,
    unmappable,
)
from connectors.providers.knobs import Knobs, fit
from connectors.providers.notes import json_schema
from schemas.errors import ProviderError

__all__ = ["owner_of", "to_wire"]

Item = dict[str, Any]

_AS_IS: Final = (
    "temperature", "top_p", "user", "safety_identifier", "metadata", "service_tier", "parallel_tool_calls",
    "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "truncation", "max_tool_calls",
)  # fmt: skip
_SPELLED: Final = frozenset({*_AS_IS, "store", "logprobs", "top_logprobs", "reasoning_effort", "verbosity", "n"})
_INPUTS: Final = ("text", "image", "pdf")
_MIN_OUTPUT_TOKENS: Final = 16  # less is refused
_MAX_CALL_ID_CHARS: Final = 64


def to_wire(call: ProviderCall) -> WireRequest | ProviderError:
    knobs = fit(_one_choice(call), spells=_SPELLED, elsewhere={"stop"})
    if isinstance(knobs, ProviderError):
        return knobs
    try:
        items = list(_items(_conversation(call)))
        tools = _tools(call.body, knobs)
    except UnmappableError as flaw:
        return unmappable(flaw)
    text = _text(call, knobs, items)
    body: Item = {"model": call.upstream, "input": items, **tools, **text}
    body |= {name: knobs.values[name] for name in _AS_IS if name in knobs.values}
    body["store"] = knobs.values.get("store", False)
    body |= _reasoning_and_logprobs(call, knobs)
    body |= _limit(call)
    if call.stream:
        body["stream"] = True
    if call.body.get("thinking") is not None:
        knobs.dropped.append("thinking")  # Anthropic's knob, which has no spelling here
    accept = "text/event-stream" if call.stream else "application/json"
    headers = {"content-type": "application/json", "accept": accept}
    return WireRequest("POST", "/responses", headers, body, tuple(sorted(knobs.dropped)), call.stream)


def owner_of(call: ProviderCall) -> str:
    """Whose reasoning it is; see `seals`."""
    return f"openai/{call.upstream}"


def _one_choice(call: ProviderCall) -> ProviderCall:
    """The call under this surface's own limits: one choice, and the efforts that only it takes."""
    flags = call.flags
    limits: dict[str, Any] = {"n_max": 1, "policy": {**(flags.get("policy") or {}), "n": "refuse"}}
    if flags.get("efforts") is not None:
        limits["efforts"] = (*flags["efforts"], *(flags.get("efforts_responses") or ()))
    return replace(call, flags={**flags, **limits})


def _conversation(call: ProviderCall) -> Conversation:
    taken = [kind for kind in call.flags.get("inputs") or _INPUTS if kind in _INPUTS]
    messages = call.body.get("messages") or ()
    owner = owner_of(call) if call.keep_state else None
    return read_conversation(messages, owner=owner, inputs=taken, mid_system=True)


# -- input


def _items(conversation: Conversation) -> Iterator[Item]:
    if conversation.system:
        yield _message("developer", conversation.system)
    for turn in conversation.turns:
        match turn:
            case System():
                yield _message("developer", turn.parts)
            case User():
                yield from (_result(result) for result in turn.results)
                if turn.parts:
                    yield _message("user", turn.parts)
            case Assistant():
                yield from _said(turn)
            case _:
                assert_never(turn)


def _said(turn: Assistant) -> Iterator[Item]:
    """The model thinks before it speaks, so the reasoning of the first call stands before the text."""
    if turn.calls:
        yield from _reasoning(turn.calls[0])
    if turn.parts:
        yield {"role": "assistant", "content": [{"type": "output_text", "text": part.text} for part in turn.parts]}
    for at, use in enumerate(turn.calls):
        if at > 0:
            yield from _reasoning(use)
        yield _call(use)


def _reasoning(use: ToolUse) -> Iterable[Item]:
    return objects_in(use.state, "reasoning")


def _call(use: ToolUse) -> Item:
    return {"type": "function_call", "call_id": _call_id(use.id), "name": use.name, "arguments": use.text}


def _result(result: ToolResult) -> Item:
    parts = result.parts
    one_text = len(parts) < 2 and all(isinstance(part, Text) for part in parts)
    output = result.text if one_text else [_part(part) for part in parts]
    return {"type": "function_call_output", "call_id": _call_id(result.id), "output": output}


def _call_id(id: str) -> str:
    """Longer ones are refused; another vendor's may be, and call and result must still agree."""
    return id if len(id) <= _MAX_CALL_ID_CHARS else made_id(id)


def _message(role: str, parts: Iterable[Part]) -> Item:
    return {"role": role, "content": [_part(part) for part in parts]}


def _part(part: Part) -> Item:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            return {"type": "input_image", "image_url": _url(part.source), "detail": part.detail or "auto"}
        case Document():
            # A file without a name is refused.
            return {"type": "input_file", "filename": part.name or "document.pdf", "file_data": _url(part.source)}
        case Audio():
            raise UnmappableError(part.path, "audio is not taken on this surface")
        case _:
            assert_never(part)


def _url(source: Inline | Linked) -> str:
    return source.url if isinstance(source, Linked) else f"data:{source.media_type};base64,{source.data}"


# -- tools


def _tools(body: Mapping[str, Any], knobs: Knobs) -> Item:
    if body.get("functions"):
        raise UnmappableError("functions", "functions are written as `tools`")
    choice = body.get("tool_choice")
    if not body.get("tools"):
        if choice is not None:
            knobs.dropped.append("tool_choice")
        return {}
    tools = [_tool(f"tools.{index}", tool) for index, tool in enumerate(body["tools"])]
    return {"tools": tools} if choice is None else {"tools": tools, "tool_choice": _choice("tool_choice", choice)}


def _tool(path: str, tool: Mapping[str, Any]) -> Item:
    if tool["type"] == "function":
        said = {name: value for name, value in tool["function"].items() if value is not None}
        # Here a function is strict unless it says otherwise, and then the schema must be fit for that.
        return {"type": "function", "parameters": {"type": "object", "properties": {}}, "strict": False, **said}
    if tool["type"].startswith("web_search"):
        return dict(tool)  # what it finds comes back as citations of the text
    raise UnmappableError(path, f"tools of type `{tool['type']}` are not taken here")


def _choice(path: str, choice: Any) -> Any:
    match choice:
        case str():
            return choice
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "function", "name": name}
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(tools)}}:
            listed = [_choice(f"{path}.allowed_tools.tools.{index}", tool) for index, tool in enumerate(tools)]
            return {"type": "allowed_tools", "mode": mode, "tools": listed}
        case _:
            raise UnmappableError(path, "this choice of a tool is not taken here")


# -- parameters


def _text(call: ProviderCall, knobs: Knobs, items: list[Item]) -> Item:
    text: Item = {}
    wanted = call.body.get("response_format")
    if wanted is not None and (spec := _format(wanted, call, items)):
        text["format"] = spec
    if "verbosity" in knobs.values:
        text["verbosity"] = knobs.values["verbosity"]
    return {"text": text} if text else {}


def _format(wanted: Mapping[str, Any], call: ProviderCall, items: list[Item]) -> Item:
    """Flat here; where a model has no native schemas, JSON mode and the schema in the prompt."""
    if wanted["type"] != "json_schema":
        return {"type": wanted["type"]}
    spec = {name: value for name, value in wanted["json_schema"].items() if value is not None}
    if call.flags.get("json_schema") is not False:
        return {"type": "json_schema", **spec}
    items.insert(0, _message("developer", [Text(json_schema(spec.get("schema")))]))
    return {"type": "json_object"}


def _reasoning_and_logprobs(call: ProviderCall, knobs: Knobs) -> Item:
    """Asked of models that reason only: the others refuse both the knob and the encrypted text."""
    said: Item = {}
    include = []
    effort = knobs.effort
    if effort is not None or call.flags.get("efforts"):
        is_off = (effort or call.flags.get("default_effort")) == "none"
        said["reasoning"] = {} if effort is None else {"effort": effort}
        if not is_off:
            said["reasoning"]["summary"] = "auto"
            include.append("reasoning.encrypted_content")
    if knobs.values.get("logprobs"):
        include.append("message.output_text.logprobs")
        said["top_logprobs"] = knobs.values.get("top_logprobs", 0)
    if include:
        said["include"] = include
    return {name: value for name, value in said.items() if value != {}}


def _limit(call: ProviderCall) -> Item:
    asked = (call.max_tokens, call.body.get("max_completion_tokens"), call.body.get("max_tokens"))
    limit = next((number for number in asked if number is not None), None)
    return {} if limit is None else {"max_output_tokens": max(limit, _MIN_OUTPUT_TOKENS)}
