"""What OpenAI wants of a training file: at least ten examples, each of the form of its method.

Guides: platform.openai.com/docs/guides/supervised-fine-tuning, .../direct-preference-optimization.
"""

from typing import Any

import orjson

from connectors.simulator.tuning import Failure

__all__ = ["LEAST", "check", "tokens_of"]

LEAST = 10
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_CHAT_KEYS = frozenset({"messages", "tools", "parallel_tool_calls", "functions"})


def check(content: bytes, method: str) -> Failure | None:
    """What a job over this file fails with."""
    lines = [line for line in content.splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        if fault := _fault(line, method):
            return Failure(
                "invalid_training_file",
                f"The job failed due to an invalid training file. Invalid file format. Example {number}, line {number} {fault}.",
                "training_file",
            )
    if len(lines) < LEAST:
        message = f"Training file has {len(lines)} example(s), but must have at least {LEAST} examples"
        return Failure("invalid_n_examples", message, "training_file")
    return None


def tokens_of(content: bytes) -> int:
    """Four bytes a token."""
    return len(content) // 4


def _fault(line: bytes, method: str) -> str | None:
    try:
        example = orjson.loads(line)
    except orjson.JSONDecodeError:
        return "is not valid JSON"
    if not isinstance(example, dict):
        return "is not a JSON object"
    return _preference_fault(example) if method == "dpo" else _chat_fault(example)


def _chat_fault(example: dict[str, Any]) -> str | None:
    if "messages" not in example:
        return "is missing the key 'messages'"
    if unknown := sorted(example.keys() - _CHAT_KEYS):
        return f"has the unexpected key '{unknown[0]}'"
    if fault := _messages_fault(example["messages"], "messages"):
        return fault
    if not any(message["role"] == "assistant" for message in example["messages"]):
        return "must have at least one message from the assistant"
    return None


def _preference_fault(example: dict[str, Any]) -> str | None:
    for key in ("input", "preferred_output", "non_preferred_output"):
        if key not in example:
            return f"is missing the key '{key}'"
    if not isinstance(example["input"], dict):
        return "has an 'input' that is not an object"
    places = {"input.messages": example["input"].get("messages")}
    places |= {key: example[key] for key in ("preferred_output", "non_preferred_output")}
    return next((fault for name, messages in places.items() if (fault := _messages_fault(messages, name))), None)


def _messages_fault(messages: Any, name: str) -> str | None:
    if not isinstance(messages, list) or not messages:
        return f"has a '{name}' that is not a non-empty array"
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            return f"has a message in '{name}' without a valid role"
        if message.get("content") is None and not message.get("tool_calls") and not message.get("refusal"):
            return f"has a message in '{name}' without content"
    return None
