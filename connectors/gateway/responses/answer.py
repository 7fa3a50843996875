"""A chat completion as a response object. Pure.

Source: platform.openai.com/docs/api-reference/responses/object
"""

from collections.abc import Mapping
from typing import Any

import orjson

from connectors.gateway.problems import Problem
from connectors.gateway.responses.output import INCOMPLETE, Output
from connectors.gateway.surface import Asking
from schemas.events import Response

__all__ = ["answer", "begun", "ended", "failed", "first_choice", "repeated"]

# What a response repeats of its request, and what stands there where nothing was said.
_REPEATED: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "auto",
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def repeated(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the answer will repeat of a body without nulls; parts of `reasoning` and `text` may be left out too."""
    echo = {name: said.get(name, usual) for name, usual in _REPEATED.items()}
    for name in ("reasoning", "text"):
        echo[name] = _REPEATED[name] | {inner: value for inner, value in echo[name].items() if value is not None}
    return echo


def answer(response: Response, asking: Asking) -> bytes:
    body = orjson.loads(response.body or b"")
    choice, output = first_choice(body), Output(response.request_id)
    output.piece(choice["message"])
    output.end(choice)
    head = begun(response.request_id, body["model"], body["created"], asking.echo)
    return orjson.dumps(ended(head, body, response, output.items))


def first_choice(body: dict[str, Any]) -> dict[str, Any]:
    choice: dict[str, Any] = body["choices"][0] if body["choices"] else {"message": {}}
    return choice


def begun(request_id: str, model: str, created: int, echo: Mapping[str, Any]) -> dict[str, Any]:
    """A response under way; `created` in epoch seconds."""
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": created,
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "usage": None,
        **echo,
    }


def ended(
    head: dict[str, Any], body: dict[str, Any], response: Response, output: list[dict[str, Any]]
) -> dict[str, Any]:
    """The whole response; the tier is the one that answered, if its vendor said so."""
    reason = INCOMPLETE.get(first_choice(body).get("finish_reason") or "")
    usage = body.get("usage") or (response.usage.to_openai() if response.usage is not None else {})
    return {
        **head,
        "completed_at": None if reason else response.finished_at // 1000,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "model": body["model"],
        "output": output,
        "usage": _usage(usage),
        "service_tier": body.get("service_tier") or head["service_tier"],
    }


def failed(head: dict[str, Any], problem: Problem, output: list[dict[str, Any]]) -> dict[str, Any]:
    """A response that broke off; its `output` is what was sent of it."""
    error = {"code": problem.code, "message": problem.message}
    return {**head, "status": "failed", "error": error, "output": output}


def _usage(said: Mapping[str, Any]) -> dict[str, Any]:
    prompt, completion = said.get("prompt_tokens_details") or {}, said.get("completion_tokens_details") or {}
    taken, given = said.get("prompt_tokens") or 0, said.get("completion_tokens") or 0
    return {
        "input_tokens": taken,
        "input_tokens_details": {
            "cached_tokens": prompt.get("cached_tokens") or 0,
            "cache_write_tokens": prompt.get("cache_write_tokens") or 0,
        },
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": completion.get("reasoning_tokens") or 0},
        "total_tokens": taken + given,
    }
