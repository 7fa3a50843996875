"""From a chat completion request to an `Ask`: every check, then the translation."""

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

import orjson

from connectors.simulator import directives, tokens
from connectors.simulator.ask import Ask, Schema, Tool
from connectors.simulator.directives import BadDirective
from connectors.simulator.models import Model, ModelTable
from connectors.simulator.openai import messages
from connectors.simulator.openai.checks import CHAT_FIELDS, Body, check_knobs, find_model, invalid_value, missing, parse
from connectors.simulator.openai.errors import Refused

_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
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
    check_knobs(body, model)
    messages.check(body["messages"])
    tools = _tools(body)
    choice, forced = _tool_choice(body, tools)
    wants_json, schema = _format(body)
    ask = _ask(body, model, tools=tools, tool_choice=choice, forced_tool=forced, wants_json=wants_json, schema=schema)
    _check_context(ask)
    return ask, body


def _ask(body: Body, model: Model, **understood: Any) -> Ask:
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
        parallel_tools=body.get("parallel_tool_calls", True),
        max_tokens=body.get("max_completion_tokens", body.get("max_tokens")),
        stop=tuple(filter(None, [stop] if isinstance(stop, str) else stop)),
        choices=body.get("n", 1),
        effort=body.get("reasoning_effort", model.default_effort),
        **understood,
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
    _check_name(function["name"], f"{path}.function.name")
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    what = f"Invalid schema for function '{function['name']}'"
    if not isinstance(parameters, dict) or parameters.get("type") != "object":
        message = f"{what}: schema must be a JSON Schema of 'type: \"object\"'."
        raise Refused(message, param=f"{path}.function.parameters", code="invalid_function_parameters")
    if function.get("strict"):
        _check_strict(parameters, (), what, param=f"{path}.function.parameters", code="invalid_function_parameters")
    return Tool(function["name"], function.get("description") or "", parameters)


def _check_name(name: Any, path: str) -> None:
    if not isinstance(name, str) or not _NAME.match(name):
        message = (
            f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'."
        )
        raise Refused(message, param=path, code="invalid_value")


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
    _check_name(outer["name"], f"{path}.name")
    what = f"Invalid schema for response_format '{outer['name']}'"
    schema = outer["schema"]
    if not isinstance(schema, dict) or schema.get("type") != "object":
        message = f"{what}: schema must be a JSON Schema of 'type: \"object\"'."
        raise Refused(message, param="response_format")
    if outer.get("strict"):
        _check_strict(schema, (), what, param="response_format")
    return cast(Schema, schema)


def _check_strict(schema: Any, where: tuple[str, ...], what: str, *, param: str, code: str | None = None) -> None:
    """Strict mode: every object is closed and requires all its properties (OpenAI guide "Structured outputs")."""
    if isinstance(schema, list):
        for part in schema:
            _check_strict(part, where, what, param=param, code=code)
    if not isinstance(schema, dict):
        return
    if "properties" in schema:
        _check_closed(schema, f"{what}: In context={where!r}, ", param=param, code=code)
    for name in ("properties", "$defs", "definitions"):
        for key, part in (schema.get(name) or {}).items():
            _check_strict(part, (*where, name, key), what, param=param, code=code)
    for name in ("items", "anyOf"):
        _check_strict(schema.get(name), (*where, name), what, param=param, code=code)


def _check_closed(schema: Schema, what: str, *, param: str, code: str | None) -> None:
    if schema.get("additionalProperties") is not False:
        message = f"{what}'additionalProperties' is required to be supplied and to be false."
        raise Refused(message, param=param, code=code)
    if absent := [name for name in schema["properties"] if name not in schema.get("required", ())]:
        message = (
            f"{what}'required' is required to be supplied and to be an array including every key in properties. "
            f"Missing '{absent[0]}'."
        )
        raise Refused(message, param=param, code=code)
