"""What a compatible server refuses, and the request as an `Ask`."""

from dataclasses import dataclass, replace
from typing import Any

from connectors.simulator.ask import Ask
from connectors.simulator.compatible import quirks
from connectors.simulator.compatible.errors import Unprocessable
from connectors.simulator.models import Model, ModelTable
from connectors.simulator.openai import messages, requests
from connectors.simulator.openai.checks import CHAT_FIELDS
from connectors.simulator.openai.errors import Refused
from connectors.simulator.openai.fields import Body, check_field, json_object

# OpenAI's account features, audio and hosted search are missing: strict servers refuse what they do not know.
_FIELDS = (
    "model",
    "messages",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
)
_ROLES = frozenset({"system", "user", "assistant", "tool"})
_PARTS = {"user": frozenset({"text", "image_url", "input_audio"})}
_TEXT_PARTS = frozenset({"text", "refusal"})
_THINKING_EFFORTS = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Understood:
    """A request and how its answer shall be odd."""

    ask: Ask
    body: Body
    quirks: frozenset[str]


def read(raw: bytes, table: ModelTable) -> Understood:
    """The request, understood.

    Raises:
        Refused: What the server refuses, a quirk or a directive that nobody knows.
    """
    body = _parse(raw)
    model, named = find_model(body["model"], table)
    if model.dimensions:
        raise Refused("The model does not support Chat Completions API")
    for position, message in enumerate(body["messages"]):
        _check_message(message, position)
    messages.check_pairing(body["messages"])
    ask = requests.understood(body, model, **requests.checked_parts(body))
    odd = named | quirks.parse(ask.directive.quirk)
    ask = _thinking(ask, body) if "reasoning" in odd or ask.directive.reasoning_tokens is not None else ask
    _check_context(ask)
    return Understood(ask, body, odd)


def find_model(name: str, table: ModelTable) -> tuple[Model, frozenset[str]]:
    """The model, under the name that it was asked for, and the quirks at the end of that name.

    Raises:
        Refused: 404 for a model that is not served; 400 for a quirk that nobody knows.
    """
    base, _, named = name.partition("@")
    model = table.get(base)
    if model is None:
        raise Refused(f"The model `{name}` does not exist.", status=404)
    return replace(model, snapshot=name), quirks.parse(named)


def _parse(raw: bytes) -> Body:
    given = json_object(raw)
    for name in sorted(given.keys() - set(_FIELDS)):
        raise Unprocessable("extra_forbidden", (name,), "Extra inputs are not permitted", given[name])
    body = {name: value for name, value in given.items() if value is not None}
    for name in ("model", "messages"):
        if name not in body:
            raise Unprocessable("missing", (name,), "Field required", given)
    for name, value in body.items():
        check_field(name, value, CHAT_FIELDS[name])
    body.pop("max_completion_tokens", None)  # known by name only
    if "tools" not in body:
        body.pop("parallel_tool_calls", None)
    return body


def _check_message(message: Any, position: int) -> None:
    where: tuple[str | int, ...] = ("messages", position)
    if not isinstance(message, dict):
        raise Unprocessable("dict_type", where, "Input should be a valid dictionary", message)
    role = message.get("role")
    if role not in _ROLES:
        raise Refused("Unexpected message role.")
    if "tool_calls" in message:
        if not isinstance(message["tool_calls"], list):
            given = message["tool_calls"]
            raise Unprocessable("list_type", (*where, "tool_calls"), "Input should be a valid list", given)
        messages.check_calls(message["tool_calls"], f"messages[{position}].tool_calls")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise Unprocessable("missing", (*where, "tool_call_id"), "Field required", message)
    _check_content(message, role, (*where, "content"))


def _check_content(message: messages.Message, role: str, where: tuple[str | int, ...]) -> None:
    content = message.get("content")
    if isinstance(content, str) or (content is None and role == "assistant" and message.get("tool_calls")):
        return
    if not isinstance(content, list):
        raise Unprocessable("string_type", where, "Input should be a valid string", content)
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _PARTS.get(role, _TEXT_PARTS) or part.get(kind) is None:
            raise Refused(f"Unknown part type: {kind}")


def _thinking(ask: Ask, body: Body) -> Ask:
    """The same asked of a model that thinks aloud."""
    effort = body.get("reasoning_effort", "low")
    return replace(ask, model=replace(ask.model, efforts=_THINKING_EFFORTS), effort=effort)


def _check_context(ask: Ask) -> None:
    """What may be answered counts too, as in vLLM."""
    limit, room = ask.model.context_tokens, ask.max_tokens or 0
    if ask.prompt_tokens + room > limit:
        message = (
            f"This model's maximum context length is {limit} tokens. However, you requested "
            f"{ask.prompt_tokens + room} tokens ({ask.prompt_tokens} in the messages, {room} in the completion). "
            "Please reduce the length of the messages or completion."
        )
        raise Refused(message)
