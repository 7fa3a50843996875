"""Bodies -> messages of a training file: only fields that the format knows, text only, redacted.

Images, sounds and files hold personal data that no rule finds: a conversation with one is left out (None), never cut.
Ids of tool calls are numbered anew, for a vendor's may hold state (`schemas.seals`).
Format: https://platform.openai.com/docs/guides/supervised-fine-tuning (messages, tools, parallel_tool_calls).
"""

from collections.abc import Mapping
from typing import Any

import orjson

from pipeline.core.redaction import Redactor

__all__ = ["Cleaner", "answer_of", "last_question", "parsed", "text_of"]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def parsed(body: bytes | None) -> dict[str, Any] | None:
    """None: there is none, or it is no JSON object."""
    try:
        value = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def answer_of(body: bytes | None) -> dict[str, Any] | None:
    """The message of a chat completion's first choice."""
    choices = (parsed(body) or {}).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return {**message, "role": "assistant"} if isinstance(message, dict) else None


def text_of(content: Any) -> str:
    """The text of a message's content, parts joined by line ends."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def last_question(body: Mapping[str, Any]) -> str:
    """What the user said last; of an embedding its input."""
    messages = body.get("messages")
    users = (
        [m for m in messages if isinstance(m, dict) and m.get("role") == "user"] if isinstance(messages, list) else []
    )
    if users:
        return text_of(users[-1].get("content"))
    asked = body.get("input")
    return "\n".join(each for each in asked if isinstance(each, str)) if isinstance(asked, list) else text_of(asked)


class Cleaner:
    """For one record: placeholders and the ids of tool calls are alike all through it."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._ids: dict[str, str] = {}

    def prompt(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """Messages, and the tools where there are some. None: it holds what is no text."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return None
        cleaned = [self.message(each) for each in messages]
        if any(each is None for each in cleaned):
            return None
        said: dict[str, Any] = {"messages": cleaned}
        if tools := body.get("tools"):
            functions = [self._tool(tool) for tool in tools] if isinstance(tools, list) else [None]
            if any(each is None for each in functions):
                return None
            said["tools"] = functions
            if isinstance(body.get("parallel_tool_calls"), bool):
                said["parallel_tool_calls"] = body["parallel_tool_calls"]
        return said

    def message(self, message: Any) -> dict[str, Any] | None:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            return None
        said: dict[str, Any] = {"role": message["role"]}
        if (content := message.get("content")) is not None:
            said["content"] = self._content(content)
            if said["content"] is None:
                return None
        if isinstance(name := message.get("name"), str):
            said["name"] = self._redactor.text(name)
        if message["role"] == "assistant" and not self._speak(message, said):
            return None
        if message["role"] == "tool":
            said["tool_call_id"] = self._id(message.get("tool_call_id"))
        return said

    def _speak(self, message: Mapping[str, Any], said: dict[str, Any]) -> bool:
        """What only an assistant says; False if it says nothing that can be trained."""
        if calls := message.get("tool_calls"):
            cleaned = [self._call(call) for call in calls] if isinstance(calls, list) else [None]
            if any(each is None for each in cleaned):
                return False
            said["tool_calls"] = cleaned
        if isinstance(refusal := message.get("refusal"), str) and refusal:
            said["refusal"] = self._redactor.text(refusal)
        return len(said) > 1

    def _content(self, content: Any) -> Any:
        if isinstance(content, str):
            return self._redactor.text(content)
        if not isinstance(content, list):
            return None
        parts = [self._part(part) for part in content]
        return None if any(part is None for part in parts) else parts

    def _part(self, part: Any) -> dict[str, str] | None:
        if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
            return {"type": "text", "text": self._redactor.text(part["text"])}
        return None

    def _call(self, call: Any) -> dict[str, Any] | None:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
            return None
        said = {"name": function.get("name"), "arguments": self._redactor.json(function["arguments"])}
        return {"id": self._id(call.get("id")), "type": "function", "function": said}

    def _tool(self, tool: Any) -> dict[str, Any] | None:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict):
            return None
        known = {name: function[name] for name in ("description", "parameters", "strict") if name in function}
        return {"type": "function", "function": {"name": function.get("name"), **self._redactor.value(known)}}

    def _id(self, id: Any) -> str:
        return self._ids.setdefault(str(id), f"call_{len(self._ids) + 1}")
