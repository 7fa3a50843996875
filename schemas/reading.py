"""Avro bytes -> event by code of its own for each event class: a third of the time that a general reader takes.

The code is written out of the class's type hints, as its schema is (`schemas.avro_schema`), and reads what is written with
that schema alone. It is compiled once per process, as dataclasses make their `__init__`. Of a record with the fields
`key: str` and `limit: int | None` it is:

    def read(raw, at):
        size = SIZES[raw[at]]
        at += 1
        if size < 0:
            size, at = long_size(raw, at - 1)
        key = raw[at : at + size].decode()
        at += size
        branch = raw[at]
        at += 1
        if branch == 0:
            limit = None
        elif branch == 2:
            limit = ...
        else:
            raise ValueError
        return Limit(key, limit), at

It reads what is well formed and in one of the ways in which we write; anything else raises Exception, or ends beyond the
end. Then `schemas.codec` asks fastavro, which knows all ways and says what is wrong: no record is refused by this module.
Format: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from itertools import count, groupby
from struct import Struct
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

__all__ = ["Read", "reader"]

Read = Callable[[bytes, int], tuple[Any, int]]
"""Takes bytes and the place where a record begins; gives the event and the place where it ends."""


def reader(cls: type) -> Read:
    """Of a dataclass of `schemas.events`, or one like it. Raises TypeError for a type that none of them uses."""
    writing = _Writing()
    body = [*writing.value(cls, "event"), "return event, at"]
    source = "\n".join(["def read(raw, at):", *_inside(body)])
    exec(compile(source, f"<reads {cls.__name__}>", "exec"), writing.known)
    return writing.known["read"]  # type: ignore[no-any-return]


class _Writing:
    """Lines of code, and the names that they use. A value is read into a local variable; each has a number of its own."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {
            "LONGS": _LONGS,
            "SIZES": _SIZES,
            "BOOLEANS": (False, True),
            "long_number": _number,
            "long_size": _size,
            "float_at": _FLOAT.unpack_from,
        }
        self._numbers = count()

    def value(self, hint: Any, name: str) -> Iterator[str]:
        """What reads a value of this type into the variable."""
        origin, arguments = get_origin(hint), get_args(hint)
        if isinstance(hint, type) and is_dataclass(hint):
            yield from self._record(hint, name)
        elif hint in _PRIMITIVES:
            yield from (line.replace("VALUE", name) for line in _PRIMITIVES[hint])
        elif origin is Annotated:
            yield from self.value(arguments[0], name)
        elif origin is list:
            yield from self._blocks(name, "[]", [*self.value(arguments[0], f"{name}_"), f"{name}.append({name}_)"])
        elif origin is dict:
            item = [*self.value(str, f"{name}_key"), *self.value(arguments[1], f"{name}_")]
            yield from self._blocks(name, "{}", [*item, f"{name}[{name}_key] = {name}_"])
        elif len(arguments) == 2 and arguments[1] is type(None):
            yield from _nullable(name, self.value(arguments[0], name))
        else:
            raise TypeError(f"{hint!r} is read by nobody")

    def _record(self, cls: type, name: str) -> Iterator[str]:
        hints = get_type_hints(cls, include_extras=True)
        number = next(self._numbers)
        variables = {column.name: f"{column.name}_{number}" for column in fields(cls)}
        for are_floats, columns in groupby(variables, lambda column: hints[column] is float):
            if are_floats:
                yield from self._floats([variables[column] for column in columns])
                continue
            for column in columns:
                yield from self.value(hints[column], variables[column])
        self.known[cls.__name__] = cls
        yield f"{name} = {cls.__name__}({', '.join(variables.values())})"

    def _floats(self, names: list[str]) -> Iterator[str]:
        """Neighbours in one go, which takes little longer than one alone."""
        layout = Struct(f"<{len(names)}d")
        self.known[f"floats_{len(names)}"] = layout.unpack_from
        yield from (f"{', '.join(names)}, = floats_{len(names)}(raw, at)", f"at += {layout.size}")

    def _blocks(self, name: str, empty: str, item: list[str]) -> Iterator[str]:
        """Counts of items, each followed by so many; 0 ends. A negative one, with the bytes that follow, we never write."""
        left = f"{name}_left"
        yield f"{name} = {empty}"
        yield from _size_into(left)
        yield f"while {left}:"
        yield from _inside([f"for _ in range({left}):", *_inside(item), *_size_into(left)])


def _nullable(name: str, value: Iterator[str]) -> Iterator[str]:
    yield from ("branch = raw[at]", "at += 1", "if branch == 0:", f"    {name} = None", "elif branch == 2:")
    yield from _inside(value)
    yield from ("else:", "    raise ValueError")


def _size_into(name: str) -> Iterator[str]:
    yield from (f"{name} = SIZES[raw[at]]", "at += 1", f"if {name} < 0:", f"    {name}, at = long_size(raw, at - 1)")


def _inside(lines: Iterator[str] | list[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


_PRIMITIVES: Final[dict[Any, tuple[str, ...]]] = {
    int: ("VALUE = LONGS[raw[at]]", "at += 1", "if VALUE is None:", "    VALUE, at = long_number(raw, at - 1)"),
    bool: ("VALUE = BOOLEANS[raw[at]]", "at += 1"),
    float: ("VALUE = float_at(raw, at)[0]", "at += 8"),
    bytes: (*_size_into("size"), "VALUE = raw[at : at + size]", "at += size"),
    str: (*_size_into("size"), "VALUE = raw[at : at + size].decode()", "at += size"),
}
_FLOAT: Final = Struct("<d")


def _zigzag(number: int) -> int:
    return number >> 1 ^ -(number & 1)


_LONGS: Final = tuple(None if byte > 0x7F else _zigzag(byte) for byte in range(256))
"""By the first byte: numbers of one byte."""

_SIZES: Final = tuple(-1 if byte > 0x7F or byte & 1 else byte >> 1 for byte in range(256))
"""By the first byte: sizes of one byte; -1 stands for longer ones, and for what is none."""


_LONGEST: Final = 10
"""Bytes of a number of 64 bits."""


def _number(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    for byte in raw[at : at + _LONGEST]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte <= 0x7F:
            break
    else:
        raise ValueError("a number that does not end")
    if number >> 64:
        raise ValueError("a number of more than 64 bits")
    return number >> 1 ^ -(number & 1), at + shift // 7


def _size(raw: bytes, at: int) -> tuple[int, int]:
    size, at = _number(raw, at)
    if size < 0:
        raise ValueError("a negative size")
    return size, at
