"""Top-level fields of the Responses API, and which of them a model does not take."""

from collections.abc import Mapping
from typing import Any

from connectors.simulator.models import Model
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import (
    ARRAY,
    BOOLEAN,
    OBJECT,
    STRING,
    Body,
    Kind,
    decimal,
    integer,
    wrong_type,
)
from connectors.simulator.openai.items import check_fields, invalid_value

FIELDS: Mapping[str, Kind] = {
    "model": STRING,
    "input": Kind((str, list), "one of an array of objects or string"),
    "background": BOOLEAN,
    "include": ARRAY,
    "instructions": STRING,
    "max_output_tokens": integer(16),
    "max_tool_calls": integer(1),
    "metadata": OBJECT,
    "parallel_tool_calls": BOOLEAN,
    "previous_response_id": STRING,
    "prompt_cache_key": STRING,
    "prompt_cache_retention": STRING,
    "reasoning": OBJECT,
    "safety_identifier": STRING,
    "service_tier": STRING,
    "store": BOOLEAN,
    "stream": BOOLEAN,
    "stream_options": OBJECT,
    "temperature": decimal(0, 2),
    "text": OBJECT,
    "tool_choice": Kind((str, dict), "one of a string or an object"),
    "tools": ARRAY,
    "top_logprobs": integer(0, 20),
    "top_p": decimal(0, 1),
    "truncation": STRING,
    "user": STRING,
}
# Chat's names for what is said elsewhere here; `stop`, `n`, `seed` and others are simply unknown.
MOVED: Mapping[str, str] = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"
_INCLUDES = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    ENCRYPTED,
    LOGPROBS,
)
_SUMMARIES = ("auto", "concise", "detailed")
_WORDS: Mapping[str, tuple[str, ...]] = {
    "service_tier": ("auto", "default", "flex", "scale", "priority"),
    "truncation": ("auto", "disabled"),
}
_MOST_LABELS = 16


def effort_of(body: Body, model: Model) -> str:
    return str(body.get("reasoning", {}).get("effort") or model.default_effort)


def check_knobs(body: Body, model: Model) -> None:
    """Values of closed lists, then knobs against the model's flags.

    Raises:
        Refused: A word that the API does not know, or a knob that the model does not take.
    """
    for name, words in _WORDS.items():
        if body.get(name, words[0]) not in words:
            raise invalid_value(name, body[name], words)
    for position, wish in enumerate(body.get("include", ())):
        if wish not in _INCLUDES:
            raise invalid_value(f"include[{position}]", wish, _INCLUDES)
    check_fields(body.get("text", {}), {"format", "verbosity"}, "text")
    _check_stored(body)
    _check_labels(body)
    _check_reasoning(body, model)
    _check_sampling(body, model)
    _check_limit(body, model)


def _check_stored(body: Body) -> None:
    previous = body.get("previous_response_id")
    if previous is not None and not previous.startswith("resp"):
        message = f"Invalid 'previous_response_id': '{previous}'. Expected an ID that begins with 'resp'."
        raise Refused(message, param="previous_response_id", code="invalid_value")
    if previous is not None:
        message = f"Previous response with id '{previous}' not found."
        raise Refused(message, param="previous_response_id", code="previous_response_not_found")
    if body.get("background"):
        raise Refused("simulator: background responses are not played.", param="background")


def _check_labels(body: Body) -> None:
    labels = body.get("metadata", {})
    if len(labels) > _MOST_LABELS:
        message = (
            f"Invalid 'metadata': too many properties. Expected an object with at most {_MOST_LABELS} properties, "
            f"but got an object with {len(labels)} properties instead."
        )
        raise Refused(message, param="metadata", code="object_above_max_properties")
    for name, value in labels.items():
        if not isinstance(value, str):
            raise wrong_type(f"metadata.{name}", value, "a string")


def _check_reasoning(body: Body, model: Model) -> None:
    wish = {name: value for name, value in body.get("reasoning", {}).items() if value is not None}
    check_fields(wish, {"effort", "summary"}, "reasoning")
    if not model.reasons:
        for name in wish:
            raise _unsupported(f"reasoning.{name}")
        if ENCRYPTED in body.get("include", ()):
            raise Refused("Encrypted content is not supported with this model.", param="include")
        return
    if wish.get("summary", "auto") not in _SUMMARIES:
        raise invalid_value("reasoning.summary", wish["summary"], _SUMMARIES)
    supported = (*model.efforts, *model.responses_efforts)
    if "effort" in wish and wish["effort"] not in supported:
        raise _unsupported_effort(wish["effort"], model, supported)


def _unsupported_effort(effort: Any, model: Model, supported: tuple[str, ...]) -> Refused:
    *others, last = (f"'{name}'" for name in supported)
    message = (
        f"Unsupported value: '{effort}' is not supported with the '{model.name}' model. "
        f"Supported values are: {', '.join(others)}, and {last}."
    )
    return Refused(message, param="reasoning.effort", code="unsupported_value")


def _check_sampling(body: Body, model: Model) -> None:
    thinks = effort_of(body, model) != "none"
    if model.sampling == "yes" or (model.sampling == "if_effort_none" and not thinks):
        return
    for name, default in (("temperature", 1), ("top_p", 1), ("top_logprobs", 0)):
        if body.get(name, default) != default:
            raise _unsupported(name)
    if LOGPROBS in body.get("include", ()):
        raise Refused("logprobs are not supported with reasoning models.", param="include")


def _unsupported(name: str) -> Refused:
    return Refused(f"Unsupported parameter: '{name}' is not supported with this model.", param=name)


def _check_limit(body: Body, model: Model) -> None:
    wanted, most = body.get("max_output_tokens", 0), model.max_output_tokens
    if wanted > most:
        message = (
            f"Invalid 'max_output_tokens': integer above maximum value. Expected a value <= {most}, "
            f"but got {wanted} instead."
        )
        raise Refused(message, param="max_output_tokens", code="integer_above_max_value")
