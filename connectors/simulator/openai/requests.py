"""From a chat completion request to an `Ask`: every check, then the translation."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import orjson

from connectors.simulator import directives, tokens
from connectors.simulator.ask import Ask, Schema, Tool
from connectors.simulator.directives import BadDirective
from connectors.simulator.models import Model, ModelTable
from connectors.simulator.openai import messages
from connectors.simulator.openai.checks import CHAT_FIELDS, check_knobs, find_model, parse
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import Body, invalid_value, missing
from connectors.simulator.openai.schemas import check_name, check_object, check_strict

_CHOICES = ("none", "auto", "required")
_FORMATS = ("json_object", "json_schema", "text")
# What decides nothing about the answer: how it is delivered, and labels for the caller's own use.
_LABELS = frozenset(
    {"stream", "stream_options", "user", "metadata", "safety_identifier", "store"}
    | {"prompt_cache_key", "prompt_cache_retention"}
)
_MOST_TOOLS = 128


def read(raw: bytes, table: ModelTable) -> tuple[Ask, Body]:
    """The request, understood; the body comes along for what only concerns the wire.

    Raises:
        Refused: What OpenAI refuses, or a directive that nobody knows.
    """
    body = parse(raw, CHAT_FIELDS)
    if "messages" not in body:
        raise missing("messages")
    model = find_model(body, table)
    if model.responses_only:
        raise _no_chat_model()
    check_knobs(body, model)
    if "metadata" in body and body.get("store") is not True:
        raise Refused("The 'metadata' parameter is only allowed when 'store' is enabled.", param="metadata")
    messages.check(body["messages"])
    ask = understood(body, model, **checked_parts(body))
    _check_context(ask)
    return ask, body


def _no_chat_model() -> Refused:
    message = (
        "This is not a chat model and thus not supported in the v1/chat/completions endpoint. "
        "Did you mean to use v1/completions?"
    )
    return Refused(message, param="model", status=404)


def checked_parts(body: Body) -> dict[str, Any]:
    """Tools, tool choice and format, checked; by the names that `Ask` has for them.

    Raises:
        Refused: A definition, a choice or a format that the API does not take.
    """
    tools = _tools(body)
    choice, forced = _tool_choice(body, tools)
    wants_json, schema = _format(body)
    return {
        "tools": tools,
        "tool_choice": choice,
        "forced_tool": forced,
        "wants_json": wants_json,
        "schema": schema,
    }


def understood(body: Body, model: Model, **parts: Any) -> Ask:
    """The request as an `Ask`; `parts` are its checked tools and format."""
    said, results = messages.last_user(body["messages"])
    try:
        said, directive = directives.read(said)
    except BadDirective as wrong:
        raise Refused(f"simulator: {wrong}", code="bad_directive") from wrong
    conversation = orjson.dumps(body["messages"])
    shown = [body[name] for name in ("tools", "response_format") if name in body]
    tools = orjson.dumps(shown).decode() if shown else ""
    stop = body.get("stop", ())
    return Ask(
        model=model,
        stream=body.get("stream", False),
        canonical=orjson.dumps({k: v for k, v in body.items() if k not in _LABELS}, option=orjson.OPT_SORT_KEYS),
        conversation=conversation,
        prompt=tools.encode() + conversation,
        prompt_tokens=_prompt_tokens(body["messages"], tools),
        messages=len(body["messages"]),
        last_user=said,
        results=results,
        directive=directive,
        media=messages.media_of(body["messages"]),
        parallel_tools=body.get("parallel_tool_calls", True),
        max_tokens=body.get("max_completion_tokens", body.get("max_tokens")),
        stop=tuple(filter(None, [stop] if isinstance(stop, str) else stop)),
        choices=body.get("n", 1),
        effort=body.get("reasoning_effort", model.default_effort),
        **parts,
    )


def _prompt_tokens(said: list[messages.Message], tools: str) -> int:
    return tokens.of_messages([messages.text_of(message) for message in said], tools) + messages.media_tokens(said)


def _check_context(ask: Ask) -> None:
    limit = ask.model.context_tokens
    if ask.prompt_tokens > limit:
        message = (
            f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
            f"{ask.prompt_tokens} tokens. Please reduce the length of the messages."
        )
        raise Refused(message, param="messages", code="context_length_exceeded")


# -- tools


def _tools(body: Body) -> tuple[Tool, ...]:
    definitions = body.get("tools")
    if definitions is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in body:
                raise Refused(f"'{name}' is only allowed when 'tools' are specified.", param=name)
        return ()
    if not 1 <= len(definitions) <= _MOST_TOOLS:
        message = f"Invalid 'tools': expected an array with length 1 to {_MOST_TOOLS}, but got {len(definitions)}."
        raise Refused(message, param="tools", code="empty_array" if not definitions else "array_above_max_length")
    return tuple(_tool(definition, f"tools[{position}]") for position, definition in enumerate(definitions))


def _tool(definition: Any, path: str) -> Tool:
    if not isinstance(definition, dict) or definition.get("type") != "function":
        kind = definition.get("type") if isinstance(definition, dict) else definition
        raise invalid_value(f"{path}.type", kind, ("function",))
    function = definition.get("function")
    if not isinstance(function, dict) or "name" not in function:
        raise missing(f"{path}.function" if not isinstance(function, dict) else f"{path}.function.name")
    if unknown := sorted(function.keys() - {"name", "description", "parameters", "strict"}):
        name = f"{path}.function.{unknown[0]}"
        raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    check_name(function["name"], f"{path}.function.name")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    what = f"Invalid schema for function '{function['name']}'"
    check_object(parameters, what, param=f"{path}.function.parameters", code="invalid_function_parameters")
    if function.get("strict"):
        check_strict(parameters, (), what, param=f"{path}.function.parameters", code="invalid_function_parameters")
    return Tool(function["name"], function.get("description") or "", parameters)


def _tool_choice(body: Body, tools: tuple[Tool, ...]) -> tuple[Literal["auto", "none", "required"], str]:
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise invalid_value("tool_choice", choice, _CHOICES)
        return cast(Literal["auto", "none", "required"], choice), ""
    function = choice.get("function")
    if choice.get("type") != "function" or not isinstance(function, dict):
        raise missing("tool_choice.function")
    if function.get("name") not in {tool.name for tool in tools}:
        message = (
            f"Invalid value for 'tool_choice': no function named {function.get('name')} was specified in the 'tools' "
            "parameter."
        )
        raise Refused(message, param="tool_choice")
    return "required", function["name"]


# -- structured output


def _format(body: Body) -> tuple[bool, Schema | None]:
    wish = body.get("response_format", {"type": "text"})
    kind = wish.get("type")
    if kind not in _FORMATS:
        raise invalid_value("response_format.type", kind, _FORMATS)
    if kind == "json_object" and "json" not in " ".join(map(messages.text_of, body["messages"])).lower():
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
        raise Refused(message, param="messages")
    return kind != "text", _answer_schema(wish) if kind == "json_schema" else None


def _answer_schema(wish: Mapping[str, Any]) -> Schema:
    path = "response_format.json_schema"
    outer = wish.get("json_schema")
    if not isinstance(outer, dict):
        raise missing(path)
    for name in ("name", "schema"):
        if name not in outer:
            raise missing(f"{path}.{name}")
    check_name(outer["name"], f"{path}.name")
    what = f"Invalid schema for response_format '{outer['name']}'"
    schema = check_object(outer["schema"], what, param="response_format")
    if outer.get("strict"):
        check_strict(schema, (), what, param="response_format")
    return schema
