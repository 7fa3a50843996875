"""What Anthropic refuses in the knobs of a request: limits, sampling, thinking, tools, output format, cache marks."""

from collections.abc import Mapping
from typing import Any

from connectors.simulator.anthropic.errors import Refused
from connectors.simulator.anthropic.messages import check_texts, marks
from connectors.simulator.models import Model, ModelTable

Body = dict[str, Any]

_MOST_MARKS = 4
_THINKING_DOCS = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
_UNSUPPORTED = ("minimum", "maximum", "multipleOf", "minLength", "maxLength", "maxItems", "uniqueItems")


def find_model(body: Body, table: ModelTable) -> Model:
    """The model that the body names.

    Raises:
        Refused: 404 `not_found_error`.
    """
    model = table.get(body["model"], "anthropic")
    if model is None:
        raise Refused(f"model: {body['model']}", status=404, kind="not_found_error")
    return model


def check_knobs(body: Body, model: Model) -> None:
    """Knobs against the model's flags and against each other.

    Raises:
        Refused: A knob that the model does not take, or a pair that excludes each other.
    """
    _check_max_tokens(body, model)
    _check_sampling(body, model)
    _check_thinking(body, model)
    _check_effort(body, model)
    _check_tools(body, model)
    _check_format(body)
    _check_marks(body)
    if isinstance(body.get("system"), list):
        check_texts(body["system"], "system")
    if not all(stop.strip() for stop in body.get("stop_sequences", ())):
        raise Refused("stop_sequences: each stop sequence must contain non-whitespace")


def _check_max_tokens(body: Body, model: Model) -> None:
    wished, most = body.get("max_tokens", 0), model.max_output_tokens
    if wished > most:
        message = (
            f"max_tokens: {wished} > {most}, which is the maximum allowed number of output tokens for {model.name}"
        )
        raise Refused(message)


def _check_sampling(body: Body, model: Model) -> None:
    given = [name for name in ("temperature", "top_p", "top_k") if name in body]
    if given and model.sampling == "no":
        raise Refused(f"`{given[0]}` is deprecated for this model.")
    if {"temperature", "top_p"} <= body.keys() and model.sampling == "one_of_temperature_top_p":
        raise Refused("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


# -- thinking


def _check_thinking(body: Body, model: Model) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    _check_thinking_type(thinking["type"], model)
    if thinking["type"] == "enabled":
        _check_budget(body, thinking["budget_tokens"])


def _check_thinking_type(kind: str, model: Model) -> None:
    match kind:
        case "enabled" if model.thinking != "budget":
            raise Refused(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        case "adaptive" if model.thinking != "adaptive":
            raise Refused("adaptive thinking is not supported on this model")
        case "disabled" | "between_tools" if model.thinking_off != kind:
            raise Refused(f'"thinking.type.{kind}" is not supported for this model.')


def _check_budget(body: Body, budget: int) -> None:
    if "max_tokens" in body and budget >= body["max_tokens"]:
        raise Refused(
            "`max_tokens` must be greater than `thinking.budget_tokens`. "
            f"Please consult our documentation at {_THINKING_DOCS}#max-tokens-and-context-window-size"
        )
    if body.get("temperature", 1) != 1:
        raise Refused(
            "`temperature` may only be set to 1 when thinking is enabled. "
            f"Please consult our documentation at {_THINKING_DOCS}"
        )
    if body.get("tool_choice", {}).get("type") in {"any", "tool"}:
        raise Refused("Thinking may not be enabled when tool_choice forces tool use.")


def _check_effort(body: Body, model: Model) -> None:
    effort = body.get("output_config", {}).get("effort")
    if effort is None:
        return
    if model.thinking != "adaptive":
        raise Refused("This model does not support the effort parameter.")
    if effort not in model.efforts:
        raise Refused(
            f"This model does not support effort level '{effort}'. Supported levels: {', '.join(model.efforts)}."
        )


# -- tools


def _check_tools(body: Body, model: Model) -> None:
    tools = body.get("tools", [])
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        raise Refused("tools: Tool names must be unique.")
    for position, tool in enumerate(tools):
        if tool.get("strict"):
            check_schema(tool["input_schema"], f"tools.{position}.custom.input_schema")
    choice = body.get("tool_choice")
    if choice is None or choice["type"] == "none":
        return
    if not tools:
        raise Refused("tool_choice: `tool_choice` may only be specified while providing `tools`.")
    if choice["type"] in {"any", "tool"} and not model.forced_tools:
        raise Refused(f"tool_choice: forced tool use (`{choice['type']}`) is not supported for this model.")
    if choice["type"] == "tool" and choice["name"] not in names:
        raise Refused(f"Tool '{choice['name']}' not found in provided tools")


# -- structured output


def _check_format(body: Body) -> None:
    wish = body.get("output_config", {}).get("format")
    if wish is not None:
        check_schema(wish["schema"], "output_config.format.schema")


def check_schema(schema: Any, path: str) -> None:
    """The part of JSON Schema that constrained output knows (guide "Structured outputs").

    Raises:
        Refused: An unsupported keyword, or an object that is not closed.
    """
    if isinstance(schema, list):
        for part in schema:
            check_schema(part, path)
    if not isinstance(schema, dict):
        return
    if found := sorted(schema.keys() & set(_UNSUPPORTED)):
        kind = schema.get("type", "object")
        raise Refused(f"{path}: For '{kind}' type, properties {', '.join(found)} are not supported")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise Refused(f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    for part in _parts(schema):
        check_schema(part, path)


def _parts(schema: Mapping[str, Any]) -> list[Any]:
    """The schemas inside a schema; names of properties are no keywords."""
    named = (schema.get(name) for name in ("properties", "$defs", "definitions"))
    nested = [part for group in named if isinstance(group, dict) for part in group.values()]
    return nested + [schema.get(name) for name in ("items", "anyOf", "allOf")]


def _check_marks(body: Body) -> None:
    found = sum(1 for part in (body, *marks(body)) if part.get("cache_control"))
    if found > _MOST_MARKS:
        raise Refused(f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided. Found {found}.")
