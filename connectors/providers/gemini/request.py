"""Writes a chat completions request for Gemini's generateContent.

1. Parameters follow the model's flags (`knobs`); what Gemini has no word for is named in `dropped`.
2. The conversation is read into turns and parts, then written as `contents`.
3. What has no parameter is said in notes after the system prompt.

A conversation of system messages alone has no contents, which the API refuses: the prompt is then what the user says.
Sources: ai.google.dev/api/generate-content, provider_contracts.md section 4.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from connectors.providers.adapter import ProviderCall, WireRequest
from connectors.providers.conversation import UnmappableError, read_conversation, unmappable
from connectors.providers.gemini.contents import is_third_generation, write_contents
from connectors.providers.gemini.thinking import thinking_config, thinking_wish, thinks
from connectors.providers.gemini.tools import forced_note, tools_fields, untaken
from connectors.providers.knobs import EFFORTS, Knobs, fit, leave_out
from connectors.providers.notes import JSON_ONLY, json_schema
from schemas.errors import ErrorKind, ProviderError

__all__ = ["model_name", "owner_of", "to_wire"]

_NAMES: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_SPELLS = frozenset({*_NAMES, "seed", "stop", "n", "logprobs", "top_logprobs"})
_MOST_STOPS: Final = 5


def model_name(call: ProviderCall) -> str:
    """Google lists its models as `models/x`."""
    return call.upstream.removeprefix("models/")


def owner_of(call: ProviderCall) -> str:
    """Whose signatures these are."""
    return f"gemini/{call.upstream}"


def to_wire(call: ProviderCall) -> WireRequest | ProviderError:
    knobs = _knobs(call)
    if isinstance(knobs, ProviderError):
        return knobs
    try:
        for name in _untaken(call, knobs):
            if (refused := leave_out(name, knobs, call)) is not None:
                return refused
        body = _body(call, knobs)
    except UnmappableError as flaw:
        return unmappable(flaw)
    action, accept = "generateContent", "application/json"
    if call.stream:
        action, accept = "streamGenerateContent?alt=sse", "text/event-stream"
    headers = {"content-type": "application/json", "accept": accept}
    return WireRequest(
        "POST", f"/v1beta/models/{model_name(call)}:{action}", headers, body, tuple(knobs.dropped), call.stream
    )


def _knobs(call: ProviderCall) -> Knobs | ProviderError:
    """Efforts are mapped to levels and budgets here, so an empty `efforts` says nothing about a model that thinks."""
    flags, spells = dict(call.flags), set(_SPELLS)
    if thinks(flags):
        spells.add("reasoning_effort")
        if not flags.get("efforts"):
            flags["efforts"] = None
    if call.body.get("parallel_tool_calls") is not False:
        spells.add("parallel_tool_calls")  # it is what Gemini does by itself; for false the answer is cut instead
    knobs = fit(replace(call, flags=flags), spells=spells)
    if not isinstance(knobs, ProviderError) and len(knobs.stop) > _MOST_STOPS:
        message = f"this model takes at most {_MOST_STOPS} `stop` sequences"
        return ProviderError(ErrorKind.INVALID_REQUEST, code="unsupported_parameter", message=message)
    return knobs


def _untaken(call: ProviderCall, knobs: Knobs) -> Iterator[str]:
    if call.body.get("functions"):
        raise UnmappableError("functions", "functions are written as `tools`")
    yield from untaken(call)
    if knobs.effort is not None and knobs.effort not in EFFORTS:
        yield "reasoning_effort"
    wish = thinking_wish(call)
    if call.body.get("thinking") and (not wish or (not thinks(call.flags) and wish["type"] != "disabled")):
        yield "thinking"


def _body(call: ProviderCall, knobs: Knobs) -> dict[str, Any]:
    messages = call.body.get("messages") or ()
    inputs = call.flags.get("inputs") or ("text",)
    conversation = read_conversation(messages, owner=owner_of(call) if call.keep_state else None, inputs=inputs)
    format_, notes = _format(call)
    system = [{"text": text} for text in (*(part.text for part in conversation.system), *notes)]
    contents = write_contents(conversation, call.flags)
    if not contents:
        contents, system = [{"role": "user", "parts": system}], []
    _check_ends(contents, call)
    config = _config(call, knobs) | format_
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    body |= tools_fields(call)
    return body | {"generationConfig": config} if config else body


def _check_ends(contents: list[dict[str, Any]], call: ProviderCall) -> None:
    if not contents[0]["parts"]:
        raise UnmappableError("messages", "hold no content")
    if contents[-1]["role"] == "model" and call.flags.get("prefill") is False:
        last = len(call.body["messages"]) - 1
        raise UnmappableError(f"messages.{last}", "this model does not go on with an answer that others began")


def _config(call: ProviderCall, knobs: Knobs) -> dict[str, Any]:
    values = knobs.values
    config = {ours: values[name] for name, ours in _NAMES.items() if name in values}
    if "seed" in values:
        config["seed"] = values["seed"] & 0x7FFF_FFFF  # they take 32 bits, OpenAI 64: still one seed, one answer
    if knobs.stop:
        config["stopSequences"] = knobs.stop
    if (values.get("n") or 1) > 1:
        config["candidateCount"] = values["n"]
    if values.get("logprobs"):
        config["responseLogprobs"] = True
        config |= {"logprobs": values["top_logprobs"]} if "top_logprobs" in values else {}
    if (limit := _limit(call)) is not None:
        config["maxOutputTokens"] = limit
    if thinking := thinking_config(call, knobs.effort):
        config["thinkingConfig"] = thinking
    return config


def _limit(call: ProviderCall) -> int | None:
    asked = (call.max_tokens, call.body.get("max_completion_tokens"), call.body.get("max_tokens"))
    return next((limit for limit in asked if limit is not None), None)


def _format(call: ProviderCall) -> tuple[dict[str, Any], list[str]]:
    """JSON as `generationConfig` says it, and the notes: 2.5 refuses tools with a JSON answer, some know no schema."""
    forced = forced_note(call)
    notes = [forced] if forced is not None else []
    wanted = call.body.get("response_format") or {}
    if wanted.get("type") not in {"json_object", "json_schema"}:
        return {}, notes
    schema = (wanted.get("json_schema") or {}).get("schema")
    said = {"responseMimeType": "application/json"}
    if call.body.get("tools") and not is_third_generation(call.flags):
        return {}, [*notes, JSON_ONLY if schema is None else json_schema(schema)]
    if schema is None:
        return said, notes
    if call.flags.get("json_schema") is False:
        return said, [*notes, json_schema(schema)]
    return {**said, "responseJsonSchema": schema}, notes
