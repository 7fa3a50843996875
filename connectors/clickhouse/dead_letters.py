"""Rows of dead letters: they are no event, so their bytes are written here. Pure.

Key and foreign headers may hold anything and stay in Kafka; `value` is the original record, for tenants that let it be kept.
"""

from collections.abc import Sequence
from typing import Final

from connectors.clickhouse.columns import AvroSchema
from connectors.clickhouse.splice import bytes_field, varint
from schemas import headers as h

__all__ = ["DEAD_LETTER", "dead_letter"]

_TEXTS: Final = {
    "stage": h.DLQ_STAGE,
    "reason": h.DLQ_REASON,
    "error": h.DLQ_ERROR,
    "topic": h.DLQ_TOPIC,
}
_NUMBERS: Final = {"partition": h.DLQ_PARTITION, "offset": h.DLQ_OFFSET}
_IDENTITY: Final = {"request_id": h.REQUEST_ID, "tenant": h.TENANT, "schema": h.SCHEMA}
_MAX_TEXT: Final = 500

DEAD_LETTER: Final[AvroSchema] = {
    "type": "record",
    "name": "DeadLetter",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        *({"name": name, "type": "string"} for name in _TEXTS),
        *({"name": name, "type": "long"} for name in _NUMBERS),
        *({"name": name, "type": "string"} for name in _IDENTITY),
        {"name": "value_bytes", "type": "long"},
        {"name": "value", "type": ["null", "bytes"]},
    ],
}


def dead_letter(
    value: bytes | None, headers: Sequence[tuple[str, bytes]], timestamp_ms: int, *, keeps_body: bool
) -> bytes:
    """The bytes of a row under `DEAD_LETTER`. Whatever the record holds, there is one."""

    def text(name: str) -> bytes:
        return bytes_field((h.text(headers, name) or "")[:_MAX_TEXT].encode())

    kept = varint(1) + bytes_field(value) if keeps_body and value is not None else varint(0)
    return b"".join(
        (
            varint(timestamp_ms),
            *(text(name) for name in _TEXTS.values()),
            *(varint(h.integer(headers, name) or 0) for name in _NUMBERS.values()),
            *(text(name) for name in _IDENTITY.values()),
            varint(len(value or b"")),
            kept,
        )
    )
