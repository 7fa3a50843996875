"""From a Messages request to an `Ask`: every check, then the translation."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from connectors.simulator import directives
from connectors.simulator.anthropic import fields, messages, prompts
from connectors.simulator.anthropic.checks import Body, check_knobs, find_model
from connectors.simulator.anthropic.errors import Refused
from connectors.simulator.anthropic.shapes import Shape
from connectors.simulator.ask import Ask, Tool
from connectors.simulator.directives import BadDirective
from connectors.simulator.models import Model, ModelTable
from connectors.simulator.prompt_cache import Block

# What decides nothing about the answer.
_LABELS = frozenset({"stream", "metadata", "service_tier", "inference_geo"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A request, understood: what is asked, the prompt for the cache, and whether the thinking's text is wanted."""

    ask: Ask
    blocks: list[Block]
    shows_thinking: bool


def read(raw: bytes, table: ModelTable, version: str) -> Reading:
    """The request for an answer.

    Raises:
        Refused: What Anthropic refuses, or a directive that nobody knows.
    """
    body = _parsed(raw, fields.CREATE[version])
    model = _checked(body, table, version)
    blocks = prompts.blocks(body)
    ask = _ask(body, model, prompt_tokens=sum(block.tokens for block in blocks))
    if ask.prompt_tokens > model.context_tokens:
        raise Refused(f"prompt is too long: {ask.prompt_tokens} tokens > {model.context_tokens} maximum")
    display = body.get("thinking", {}).get("display")
    return Reading(ask, blocks, model.shows_thinking if display is None else display == "summarized")


def count(raw: bytes, table: ModelTable, version: str) -> tuple[Model, int]:
    """The model and the prompt's tokens, for a request that is only to be counted.

    Raises:
        Refused: What Anthropic refuses.
    """
    body = _parsed(raw, fields.COUNT)
    model = _checked(body, table, version)
    return model, sum(block.tokens for block in prompts.blocks(body))


def _parsed(raw: bytes, shape: Shape) -> Body:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refused("The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise Refused("The request body is not a JSON object.")
    shape(body, "")
    return body


def _checked(body: Body, table: ModelTable, version: str) -> Model:
    model = find_model(body, table)
    check_knobs(body, model)
    budget_thinking = body.get("thinking", {}).get("type") == "enabled"
    messages.check(body["messages"], model, version, budget_thinking=budget_thinking)
    return model


def _ask(body: Body, model: Model, *, prompt_tokens: int) -> Ask:
    said, results = messages.last_user(body["messages"])
    try:
        said, directive = directives.read(said)
    except BadDirective as wrong:
        raise Refused(f"simulator: {wrong}") from wrong
    conversation = _conversation(body)
    choice = body.get("tool_choice", {"type": "auto"})
    wish = body.get("output_config", {}).get("format")
    effort, budget = _thinking(body, model, has_results=bool(results))
    return Ask(
        model=model,
        stream=body.get("stream", False),
        canonical=orjson.dumps({k: v for k, v in body.items() if k not in _LABELS}, option=orjson.OPT_SORT_KEYS),
        conversation=conversation,
        prompt=conversation,
        prompt_tokens=prompt_tokens,
        messages=len(body["messages"]),
        last_user=said,
        results=results,
        directive=directive,
        media=messages.media_of(body["messages"]),
        tools=tuple(_tool(tool) for tool in body.get("tools", ())),
        tool_choice=_CHOICES[choice["type"]],
        forced_tool=choice.get("name", ""),
        parallel_tools=not choice.get("disable_parallel_tool_use", False),
        wants_json=wish is not None,
        schema=wish["schema"] if wish else None,
        max_tokens=body["max_tokens"],
        stop=tuple(body.get("stop_sequences", ())),
        effort=effort,
        system=messages.text_of(body.get("system", "")),
        thinking_budget=budget,
    )


_CHOICES: dict[str, Literal["auto", "none", "required"]] = {
    "auto": "auto",
    "none": "none",
    "any": "required",
    "tool": "required",
}


def _tool(tool: dict[str, Any]) -> Tool:
    return Tool(tool["name"], tool.get("description", ""), tool["input_schema"])


def _conversation(body: Body) -> bytes:
    """The messages as OpenAI would have them where that is simple: one conversation, whichever vendor it is tried on."""
    said = [{"role": "system", "content": messages.text_of(body["system"])}] if body.get("system") else []
    return orjson.dumps(
        [*said, *({**message, "content": _simplest(message["content"])} for message in body["messages"])]
    )


def _simplest(content: Any) -> Any:
    match content:
        case [{"type": "text", "text": str(text)}]:
            return text
        case _:
            return content


class _Thinking(NamedTuple):
    effort: str
    budget: int | None


def _thinking(body: Body, model: Model, *, has_results: bool) -> _Thinking:
    """How much the model thinks: what is asked for, else what the model does unasked."""
    kind = body.get("thinking", {}).get("type", "disabled" if model.thinking_off == "disabled" else "adaptive")
    effort = body.get("output_config", {}).get("effort") or model.default_effort
    match kind:
        case "enabled":  # once a turn: without interleaved thinking, tool results are answered unthinkingly
            return _Thinking("high", 0 if has_results else body["thinking"]["budget_tokens"])
        case "adaptive":
            return _Thinking(effort, None)
        case "between_tools":
            return _Thinking(effort, None if has_results else 0)
        case _:
            return _Thinking("none", 0)
