"""Bytes of a record <-> event. The only place that knows Avro's binary form.

Two framings are read (CONTRACT 4), told apart by the first byte; `incoming` reads plain JSON too, where that is allowed:

    C3 01 + 8 bytes   single-object encoding: CRC-64-AVRO fingerprint of the writer's schema, little-endian
    00 + 4 bytes      Confluent wire format: id of the writer's schema in a registry, big-endian; `SCHEMA_IDS` knows them

What we write today is read by `schemas.reading`, all else by fastavro. Whatever stands in a record, decoding answers with a
value: the event or `Undecodable`, which goes to dead letters with its bytes. Times stay epoch milliseconds both ways. Lengths
and counts that a record declares are never believed: a block ends where its bytes end, and a large record has a limited number
of values. Format: https://avro.apache.org/docs/1.12.0/specification/
"""

import copy
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from io import BytesIO
from operator import attrgetter, itemgetter
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.avro_schema import released
from schemas.events import EVENTS
from schemas.reading import Read, reader
from schemas.skip import Skip, skipper

__all__ = [
    "SCHEMA_IDS",
    "Reason",
    "SchemaIds",
    "Undecodable",
    "datum",
    "decode",
    "encode",
    "first_text",
    "plain",
]

T = TypeVar("T")

Reason = Literal[
    "tombstone", "empty", "truncated", "unknown_schema", "invalid_json", "invalid_utf8", "wrong_type", "trailing_bytes"
]

_SINGLE_OBJECT: Final = b"\xc3\x01"
_CONFLUENT: Final = b"\x00"
_NULL: Final = b"\x00"
"""The first branch of a union."""

_UNMETERED_BYTES: Final = 64 * 1024
_MAX_READS: Final = 250_000
"""Ten megabytes of empty items would be three million objects; a record with a large body takes some hundred reads."""


@dataclass(slots=True, frozen=True)
class Undecodable:
    """Bytes that are no event; `detail` is for people and never quotes the record."""

    reason: Reason
    detail: str


class SchemaIds:
    """What the ids of a schema registry stand for. Filled before the start; nothing is looked up while records flow."""

    def __init__(self) -> None:
        self._schemas: dict[int, tuple[str, Any]] = {}

    def register(self, schema_id: int, event: str, avsc: dict[str, Any]) -> None:
        """Make records with this id readable.

        Raises:
            ValueError: the schema recurses or holds lists of nothing, so that few bytes could ask for endless work.
        """
        _smallest(avsc, {})
        schema = _parse(avsc)
        # One of our own versions stays the object that it is: what is written like today's needs no rewriting.
        known = _codec(EVENTS[event]).readers if event in EVENTS else {}
        self._schemas[schema_id] = (event, known.get(_fingerprint(schema), schema))

    def schema(self, schema_id: int, event: str) -> Any | None:
        """The parsed schema, None if the id is unknown or stands for another event."""
        known, schema = self._schemas.get(schema_id, ("", None))
        return schema if known == event else None


SCHEMA_IDS: Final = SchemaIds()
"""The ids of this process's registry."""


def encode(event: object, *, schema_id: int | None = None) -> bytes:
    """Write an event of `EVENTS` with its latest schema: single-object, or Confluent if the schema's id is given.

    Raises:
        ValueError, TypeError, OverflowError, UnicodeEncodeError: the event does not hold what its type hints say.
    """
    codec = _codec(type(event))
    out = BytesIO()
    out.write(codec.header if schema_id is None else _CONFLUENT + struct.pack(">I", schema_id))
    fastavro.schemaless_writer(out, codec.latest, codec.to_datum(event))
    return out.getvalue()


def decode(event_class: type[T], raw: bytes | None) -> T | Undecodable:
    """Read any released version of an event into today's model. Never raises; does not validate beyond types."""
    if not raw:
        return Undecodable("tombstone", "no value") if raw is None else Undecodable("empty", "no bytes")
    codec = _codec(event_class)
    if raw.startswith(codec.header) and len(raw) <= _UNMETERED_BYTES:
        event = _quickly(codec, raw)
        if event is not None:
            return event  # type: ignore[no-any-return]
    found = _writer(codec, raw)
    if isinstance(found, Undecodable):
        return found
    writer, start = found
    source = BytesIO(raw) if len(raw) <= _UNMETERED_BYTES else _Metered(raw)
    source.seek(start)
    try:
        event = codec.read(source, writer)
    except Exception as error:  # fastavro raises a dozen kinds, MemoryError and RecursionError among them
        return _refusal(error)
    if source.tell() != len(raw):
        return Undecodable("trailing_bytes", f"{len(raw) - source.tell()} bytes after the record")
    return event  # type: ignore[no-any-return]


def _quickly(codec: "_Codec", raw: bytes) -> Any | None:
    """A record as we write them; None: it is not, and fastavro says what it is."""
    try:
        event, end = codec.quick(raw, len(codec.header))
    except Exception:  # whatever bytes that are no such record come to
        return None
    return event if end == len(raw) else None


def datum(event_class: type, raw: bytes | None, *, without: Sequence[str] = ()) -> bytes | Undecodable:
    """An event's bare bytes under its latest schema, mostly without reading it: what stands behind the framing.

    An older version is rewritten. `without` names optional fields that are left empty, whatever they hold. Only what that
    takes is looked at, so the rest may still turn out to be no event.
    """
    if not raw:
        return Undecodable("tombstone", "no value") if raw is None else Undecodable("empty", "no bytes")
    codec = _codec(event_class)
    found = _writer(codec, raw)
    if isinstance(found, Undecodable):
        return found
    writer, start = found
    if writer is not codec.latest:
        event = decode(event_class, raw)
        if isinstance(event, Undecodable):
            return event
        raw, start = encode(event), len(codec.header)
    bare = raw[start:]
    for field in without:
        emptied = _emptied(codec.name, field, bare)
        if isinstance(emptied, Undecodable):
            return emptied
        bare = emptied
    return bare


def first_text(event_class: type, raw: bytes | None, field: str) -> str | None:
    """A text among the first fields of an event, without reading the rest; None: not so, `decode` says why."""
    codec = _codec(event_class)
    if not raw or not raw.startswith(codec.header):
        return None
    before, whole = _skippers(codec.name, field)
    try:
        start = before(raw, len(codec.header))
        end = whole(raw, start)
        size = 1 if raw[start] <= 0x7F else 2  # bytes of its length; longer texts are none that one asks for here
        return raw[start + size : end].decode() if end <= len(raw) else None
    except (IndexError, ValueError):
        return None


def _emptied(name: str, field: str, bare: bytes) -> bytes | Undecodable:
    before, whole = _skippers(name, field)
    try:
        begin = before(bare, 0)
        end = whole(bare, begin)
    except (IndexError, ValueError) as error:
        return _refusal(error)
    return bare[:begin] + _NULL + bare[end:] if end <= len(bare) else Undecodable("truncated", "ends inside a field")


@cache
def _skippers(name: str, field: str) -> tuple[Skip, Skip]:
    """Over all fields before one, and over that."""
    avsc = list(released(name).values())[-1]
    position = [column["name"] for column in avsc["fields"]].index(field)
    named: dict[str, Skip] = {}
    return skipper({**avsc, "fields": avsc["fields"][:position]}, named), skipper(
        avsc["fields"][position]["type"], named
    )


def plain(event: object) -> dict[str, Any]:
    """Field -> value, nested events too."""
    return _codec(type(event)).to_datum(event)


class _TooManyValues(ValueError):
    """A large record that is all small values: work and memory a hundred times its size."""


class _Metered(BytesIO):
    """Counts what fastavro takes out piece by piece."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._left = _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise _TooManyValues
        return super().read(size)


@dataclass(slots=True, frozen=True)
class _Codec:
    """What is precomputed per event; `readers` has every released version by fingerprint, `quick` reads the latest."""

    name: str
    latest: Any
    header: bytes
    resolving: Any
    readers: dict[bytes, Any]
    to_datum: Callable[[Any], dict[str, Any]]
    from_datum: Callable[[dict[str, Any]], Any]
    quick: Read

    def read(self, source: BytesIO, writer: Any) -> Any:
        if writer is self.latest:
            return self.from_datum(fastavro.schemaless_reader(source, writer, None))
        # Defaults come out of the schema itself: unshared, so that nobody changes the next reader's.
        return self.from_datum(copy.deepcopy(fastavro.schemaless_reader(source, writer, self.resolving)))


def _writer(codec: _Codec, raw: bytes) -> tuple[Any, int] | Undecodable:
    if raw.startswith(_SINGLE_OBJECT):
        start, schema = 10, codec.readers.get(raw[2:10])
    elif raw.startswith(_CONFLUENT):
        start, schema = 5, SCHEMA_IDS.schema(int.from_bytes(raw[1:5], "big"), codec.name)
    else:
        return Undecodable("unknown_schema", f"neither Avro framing, first byte 0x{raw[0]:02x}")
    if len(raw) < start:
        return Undecodable("truncated", "ends inside the header")
    if schema is None:
        return Undecodable("unknown_schema", f"schema {raw[1:start].hex()} is none of `{codec.name}`")
    return schema, start


def _refusal(error: Exception) -> Undecodable:
    kind = type(error).__name__
    if isinstance(error, UnicodeDecodeError):
        return Undecodable("invalid_utf8", "text that is no UTF-8")
    if isinstance(error, EOFError | struct.error | MemoryError | OverflowError):
        return Undecodable("truncated", f"ends before what it announces ({kind})")
    return Undecodable("wrong_type", f"not what its schema says ({kind})")


def _codec(cls: type) -> _Codec:
    found = _CODECS.get(cls)
    if found is None:
        found = _CODECS[cls] = _load(next(name for name, known in EVENTS.items() if known is cls), cls)
    return found


_CODECS: Final[dict[type, _Codec]] = {}


def _load(name: str, cls: type) -> _Codec:
    schemas = [_parse(avsc) for avsc in released(name).values()]
    prints = [_fingerprint(schema) for schema in schemas]
    return _Codec(
        name=name,
        latest=schemas[-1],
        header=_SINGLE_OBJECT + prints[-1],
        resolving=_with_byte_defaults(copy.deepcopy(schemas[-1])),
        readers=dict(zip(prints, schemas, strict=True)),
        to_datum=_to_datum(cls),
        from_datum=_from_datum(cls),
        quick=reader(cls),
    )


def _fingerprint(schema: Any) -> bytes:
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def _parse(avsc: Any) -> Any:
    return fastavro.parse_schema(_without_logical_types(avsc))


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    if isinstance(schema, dict):
        return {
            key: value if key == "default" else _without_logical_types(value)
            for key, value in schema.items()
            if key != "logicalType"
        }
    return schema


def _with_byte_defaults(schema: Any) -> Any:
    """Fastavro hands out defaults as they are written, so those of bytes must be bytes."""
    for part in schema if isinstance(schema, list) else [schema]:
        if not isinstance(part, dict):
            continue
        for column in part.get("fields", ()):
            if column["type"] == "bytes" and isinstance(column.get("default"), str):
                column["default"] = column["default"].encode("latin-1")
            _with_byte_defaults(column["type"])
        _with_byte_defaults(part.get("items"))
        _with_byte_defaults(part.get("values"))
    return schema


def _smallest(schema: Any, named: dict[str, int]) -> int:
    """The fewest bytes that a value takes (0 or 1 is all that counts); refuses what makes reading unbounded."""
    if isinstance(schema, list):
        for part in schema:
            _smallest(part, named)
        return 1
    if isinstance(schema, str):
        return _smallest_of_name(schema, named)
    kind = schema["type"]
    if kind in ("record", "error"):
        return _smallest_record(schema, named)
    if kind == "array" and _smallest(schema["items"], named) == 0:
        raise ValueError("a list of items without bytes may be endless")
    if kind == "map":
        _smallest(schema["values"], named)
    if kind in ("fixed", "enum"):
        named[schema["name"].rpartition(".")[2]] = min(1, schema.get("size", 1))
        return named[schema["name"].rpartition(".")[2]]
    return 1 if kind in ("array", "map") else _smallest(kind, named)


def _smallest_of_name(name: str, named: dict[str, int]) -> int:
    if name in ("boolean", "int", "long", "float", "double", "bytes", "string"):
        return 1
    if name == "null":
        return 0
    size = named.get(name.rpartition(".")[2], -1)
    if size < 0:
        raise ValueError(f"`{name}` is unknown or holds itself")
    return size


def _smallest_record(schema: dict[str, Any], named: dict[str, int]) -> int:
    name = schema["name"].rpartition(".")[2]
    named[name] = -1
    named[name] = size = max((_smallest(column["type"], named) for column in schema["fields"]), default=0)
    return size


Convert = Callable[[Any], Any]


@cache
def _to_datum(cls: type) -> Convert:
    names = tuple(column.name for column in fields(cls))
    values = attrgetter(*names)
    nested = _nested(cls, _to_datum)

    def to_datum(event: Any) -> dict[str, Any]:
        datum = dict(zip(names, values(event), strict=True))
        for name, convert in nested:
            if datum[name] is not None:
                datum[name] = convert(datum[name])
        return datum

    return to_datum


@cache
def _from_datum(cls: type) -> Convert:
    nested = _nested(cls, _from_datum)
    values = itemgetter(*(column.name for column in fields(cls)))

    def flat(datum: dict[str, Any]) -> Any:
        return cls(*values(datum))  # by place, which takes half the time of by name

    def from_datum(datum: dict[str, Any]) -> Any:
        for name, convert in nested:
            if datum[name] is not None:
                datum[name] = convert(datum[name])
        return cls(*values(datum))

    return from_datum if nested else flat


def _nested(cls: type, of_class: Callable[[type], Convert]) -> tuple[tuple[str, Convert], ...]:
    """The fields that hold dataclasses, with what converts their value; all others pass as they are."""
    hints = get_type_hints(cls, include_extras=True)
    converts = ((column.name, _convert(hints[column.name], of_class)) for column in fields(cls))
    return tuple((name, convert) for name, convert in converts if convert is not None)


def _convert(hint: Any, of_class: Callable[[type], Convert]) -> Convert | None:
    if isinstance(hint, type) and is_dataclass(hint):
        return of_class(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if not arguments or origin is Annotated:
        return None
    convert = _convert(arguments[1 if origin is dict else 0], of_class)
    if convert is None:
        return None
    if origin is dict:
        return lambda values: {key: convert(value) for key, value in values.items()}
    if origin is list:
        return lambda values: [convert(value) for value in values]
    return convert
