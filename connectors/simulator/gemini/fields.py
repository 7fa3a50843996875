"""Requests as protocol buffers: what Google says about fields that a message does not have.

Google parses JSON into its messages before it looks at anything else: unknown names anywhere, wrong types and unknown
enum values are refused there, all of them at once, with paths in snake case. Names may be camel or snake case, nulls
are left out, and a single object may stand for a list of one (protobuf.dev/programming-guides/json). The messages
themselves are in `messages`.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.simulator.gemini.errors import Refused, bad_fields

_PACKAGE = "type.googleapis.com/google.ai.generativelanguage.v1beta."
_INT32 = 2**31
MAX_BODY_BYTES = 20 * 1024 * 1024  # provider_contracts.md section 2, "body limit"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value of one type, with protobuf's name for it."""

    name: str
    types: tuple[type, ...]


@dataclass(frozen=True, slots=True)
class Enum:
    name: str
    values: tuple[str, ...]
    any_case: bool = False


@dataclass(frozen=True, slots=True)
class Many:
    of: "Kind"


@dataclass(frozen=True, slots=True)
class Table:
    """Values by the caller's own names."""

    of: "Kind"


@dataclass(frozen=True, slots=True)
class Message:
    fields: Mapping[str, "Kind"]
    oneof: frozenset[str] = frozenset()


Kind = Scalar | Enum | Many | Table | Message

STRING = Scalar("TYPE_STRING", (str,))
BOOL = Scalar("TYPE_BOOL", (bool,))
INT = Scalar("TYPE_INT32", (int,))
FLOAT = Scalar("TYPE_FLOAT", (int, float))
BYTES = Scalar("TYPE_BYTES", (str,))
STRUCT = Scalar("type.googleapis.com/google.protobuf.Struct", (dict,))
VALUE = Scalar("type.googleapis.com/google.protobuf.Value", (dict, list, str, int, float, bool))
STRINGS = Many(STRING)


def parse(raw: bytes, message: Message) -> dict[str, Any]:
    """The body with camel-case names and without nulls.

    Raises:
        Refused: Too large, no JSON, or fields that the message does not have.
    """
    if len(raw) > MAX_BODY_BYTES:
        raise Refused(f"Request payload size exceeds the limit: {MAX_BODY_BYTES} bytes.")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as wrong:
        raise Refused(f"Invalid JSON payload received. {str(wrong).capitalize()}") from wrong
    if not isinstance(body, dict):
        raise Refused('Invalid JSON payload received. Unknown name "": Root element must be a message.')
    reader = _Reader([])
    read: dict[str, Any] = reader.message(body, message, "")
    if reader.wrong:
        raise bad_fields(reader.wrong)
    return read


@dataclass(frozen=True, slots=True)
class _Reader:
    """Walks a body along its message and collects everything that is wrong."""

    wrong: list[tuple[str, str]]

    def message(self, given: dict[str, Any], message: Message, path: str) -> dict[str, Any]:
        read: dict[str, Any] = {}
        for name, value in given.items():
            known = _camel(name)
            if known not in message.fields:
                self._unknown(name, path, "Cannot find field.")
            elif known in message.oneof and (message.oneof & read.keys()):
                text = f"Invalid value at '{path}' (oneof), oneof field 'data' is already set. Cannot set '{name}'"
                self.wrong.append((path, text))
            elif value is not None:
                read[known] = self._value(value, message.fields[known], _joined(path, _snake(name)))
        return read

    def _value(self, value: Any, kind: Kind, path: str) -> Any:
        match kind:
            case Many(of) if isinstance(value, list) or isinstance(of, Message):
                return [self._value(*step) for step in _items(value, of, path)]
            case Table(of) if isinstance(value, dict):
                named = enumerate(value.items())
                return {name: self._value(one, of, f"{path}[{at}].value") for at, (name, one) in named}
            case Message() if isinstance(value, dict):
                return self.message(value, kind, path)
            case Enum():
                return self._enum(value, kind, path)
            case Scalar():
                return self._scalar(value, kind, path)
            case _:
                return self._not_a_message(value, path)

    def _not_a_message(self, value: Any, path: str) -> None:
        outer, _, name = path.rpartition(".")
        if isinstance(value, list):
            self._unknown(name, outer, "Proto field is not repeating, cannot start list.")
        else:
            self._invalid(path, "Message", value)

    def _enum(self, value: Any, kind: Enum, path: str) -> str:
        said = value.upper() if kind.any_case and isinstance(value, str) else value
        if isinstance(value, list):
            self._not_a_message(value, path)
        elif said not in kind.values:
            self._invalid(path, _PACKAGE + kind.name, value)
        return str(said)

    def _scalar(self, value: Any, kind: Scalar, path: str) -> Any:
        if isinstance(value, list) and kind is not VALUE:
            self._not_a_message(value, path)
        elif not _fits(value, kind):
            self._invalid(path, kind.name, value)
        elif kind is BYTES and decoded(value) is None:
            said = f"Invalid value at '{path}' (TYPE_BYTES), Base64 decoding failed for \"{value[:40]}\""
            self.wrong.append((path, said))
        return value

    def _unknown(self, name: str, path: str, why: str) -> None:
        where = f" at '{path}'" if path else ""
        self.wrong.append((path, f'Invalid JSON payload received. Unknown name "{name}"{where}: {why}'))

    def _invalid(self, path: str, kind: str, value: Any) -> None:
        self.wrong.append((path, f"Invalid value at '{path}' ({kind}), {orjson.dumps(value).decode()[:200]}"))


def _fits(value: Any, kind: Scalar) -> bool:
    if isinstance(value, bool):  # a bool is an int for Python, not for JSON
        return bool in kind.types
    if kind is INT:
        return isinstance(value, int) and -_INT32 <= value < _INT32
    return isinstance(value, kind.types)


def _items(value: Any, of: Kind, path: str) -> Iterator[tuple[Any, Kind, str]]:
    items = value if isinstance(value, list) else [value]
    return ((item, of, f"{path}[{at}]") for at, item in enumerate(items))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def decoded(text: str) -> bytes | None:
    """Bytes from either alphabet of base64, padded or not, as protobuf takes them; None for anything else."""
    text = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None
