"""Fields of a request at OpenAI: their types and ranges, and the words in which wrong ones are refused."""

from collections.abc import Collection
from typing import Any, NamedTuple, cast

import orjson

from connectors.simulator.openai.errors import Refused

Body = dict[str, Any]


class Kind(NamedTuple):
    """The types that a field takes, how the refusal names them, and the range of a number."""

    types: tuple[type, ...]
    said: str
    low: float | None = None
    high: float | None = None


STRING = Kind((str,), "a string")
BOOLEAN = Kind((bool,), "a boolean")
OBJECT = Kind((dict,), "an object")
ARRAY = Kind((list,), "an array")


def integer(low: int | None = None, high: int | None = None) -> Kind:
    return Kind((int,), "an integer", low, high)


def decimal(low: float, high: float) -> Kind:
    return Kind((int, float), "a decimal", low, high)


def json_object(raw: bytes) -> Body:
    """The body as an object.

    Raises:
        Refused: Anything else.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Refused(
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)"
        )
    return body


def check_field(name: str, value: Any, kind: Kind) -> None:
    """Type and range of one field.

    Raises:
        Refused: Either is wrong.
    """
    is_flag = isinstance(value, bool)  # a bool is an int for Python, not for JSON
    if is_flag != (kind is BOOLEAN) or not isinstance(value, kind.types):
        raise wrong_type(name, value, kind.said)
    if kind.low is not None and cast(float, value) < kind.low:
        raise _out_of_range(name, value, kind, "below minimum", ">=", kind.low)
    if kind.high is not None and cast(float, value) > kind.high:
        raise _out_of_range(name, value, kind, "above maximum", "<=", kind.high)


def _out_of_range(name: str, value: Any, kind: Kind, side: str, sign: str, bound: float) -> Refused:
    number = kind.said.split()[-1]
    message = f"Invalid '{name}': {number} {side} value. Expected a value {sign} {bound:g}, but got {value} instead."
    side = "max" if sign == "<=" else "min"
    return Refused(message, param=name, code=f"{number}_{'above' if side == 'max' else 'below'}_{side}_value")


def wrong_type(name: str, value: Any, expected: str) -> Refused:
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
    got = "null" if value is None else names.get(type(value), "an object")
    message = f"Invalid type for '{name}': expected {expected}, but got {got} instead."
    return Refused(message, param=name, code="invalid_type")


def missing(name: str) -> Refused:
    return Refused(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def invalid_value(name: str, value: Any, supported: Collection[str]) -> Refused:
    options = ", ".join(f"'{option}'" for option in supported)
    message = f"Invalid value: '{value}'. Supported values are: {options}."
    return Refused(message, param=name, code="invalid_value")
