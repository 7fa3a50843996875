"""What has no parameter at a vendor, said in words: notes that an adapter puts into the prompt."""

from typing import Any

from connectors.providers.wire_json import dumps

__all__ = ["JSON_ONLY", "json_schema", "must_call", "system_note"]

JSON_ONLY = "Answer with one JSON object and nothing else: no prose, no code fence."


def json_schema(schema: Any) -> str:
    return f"{JSON_ONLY} It must satisfy this JSON Schema: {dumps(schema).decode()}"


def must_call(tool: str | None) -> str:
    """For a model that cannot be forced: which tool must be called, None for any."""
    return f"You must call the tool `{tool}`." if tool else "You must call one of the tools."


def system_note(text: str) -> str:
    """A system message where only the user may speak."""
    return f"[System note] {text}"
