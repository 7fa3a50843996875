"""From a request of the Responses API to an `Ask`: every check, then the translation.

Source: platform.openai.com/docs/api-reference/responses/create. Not served: hosted and custom tools, `background`,
`conversation`, `prompt`; nothing is stored, so `previous_response_id` and references to items are never found.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

import orjson

from connectors.simulator import directives, tokens
from connectors.simulator.ask import Ask, Schema, Tool
from connectors.simulator.directives import BadDirective
from connectors.simulator.models import Model, ModelTable
from connectors.simulator.openai import items
from connectors.simulator.openai.checks import find_model
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import Body, check_field, json_object, missing, wrong_type
from connectors.simulator.openai.responses_knobs import FIELDS, MOVED, check_knobs, effort_of
from connectors.simulator.openai.schemas import check_name, check_object, check_strict

_CHOICES = ("none", "auto", "required")
_FORMATS = ("text", "json_object", "json_schema")
# What decides nothing about the answer: how it is delivered, and labels for the caller's own use.
_LABELS = frozenset(
    {"stream", "stream_options", "user", "metadata", "safety_identifier", "store", "include", "background"}
    | {"prompt_cache_key", "prompt_cache_retention"}
)
_INVALID_PARAMETERS = "invalid_function_parameters"


def read(raw: bytes, table: ModelTable) -> tuple[Ask, Body]:
    """The request, understood; the body comes along for what only concerns the wire.

    Raises:
        Refused: What OpenAI refuses, or a directive that nobody knows.
    """
    body = _parse(raw)
    model = find_model(body, table)
    check_knobs(body, model)
    said = _items(body)
    items.check(said)
    ask = _ask(body, model, said)
    if ask.prompt_tokens > model.context_tokens and body.get("truncation") != "auto":
        message = "Your input exceeds the context window of this model. Please adjust your input and try again."
        raise Refused(message, param="input", code="context_length_exceeded")
    return ask, body


def _parse(raw: bytes) -> Body:
    body = {name: value for name, value in json_object(raw).items() if value is not None}
    for name in sorted(body.keys() - FIELDS.keys()):
        if name in MOVED:
            message = (
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{MOVED[name]}'. "
                "Try again with the new parameter. See the API documentation for more information: "
                "https://platform.openai.com/docs/api-reference/responses/create."
            )
            raise Refused(message, param=name, code="unsupported_parameter")
        raise Refused(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
    if "model" not in body:
        raise missing("model")
    for name, value in body.items():
        check_field(name, value, FIELDS[name])
    return body


def _items(body: Body) -> list[items.Item]:
    """The input as items; a string is a user's message."""
    if "input" not in body:
        message = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided."
        raise Refused(message, param="input", code="missing_required_parameter")
    given = body["input"]
    return [{"role": "user", "content": given}] if isinstance(given, str) else cast(list[items.Item], given)


def _ask(body: Body, model: Model, said: list[items.Item]) -> Ask:
    words, results = items.last_user(said)
    try:
        words, directive = directives.read(words)
    except BadDirective as wrong:
        raise Refused(f"simulator: {wrong}", code="bad_directive") from wrong
    texts = [body["instructions"]] if "instructions" in body else []
    texts += [items.text_of(item) for item in said]
    tools = _tools(body)
    choice, forced = _tool_choice(body, tools)
    wants_json, schema = _format(body, texts)
    shown = [part for part in (body.get("tools"), body.get("text", {}).get("format")) if part]
    defined = orjson.dumps(shown).decode() if shown else ""
    conversation = orjson.dumps([body.get("instructions", ""), said])
    seen = items.media_of(said)
    return Ask(
        model=model,
        stream=body.get("stream", False),
        canonical=orjson.dumps({k: v for k, v in body.items() if k not in _LABELS}, option=orjson.OPT_SORT_KEYS),
        conversation=conversation,
        prompt=defined.encode() + conversation,
        prompt_tokens=tokens.of_messages(texts, defined) + tokens.IMAGE_TOKENS * len(seen),
        messages=sum(items.kind_of(item) != "reasoning" for item in said) + ("instructions" in body),
        last_user=words,
        results=results,
        directive=directive,
        media=seen,
        tools=tools,
        tool_choice=choice,
        forced_tool=forced,
        parallel_tools=body.get("parallel_tool_calls", True),
        wants_json=wants_json,
        schema=schema,
        max_tokens=body.get("max_output_tokens"),
        effort=effort_of(body, model),
    )


# -- tools


def _tools(body: Body) -> tuple[Tool, ...]:
    return tuple(_tool(given, f"tools[{position}]") for position, given in enumerate(body.get("tools", ())))


def _tool(given: Any, path: str) -> Tool:
    kind = given.get("type") if isinstance(given, dict) else given
    if kind != "function":
        raise items.invalid_value(f"{path}.type", kind, ("function", "custom"))
    if "name" not in given:  # also how chat's nested spelling is told
        raise missing(f"{path}.name")
    items.check_fields(given, {"type", "name", "description", "parameters", "strict"}, path)
    check_name(given["name"], f"{path}.name")
    param, what = f"{path}.parameters", f"Invalid schema for function '{given['name']}'"
    wanted = given.get("parameters") or {"type": "object", "properties": {}}
    parameters = check_object(wanted, what, param=param, code=_INVALID_PARAMETERS)
    if given.get("strict"):
        check_strict(parameters, (), what, param=param, code=_INVALID_PARAMETERS)
    return Tool(given["name"], given.get("description") or "", parameters)


def _tool_choice(body: Body, tools: tuple[Tool, ...]) -> tuple[Literal["auto", "none", "required"], str]:
    choice = body.get("tool_choice", "auto")
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise items.invalid_value("tool_choice", choice, _CHOICES)
        if choice == "required" and not tools:
            message = "Tool choice 'required' must be specified with 'tools' parameter."
            raise Refused(message, param="tool_choice")
        return cast(Literal["auto", "none", "required"], choice), ""
    if choice.get("type") != "function":
        raise items.invalid_value("tool_choice.type", choice.get("type"), ("function", "custom"))
    if "name" not in choice:
        raise missing("tool_choice.name")
    if choice["name"] not in {tool.name for tool in tools}:
        raise Refused(f"Tool choice '{choice['name']}' not found in 'tools' parameter.", param="tool_choice")
    return "required", choice["name"]


# -- structured output


def _format(body: Body, texts: list[str]) -> tuple[bool, Schema | None]:
    wish: Mapping[str, Any] = body.get("text", {}).get("format") or {"type": "text"}
    if not isinstance(wish, dict):
        raise wrong_type("text.format", wish, "an object")
    kind = wish.get("type")
    if kind not in _FORMATS:
        raise items.invalid_value("text.format.type", kind, _FORMATS)
    if kind == "json_object" and "json" not in " ".join(texts).lower():
        message = (
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type "
            "'json_object'."
        )
        raise Refused(message, param="input")
    return kind != "text", _answer_schema(wish) if kind == "json_schema" else None


def _answer_schema(wish: Mapping[str, Any]) -> Schema:
    for name in ("name", "schema"):
        if name not in wish:
            raise missing(f"text.format.{name}")
    items.check_fields(dict(wish), {"type", "name", "schema", "strict", "description"}, "text.format")
    check_name(wish["name"], "text.format.name")
    what = f"Invalid schema for response_format '{wish['name']}'"
    schema = check_object(wish["schema"], what, param="text.format.schema", code="invalid_json_schema")
    if wish.get("strict"):
        check_strict(schema, (), what, param="text.format.schema", code="invalid_json_schema")
    return schema
