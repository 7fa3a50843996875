"""What crosses the edge of the platform as a record: Avro in either framing, or a JSON object with the same names; validated."""

from typing import Any, Final

import orjson

from schemas.codec import Undecodable, decode, plain
from schemas.events import Feedback, InvalidRequest, Request, parse_feedback, parse_request

__all__ = ["decode_feedback", "decode_request"]

_JSON: Final = b"{"


def decode_request(raw: bytes | None) -> Request | InvalidRequest | Undecodable:
    """Read and validate what crosses the edge: Avro in either framing, or a JSON object with the same names."""
    envelope = _envelope(Request, raw)
    if isinstance(envelope, Undecodable):
        return envelope
    try:
        return parse_request(envelope)
    except orjson.JSONEncodeError:  # orjson reads 1024 levels of nesting and writes 254
        return InvalidRequest("`body` is nested too deeply", param="body")


def decode_feedback(raw: bytes | None, timestamp_ms: int) -> Feedback | InvalidRequest | Undecodable:
    """As `decode_request`; `timestamp_ms`, the record's own, counts where a JSON object does not say `at`."""
    envelope = _envelope(Feedback, raw)
    return envelope if isinstance(envelope, Undecodable) else parse_feedback(envelope, at_ms=timestamp_ms)


def _envelope(event_class: type, raw: bytes | None) -> dict[str, Any] | Undecodable:
    if raw and raw.startswith(_JSON):
        return _parse_json(raw)
    event = decode(event_class, raw)
    return event if isinstance(event, Undecodable) else plain(event)


def _parse_json(raw: bytes) -> dict[str, Any] | Undecodable:
    try:
        envelope: dict[str, Any] = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        try:
            raw.decode()
        except UnicodeDecodeError as bad_text:
            return Undecodable("invalid_utf8", f"at byte {bad_text.start}")
        return Undecodable("invalid_json", f"{error.msg.split(':')[0]} at character {error.pos}")
    return envelope
