"""What is wrong with a Responses body, and the looks at it that find it. Never leaves the surface."""

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["FaultError", "check_known", "clipped", "object_at", "string_at"]


class FaultError(ValueError):
    """`path` is the field at fault (`input.0.content`)."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"`{path}` {what}")
        self.path = path


def object_at(path: str, value: Any) -> dict[str, Any]:
    """The object without its nulls, which count as absent."""
    if not isinstance(value, dict):
        raise FaultError(path, "must be an object")
    return {name: inner for name, inner in value.items() if inner is not None}


def string_at(path: str, holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise FaultError(f"{path}.{name}", "must be a string")
    return value


def check_known(path: str, holder: Mapping[str, Any], names: Collection[str]) -> None:
    for name in holder:
        if name not in names:
            raise FaultError(f"{path}.{clipped(name)}", "is not supported")


def clipped(said: Any) -> str:
    """A caller's own word, short enough for a message."""
    return str(said)[:64]
