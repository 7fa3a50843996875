"""From a `generateContent` request to an `Ask`: every check, then the translation."""

from typing import Any

import orjson

from connectors.simulator import directives, tokens
from connectors.simulator.ask import Ask, Schema
from connectors.simulator.directives import BadDirective
from connectors.simulator.gemini import checks, contents, tools, turns
from connectors.simulator.gemini.errors import Refused
from connectors.simulator.gemini.fields import parse
from connectors.simulator.gemini.messages import COUNT, GENERATE
from connectors.simulator.gemini.models import GeminiModel

Body = dict[str, Any]

# Labels for the caller's own use decide nothing about the answer.
_LABELS = frozenset({"labels", "store", "serviceTier"})
# The largest budget that an effort fits: its reasoning then takes no more than it may (table 4.1).
_EFFORT_OF_BUDGET = ((0, "none"), (512, "minimal"), (1_024, "low"), (8_192, "medium"))


def read(raw: bytes, model: GeminiModel, *, stream: bool) -> tuple[Ask, Body]:
    """The request, understood; the body comes along for what only concerns the wire.

    Raises:
        Refused: What Gemini refuses, or a directive that nobody knows.
    """
    body = parse(raw, GENERATE)
    _check(body, model)
    ask = _ask(body, model, stream=stream)
    if ask.prompt_tokens > model.context_tokens:
        message = (
            f"The input token count ({ask.prompt_tokens}) exceeds the maximum number of tokens allowed "
            f"({model.context_tokens})."
        )
        raise Refused(message)
    return ask, body


def count(raw: bytes) -> int:
    """The tokens that `countTokens` tells: those that the same contents cost as a prompt.

    Raises:
        Refused: What Gemini refuses.
    """
    body = parse(raw, COUNT)
    if "generateContentRequest" in body and "contents" in body:
        raise Refused("Only one of contents and generate_content_request can be set.")
    body = body.get("generateContentRequest", body)
    contents.check(body)
    return _prompt_tokens(body)


def _check(body: Body, model: GeminiModel) -> None:
    contents.check(body)
    turns.check(body["contents"], model)
    config = body.get("generationConfig", {})
    checks.check(config, model)
    if "cachedContent" in body:
        raise Refused("CachedContent not found (or permission denied)", status=403)
    wants_json = config.get("responseMimeType") == "application/json"
    if wants_json and body.get("tools") and not model.mixes_json_and_tools:
        raise Refused("Function calling with a response mime type: 'application/json' is unsupported")


def _ask(body: Body, model: GeminiModel, *, stream: bool) -> Ask:
    config = body.get("generationConfig", {})
    said, results = contents.last_user(body["contents"])
    try:
        said, directive = directives.read(said)
    except BadDirective as wrong:
        raise Refused(f"simulator: {wrong}") from wrong
    chosen = tools.read(body)
    conversation = orjson.dumps(body["contents"])
    effort, budget = _effort(config.get("thinkingConfig", {}), model)
    return Ask(
        model=model,
        stream=stream,
        canonical=orjson.dumps({k: v for k, v in body.items() if k not in _LABELS}, option=orjson.OPT_SORT_KEYS),
        conversation=conversation,
        prompt=_definitions(body).encode() + orjson.dumps(body.get("systemInstruction")) + conversation,
        prompt_tokens=_prompt_tokens(body),
        messages=len(body["contents"]),
        last_user=said,
        results=results,
        directive=directive,
        media=contents.media_of(body["contents"]),
        tools=chosen.tools,
        tool_choice=chosen.choice,
        forced_tool=chosen.forced,
        wants_json=config.get("responseMimeType") == "application/json",
        schema=_schema(config),
        max_tokens=config.get("maxOutputTokens"),
        stop=tuple(config.get("stopSequences", ())),
        choices=config.get("candidateCount", 1),
        effort=effort,
        system=contents.text_of(body["systemInstruction"]) if "systemInstruction" in body else "",
        thinking_budget=budget,
    )


def _prompt_tokens(body: Body) -> int:
    spoken = [*([body["systemInstruction"]] if "systemInstruction" in body else []), *body["contents"]]
    seen = len(contents.media_of(body["contents"])) * contents.MEDIA_TOKENS
    return tokens.of_messages([contents.text_of(one) for one in spoken], _definitions(body)) + seen


def _definitions(body: Body) -> str:
    """Tools and schemas as they are shown to the model."""
    config = body.get("generationConfig", {})
    shown = [part[name] for part, name in ((body, "tools"), *((config, name) for name in _SCHEMAS)) if name in part]
    return orjson.dumps(shown).decode() if shown else ""


_SCHEMAS = ("responseSchema", "responseJsonSchema")


def _schema(config: Body) -> Schema | None:
    if "responseSchema" in config:
        tools.check_schema(config["responseSchema"], "* GenerateContentRequest.generation_config.response_schema")
        return tools.schema_of(config["responseSchema"])
    schema: Schema | None = config.get("responseJsonSchema")
    return schema


def _effort(thinking: Body, model: GeminiModel) -> tuple[str, int | None]:
    """How hard the model thinks, and the most tokens that it may spend on it."""
    budget = thinking.get("thinkingBudget", -1)
    if budget >= 0:
        return next((name for most, name in _EFFORT_OF_BUDGET if budget <= most), "high"), budget
    return thinking.get("thinkingLevel", model.default_effort).lower(), None
