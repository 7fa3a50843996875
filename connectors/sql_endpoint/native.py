"""Native blocks as newer clients ask for them (`client_protocol_version` from 54454, as clickhouse-go and Grafana do): pure.

chDB writes the format at revision 0. Newer clients expect a BlockInfo before each block and, after each column's type, a
byte that says whether its serialization is a custom one. Both are put in; to find their places the columns are skipped.
Format: https://clickhouse.com/docs/interfaces/formats/Native, src/Formats/NativeWriter.cpp, src/Core/BlockInfo.h.
"""

import struct
from typing import Final

from connectors.sql_endpoint.errors import SqlError
from connectors.sql_endpoint.formats import varint

__all__ = ["REVISION", "upgrade"]

REVISION: Final = 54454
"""From which on a client reads the byte for custom serializations; below it is answered at revision 0."""

_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_USUAL: Final = b"\x00"
_WIDTHS: Final = {
    name: width
    for width, names in (
        (1, "UInt8 Int8 Bool Enum8 Nothing"),
        (2, "UInt16 Int16 Date Enum16 BFloat16"),
        (4, "UInt32 Int32 Float32 Date32 DateTime IPv4 Time"),
        (8, "UInt64 Int64 Float64 DateTime64 Time64"),
        (16, "UUID IPv6 UInt128 Int128"),
        (32, "UInt256 Int256"),
    )
    for name in names.split()
}
_DECIMALS: Final = ((9, 4), (18, 8), (38, 16), (76, 32))


def upgrade(blocks: bytes) -> bytes:
    """Raises SqlError: a type whose size is not known here."""
    out, at = bytearray(), 0
    while at < len(blocks):
        start = at
        columns, at = varint(blocks, at)
        rows, at = varint(blocks, at)
        out += _BLOCK_INFO + blocks[start:at]
        for _ in range(columns):
            at = _column(blocks, at, rows, out)
    return bytes(out)


def _column(blocks: bytes, start: int, rows: int, out: bytearray) -> int:
    """Copy one column with its new byte; where the next one begins."""
    size, at = varint(blocks, start)
    size, at = varint(blocks, at + size)
    type_ = blocks[at : at + size].decode()
    body = at + size
    out += blocks[start:body] + _USUAL
    # Each dictionary has a version of 8 bytes before all data.
    versions = 8 * type_.count("LowCardinality(") if rows else 0
    end = _skip(type_, blocks, body + versions, rows)
    out += blocks[body:end]
    return end


def _skip(type_: str, data: bytes, at: int, rows: int) -> int:
    """Past so many values of a type."""
    name, _, inner = type_.partition("(")
    inner = inner.removesuffix(")")
    if (width := _width(name, inner)) is not None:
        return at + width * rows
    match name:
        case "String":
            return _skip_strings(data, at, rows)
        case "Nullable":
            return _skip(inner, data, at + rows, rows)
        case "LowCardinality":
            return _skip_dictionary(inner, data, at, rows) if rows else at
        case "Array":
            return _skip(inner, data, at + 8 * rows, _last_offset(data, at, rows))
        case "Map":
            return _skip(f"Tuple({inner})", data, at + 8 * rows, _last_offset(data, at, rows))
        case "Tuple":
            for part in _parts(inner):
                at = _skip(part, data, at, rows)
            return at
    raise SqlError(48, f"the type {name} is not served at this client's revision: select it as a string")


def _width(name: str, inner: str) -> int | None:
    """Bytes of each value, where all are alike."""
    if name == "FixedString":
        return int(inner)
    if name == "Decimal":
        return next(width for digits, width in _DECIMALS if int(inner.split(",", maxsplit=1)[0]) <= digits)
    return _WIDTHS.get(name)


def _skip_strings(data: bytes, at: int, rows: int) -> int:
    for _ in range(rows):
        size, at = varint(data, at)
        at += size
    return at


def _skip_dictionary(inner: str, data: bytes, at: int, rows: int) -> int:
    """Flags with the width of the indexes in their last byte, keys, indexes."""
    flags, keys = (int(number) for number in struct.unpack_from("<QQ", data, at))
    value = inner.removeprefix("Nullable(").removesuffix(")") if inner.startswith("Nullable(") else inner
    return 8 + _skip(value, data, at + 16, keys) + (rows << (flags & 255))


def _last_offset(data: bytes, at: int, rows: int) -> int:
    return int(struct.unpack_from("<Q", data, at + 8 * (rows - 1))[0]) if rows else 0


def _parts(inner: str) -> list[str]:
    """The types of a tuple, without the names that its elements may have."""
    parts, depth, part, is_quoted = [], 0, "", False
    for char in inner + ",":
        is_quoted ^= char in "'`"
        depth += 0 if is_quoted else (char == "(") - (char == ")")
        if char == "," and depth == 0 and not is_quoted:
            parts.append(_unnamed(part.strip()))
            part = ""
        else:
            part += char
    return parts


def _unnamed(part: str) -> str:
    """`a Int8` and `` `b c` Array(Int8) `` -> the type."""
    if part.startswith("`"):
        return part[part.index("` ", 1) + 2 :]
    head, space, rest = part.partition(" ")
    return rest if space and "(" not in head else part
