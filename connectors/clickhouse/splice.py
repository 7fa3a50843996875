"""Records -> one Avro object container, without reading them. Pure.

An Avro record is its fields one after the other, so the bytes of some fields in front of a record's bytes are a record with
those fields in front. Every record is a block of its own: the reader then stops at the end of each, and a broken one cannot
borrow bytes of its neighbour. Format: https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

import json
from collections.abc import Iterable

from connectors.clickhouse.columns import AvroSchema

__all__ = ["Container", "bytes_field", "varint"]

_MAGIC = b"Obj\x01"
_SYNC = bytes.fromhex("6d696c6c7261636573796e636d61726b")
"""Any 16 bytes do: blocks are read by their lengths."""


class Container:
    """Containers of one schema; `header` is precomputed."""

    def __init__(self, schema: AvroSchema) -> None:
        text = json.dumps(schema, separators=(",", ":")).encode()
        entries = bytes_field(b"avro.schema") + bytes_field(text) + bytes_field(b"avro.codec") + bytes_field(b"null")
        self.header = _MAGIC + varint(2) + entries + varint(0) + _SYNC

    def of(self, records: Iterable[tuple[bytes, bytes]]) -> bytes:
        """`records`: the fields in front, and the record's own bytes."""
        parts = [self.header]
        for front, datum in records:
            parts += (_ONE, varint(len(front) + len(datum)), front, datum, _SYNC)
        return b"".join(parts)


def varint(number: int) -> bytes:
    """Avro's int and long: zigzag, then seven bits a byte, the lowest first."""
    rest = (number << 1) ^ (number >> 63)
    if rest < 0x80:
        return _BYTES[rest]
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def bytes_field(value: bytes) -> bytes:
    """Avro's bytes and string."""
    return varint(len(value)) + value


_BYTES = [bytes([value]) for value in range(0x80)]
_ONE = varint(1)
