"""What Gemini refuses in `generationConfig`: ranges, and knobs that a model does not have."""

from collections.abc import Mapping
from typing import Any

from connectors.simulator.gemini.errors import Refused
from connectors.simulator.gemini.models import GeminiModel

Config = Mapping[str, Any]

_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "topP": (0, 1),
    "topK": (1, 1_000_000),
    "presencePenalty": (-2, 2),
    "frequencyPenalty": (-2, 2),
    "logprobs": (0, 20),
}
_SAMPLING = ("temperature", "topP", "topK", "presencePenalty", "frequencyPenalty")
_MIME_TYPES = ("text/plain", "application/json")
_MOST_STOPS = 5
_DYNAMIC = -1  # thinkingBudget: the model decides


def check(config: Config, model: GeminiModel) -> None:
    """All knobs against the model and against each other.

    Raises:
        Refused: The first mistake.
    """
    for name, (low, high) in _RANGES.items():
        if name in config and not low <= config[name] <= high:
            raise Refused(f"* GenerateContentRequest.generation_config.{name}: must be in the range [{low}, {high}].\n")
    for name in _SAMPLING if model.sampling == "no" else ():
        if name in config:
            raise Refused(f"`{name}` is not supported for this model.")
    _check_thinking(config.get("thinkingConfig", {}), model)
    _check_amounts(config, model)
    _check_stops(config.get("stopSequences", ()))
    _check_logprobs(config, model)
    _check_format(config)


def _check_thinking(thinking: Config, model: GeminiModel) -> None:
    budget, level = thinking.get("thinkingBudget"), thinking.get("thinkingLevel")
    if budget is not None and level is not None:
        raise Refused("You can only set only one of thinking budget and thinking level.")
    if level is not None and not model.takes_level:
        raise Refused("Thinking level is not supported for this model.")
    if level is not None and level.lower() not in model.efforts:
        message = f"Thinking level {level} is not supported for this model. Please retry with other thinking level."
        raise Refused(message)
    if budget is not None:
        _check_budget(budget, model)


def _check_budget(budget: int, model: GeminiModel) -> None:
    if model.budgets is None:
        raise Refused("Thinking budget is not supported for this model.")
    low, high = model.budgets
    if budget == 0 and low > 0:
        raise Refused("Budget 0 is invalid. This model only works in thinking mode.")
    if budget != _DYNAMIC and not low <= budget <= high:
        message = f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}."
        raise Refused(message)


def _check_amounts(config: Config, model: GeminiModel) -> None:
    count = config.get("candidateCount", 1)
    if count > 1 and model.most_choices == 1:
        raise Refused("Multiple candidates is not enabled for this model")
    if not 1 <= count <= model.most_choices:
        message = f"Candidate count must be in the range [1, {model.most_choices}], but got {count}."
        raise Refused(f"* GenerateContentRequest.generation_config.candidate_count: {message}\n")
    limit = config.get("maxOutputTokens", 1)
    if not 1 <= limit <= model.max_output_tokens:
        message = (
            f"Unable to submit request because it has a maxOutputTokens value of {limit} but the supported range is "
            f"from 1 (inclusive) to {model.max_output_tokens + 1} (exclusive). Update the value and try again."
        )
        raise Refused(message)


def _check_stops(stops: list[str]) -> None:
    path = "* GenerateContentRequest.generation_config.stop_sequences"
    if len(stops) > _MOST_STOPS:
        raise Refused(f"{path}: The number of stop sequences must be at most {_MOST_STOPS}, but got {len(stops)}.\n")
    if "" in stops:
        raise Refused(f"{path}: Stop sequences must not be empty.\n")


def _check_logprobs(config: Config, model: GeminiModel) -> None:
    wished = config.get("responseLogprobs", False)
    if "logprobs" in config and not wished:
        raise Refused("logprobs is only supported when response_logprobs is set to true.")
    if wished and not model.takes_logprobs:
        raise Refused(f"Logprobs is not enabled for models/{model.name}")


def _check_format(config: Config) -> None:
    kind = config.get("responseMimeType", "text/plain")
    if kind not in _MIME_TYPES:
        message = f"allowed mimetypes are {', '.join(f'`{name}`' for name in _MIME_TYPES)}."
        raise Refused(f"* GenerateContentRequest.generation_config.response_mime_type: {message}\n")
    schemas = [name for name in ("responseSchema", "responseJsonSchema") if name in config]
    if len(schemas) > 1:
        raise Refused("You can only set one of response_schema and response_json_schema.")
    if schemas and kind == "text/plain":
        raise Refused(f"`{schemas[0]}` requires `responseMimeType` to be application/json.")
    if not isinstance(config.get("responseJsonSchema", {}), dict):
        raise Refused("* GenerateContentRequest.generation_config.response_json_schema: must be an object.\n")
