"""The shape of a JSON value, said once and checked in Anthropic's words (those of pydantic, which it validates with).

A shape is a function of (value, path) that raises `Refused` or returns nothing. In paths a member of a tagged union is
named by its tag: `messages.0.content.1.tool_use.id`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from connectors.simulator.anthropic.errors import Refused

Shape = Callable[[Any, str], None]


class Need(NamedTuple):
    """A field that must be there."""

    shape: Shape


def within(path: str, name: str | int) -> str:
    return f"{path}.{name}" if path else str(name)


def text(*, pattern: str = "", least: int = 0) -> Shape:
    known = re.compile(pattern)

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise Refused(f"{path}: Input should be a valid string")
        if len(value) < least:
            raise Refused(f"{path}: String should have at least {least} character{'s' * (least > 1)}")
        if pattern and not known.match(value):
            raise Refused(f"{path}: String should match pattern '{pattern}'")

    return check


def integer(low: int) -> Shape:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused(f"{path}: Input should be a valid integer")
        if value < low:
            raise Refused(f"{path}: Input should be greater than or equal to {low}")

    return check


def fraction(value: Any, path: str) -> None:
    """A number from 0 to 1."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Refused(f"{path}: Input should be a valid number")
    if not 0 <= value <= 1:
        raise Refused(f"{path}: range: 0..1")


def flag(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        raise Refused(f"{path}: Input should be a valid boolean")


def anything(value: Any, path: str) -> None:
    """An object with any fields."""
    if not isinstance(value, dict):
        raise Refused(f"{path}: Input should be a valid dictionary")


def literal(*options: str) -> Shape:
    quoted = [f"'{option}'" for option in options]
    said = " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))

    def check(value: Any, path: str) -> None:
        if value not in options:
            raise Refused(f"{path}: Input should be {said}")

    return check


def maybe(shape: Shape) -> Shape:
    """The shape, or null."""

    def check(value: Any, path: str) -> None:
        if value is not None:
            shape(value, path)

    return check


def array(item: Shape) -> Shape:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise Refused(f"{path}: Input should be a valid list")
        for position, part in enumerate(value):
            item(part, within(path, position))

    return check


def text_or(shape: Shape) -> Shape:
    """A string, or the shape."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            shape(value, path)

    return check


def record(fields: Mapping[str, Shape | Need]) -> Shape:
    """An object with these fields and no others."""

    def check(value: Any, path: str) -> None:
        anything(value, path or "body")
        for name, field in fields.items():
            shape = field.shape if isinstance(field, Need) else field
            if name in value:
                shape(value[name], within(path, name))
            elif isinstance(field, Need):
                raise Refused(f"{within(path, name)}: Field required")
        if unknown := sorted(value.keys() - fields.keys()):
            raise Refused(f"{within(path, unknown[0])}: Extra inputs are not permitted")

    return check


def tagged(variants: Mapping[str, Mapping[str, Shape | Need]]) -> Shape:
    """An object whose `type` decides its fields."""
    shapes = {tag: record({"type": literal(tag), **fields}) for tag, fields in variants.items()}
    expected = ", ".join(f"'{tag}'" for tag in variants)

    def check(value: Any, path: str) -> None:
        anything(value, path)
        tag = value.get("type")
        if tag is None:
            raise Refused(f"{within(path, 'type')}: Field required")
        if not isinstance(tag, str) or tag not in shapes:
            message = f"Input tag '{tag}' found using 'type' does not match any of the expected tags: {expected}"
            raise Refused(f"{path}: {message}")
        shapes[tag](value, within(path, tag))

    return check
