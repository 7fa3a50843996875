"""A chat completion as Anthropic's message. Pure."""

from typing import Any

import orjson

from connectors.gateway.surface import Asking
from schemas.events import Response
from schemas.seals import seal

__all__ = ["NO_SIGNATURE", "blocks", "message", "stop_reason", "usage"]

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
# Anthropic's form wants a signature; reasoning of other vendors has none. Sealed to nobody, it goes to no vendor again.
NO_SIGNATURE = seal("", "nobody")


def message(response: Response, asking: Asking) -> bytes:
    body = orjson.loads(response.body or b"")
    choice = body["choices"][0] if body["choices"] else {"message": {}}
    document = {
        "id": f"msg_{response.request_id}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks(choice["message"]),
        "stop_reason": stop_reason(choice),
        "stop_sequence": None,
        "usage": usage(body.get("usage") or {}),
    }
    return orjson.dumps(document)


def blocks(said: dict[str, Any]) -> list[dict[str, Any]]:
    """What was thought, said and called, in the order that Anthropic has it."""
    content = list(said.get("thinking_blocks") or ())
    if not content and said.get("reasoning_content"):
        content.append({"type": "thinking", "thinking": said["reasoning_content"], "signature": NO_SIGNATURE})
    content += [{"type": "text", "text": said[name]} for name in ("content", "refusal") if said.get(name)]
    for call in said.get("tool_calls") or ():
        function = call.get("function") or {}
        content.append({"type": "tool_use", "id": call["id"], "name": function.get("name"), "input": _input(function)})
    return content


def _input(function: dict[str, Any]) -> dict[str, Any]:
    """Arguments that the limit of tokens cut are no JSON: they stay readable."""
    said = function.get("arguments") or "{}"
    try:
        value = orjson.loads(said)
    except orjson.JSONDecodeError:
        return {"unfinished_arguments": said}
    return value if isinstance(value, dict) else {"arguments": value}


def stop_reason(choice: dict[str, Any]) -> str:
    if choice["message"].get("refusal"):
        return "refusal"
    return _STOP_REASONS.get(choice.get("finish_reason") or "stop", "end_turn")


def usage(said: dict[str, Any]) -> dict[str, Any]:
    """Anthropic counts what came from the cache apart."""
    prompt, completion = said.get("prompt_tokens_details") or {}, said.get("completion_tokens_details") or {}
    read, written = prompt.get("cached_tokens") or 0, prompt.get("cache_write_tokens") or 0
    return {
        "input_tokens": max(0, (said.get("prompt_tokens") or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": said.get("completion_tokens") or 0,
        "output_tokens_details": {"thinking_tokens": completion.get("reasoning_tokens") or 0},
    }
