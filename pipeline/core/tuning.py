"""An export as training data: which method it is for, what is trained on, and what is held out for a check. Pure.

Held out is a tenth, at most 20 examples, and never so many that fewer than ten are left to train on; which ones follows from
their digests, so that the same export is always split alike.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson

__all__ = ["LEAST", "Dataset", "InvalidDataset", "dataset"]

LEAST: Final = 10
"""Examples that OpenAI wants."""

_MOST_HELD_OUT: Final = 20


class InvalidDataset(ValueError):
    """What is wrong with the file; its content is not repeated."""


@dataclass(slots=True, frozen=True)
class Dataset:
    """`method`: supervised or dpo. `prompts`: chat bodies without a model, of what was held out, else of what is trained on."""

    method: str
    training: bytes
    rows: int
    held_out: int
    prompts: tuple[dict[str, Any], ...]


def dataset(content: bytes) -> Dataset:
    """Read an export of format openai-chat or preference. Raises InvalidDataset."""
    lines = [line for line in content.split(b"\n") if line.strip()]
    examples = [_example(number, line) for number, line in enumerate(lines, 1)]
    if len(lines) < LEAST:
        raise InvalidDataset(f"{len(lines)} examples; fine-tuning wants at least {LEAST}")
    methods = {method for method, _ in examples}
    if len(methods) > 1:
        raise InvalidDataset("conversations and preferences in one file")
    order = sorted(range(len(lines)), key=lambda at: (hashlib.sha256(lines[at]).digest(), at))
    count = min(_MOST_HELD_OUT, len(lines) // LEAST, len(lines) - LEAST)
    held_out = set(order[:count])
    training = b"".join(line + b"\n" for at, line in enumerate(lines) if at not in held_out)
    shown = tuple(examples[at][1] for at in order[: count or 3])
    return Dataset(methods.pop(), training, len(lines) - count, count, shown)


def _example(number: int, line: bytes) -> tuple[str, dict[str, Any]]:
    """Method and prompt."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise InvalidDataset(f"line {number} is no JSON") from None
    if isinstance(value, dict) and isinstance(value.get("input"), dict) and "preferred_output" in value:
        return "dpo", _prompt(number, value["input"], value["input"].get("messages"))
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list):
        raise InvalidDataset(f"line {number} is neither a conversation nor a preference: `millrace export` makes both")
    return "supervised", _prompt(number, value, messages[:-1])


def _prompt(number: int, example: dict[str, Any], messages: Any) -> dict[str, Any]:
    if not isinstance(messages, list) or not messages:
        raise InvalidDataset(f"line {number} has nothing that is answered")
    return {"messages": messages, **{name: example[name] for name in ("tools",) if name in example}}
