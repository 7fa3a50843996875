"""What OpenAI refuses in the top-level fields of a request: names, types, ranges, and knobs that a model does not have.

Every refusal has the vendor's wording, `param` and `code`, so that error mapping is tested on the real thing.
"""

from collections.abc import Mapping
from typing import Any

from connectors.simulator.models import Model, ModelTable
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import (
    ARRAY,
    BOOLEAN,
    OBJECT,
    STRING,
    Body,
    Kind,
    check_field,
    decimal,
    integer,
    json_object,
    wrong_type,
)

CHAT_FIELDS: Mapping[str, Kind] = {
    "model": STRING,
    "messages": ARRAY,
    "audio": OBJECT,
    "frequency_penalty": decimal(-2, 2),
    "logit_bias": OBJECT,
    "logprobs": BOOLEAN,
    "max_completion_tokens": integer(1),
    "max_tokens": integer(1),
    "metadata": OBJECT,
    "modalities": ARRAY,
    "n": integer(1, 128),
    "parallel_tool_calls": BOOLEAN,
    "prediction": OBJECT,
    "presence_penalty": decimal(-2, 2),
    "prompt_cache_key": STRING,
    "prompt_cache_retention": STRING,
    "reasoning_effort": STRING,
    "response_format": OBJECT,
    "safety_identifier": STRING,
    "seed": integer(),
    "service_tier": STRING,
    "stop": Kind((str, list), "a string or an array of strings"),
    "store": BOOLEAN,
    "stream": BOOLEAN,
    "stream_options": OBJECT,
    "temperature": decimal(0, 2),
    "tool_choice": Kind((str, dict), "one of a string or an object"),
    "tools": ARRAY,
    "top_logprobs": integer(0, 20),
    "top_p": decimal(0, 1),
    "user": STRING,
    "verbosity": STRING,
    "web_search_options": OBJECT,
}
EMBEDDING_FIELDS: Mapping[str, Kind] = {
    "model": STRING,
    "input": Kind((str, list), "a string or an array"),
    "dimensions": integer(1),
    "encoding_format": STRING,
    "user": STRING,
}
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias")
_DEFAULTS: Mapping[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
}


def parse(raw: bytes, fields: Mapping[str, Kind]) -> Body:
    """The body as an object with known fields of the right types; nulls are left out, as the API takes them.

    Raises:
        Refused: Anything else.
    """
    body = json_object(raw)
    if unknown := sorted(body.keys() - fields.keys()):
        plural = "s" if len(unknown) > 1 else ""
        raise Refused(f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")
    body = {name: value for name, value in body.items() if value is not None}
    if "model" not in body:
        raise Refused("you must provide a model parameter")
    for name, value in body.items():
        check_field(name, value, fields[name])
    return body


def find_model(body: Body, table: ModelTable, *, embeddings: bool | None = False) -> Model:
    """The model that the body names: one that chats, one that embeds, or (None) any.

    Raises:
        Refused: 404 `model_not_found`; 403 for an embedding model asked to chat, and the reverse.
    """
    model = table.get(body["model"])
    if model is None:
        message = f"The model `{body['model']}` does not exist or you do not have access to it."
        raise Refused(message, code="model_not_found", status=404)
    if embeddings not in {None, bool(model.dimensions)}:
        raise Refused("You are not allowed to use this model with this endpoint.", status=403)
    return model


def check_knobs(body: Body, model: Model) -> None:
    """Knobs against the model's flags and against each other.

    Raises:
        Refused: A knob that the model does not take, or a pair that excludes each other.
    """
    _check_effort(body, model)
    _check_sampling(body, model)
    _check_max_tokens(body, model)
    _check_stop(body, model)
    if "stream_options" in body and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refused(message, param="stream_options")
    if "top_logprobs" in body and not body.get("logprobs"):
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise Refused(message, param="top_logprobs")


def _check_effort(body: Body, model: Model) -> None:
    effort = body.get("reasoning_effort", model.default_effort)
    if "reasoning_effort" in body and not model.reasons:
        raise Refused("Unrecognized request argument supplied: reasoning_effort")
    if model.reasons and effort not in model.efforts:
        options = ", ".join(f"'{name}'" for name in model.efforts)
        message = (
            f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model. "
            f"Supported values are: {options}."
        )
        raise Refused(message, param="reasoning_effort", code="unsupported_value")
    if model.tools_need_effort_none and body.get("tools") and effort != "none":
        message = (
            f"Function tools with reasoning_effort are not supported for {model.name} in /v1/chat/completions. "
            "Please use /v1/responses instead."
        )
        raise Refused(message, param="reasoning_effort")


def _check_sampling(body: Body, model: Model) -> None:
    thinks = body.get("reasoning_effort", model.default_effort) != "none"
    if model.sampling == "yes" or (model.sampling == "if_effort_none" and not thinks):
        return
    for name in _SAMPLING:
        if name not in body or body[name] == _DEFAULTS.get(name):
            continue
        if name == "temperature":
            message = (
                f"Unsupported value: 'temperature' does not support {body[name]} with this model. "
                "Only the default (1) value is supported."
            )
            raise Refused(message, param=name, code="unsupported_value")
        message = f"Unsupported parameter: '{name}' is not supported with this model."
        raise Refused(message, param=name, code="unsupported_parameter")


def _check_max_tokens(body: Body, model: Model) -> None:
    if "max_tokens" in body and model.reasons:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        raise Refused(message, param="max_tokens", code="unsupported_parameter")
    if "max_tokens" in body and "max_completion_tokens" in body:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Refused(message, code="invalid_parameter_combination")
    for name in ("max_tokens", "max_completion_tokens"):
        if body.get(name, 0) > model.max_output_tokens:
            message = (
                f"max_tokens is too large: {body[name]}. This model supports at most {model.max_output_tokens} "
                f"completion tokens, whereas you provided {body[name]}."
            )
            raise Refused(message, param=name, code="invalid_value")


def _check_stop(body: Body, model: Model) -> None:
    stop = body.get("stop")
    if stop is None:
        return
    if not model.takes_stop:
        message = "Unsupported parameter: 'stop' is not supported with this model."
        raise Refused(message, param="stop", code="unsupported_parameter")
    if isinstance(stop, list):
        if len(stop) > 4:
            message = (
                "Invalid 'stop': array too long. Expected an array with maximum length 4, "
                f"but got an array with length {len(stop)} instead."
            )
            raise Refused(message, param="stop", code="array_above_max_length")
        for position, text in enumerate(stop):
            if not isinstance(text, str):
                raise wrong_type(f"stop[{position}]", text, "a string")
