"""The body of a request: bytes off the wire, decoded and parsed strictly, or a `Problem` that names the place.

JSON parsers disagree on equal keys, NaN and half surrogate pairs; what they disagree on stays outside (RFC 8259
sections 4, 6 and 8.2; I-JSON, RFC 7493). Nothing is read beyond the limit, nothing unpacked beyond it.
"""

import json
import re
import zlib
from typing import Any

import orjson
from starlette.types import Receive

from connectors.gateway.problems import Problem
from schemas.errors import ErrorCode
from schemas.topics import MAX_BODY_BYTES

__all__ = ["Gone", "parse_object", "read_body", "unpack"]

_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
_TOO_LARGE = Problem(ErrorCode.PAYLOAD_TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")


class Gone:
    """The caller hung up while sending."""


async def read_body(receive: Receive, declared: str | None) -> bytes | Problem | Gone:
    """Reads the whole body, or stops at the limit. `declared`: the content-length header."""
    if declared is not None and declared.isdigit() and int(declared[:20]) > MAX_BODY_BYTES:
        return _TOO_LARGE
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return Gone()
        piece = message.get("body", b"")
        size += len(piece)
        if size > MAX_BODY_BYTES:
            return _TOO_LARGE
        pieces.append(piece)
        if not message.get("more_body"):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def unpack(raw: bytes, encoding: str) -> bytes | Problem:
    """Undoes the content-encoding."""
    encoding = encoding.strip().lower()
    if encoding in {"gzip", "x-gzip"}:
        return _gunzip(raw)
    if encoding not in {"", "identity"}:
        message = f"content-encoding `{encoding[:64]}` is not supported: send gzip or none"
        return Problem(ErrorCode.INVALID_REQUEST, message, status=415)
    if raw.startswith(_COMPRESSED):
        return Problem(ErrorCode.INVALID_REQUEST, "the body looks compressed, but no content-encoding says so")
    return raw


def _gunzip(raw: bytes) -> bytes | Problem:
    """Also several members in a row, which RFC 1952 allows."""
    out = bytearray()
    try:
        while raw:
            member = zlib.decompressobj(wbits=31)
            out += member.decompress(raw, MAX_BODY_BYTES - len(out) + 1)
            if len(out) > MAX_BODY_BYTES:
                return _TOO_LARGE
            if not member.eof:
                return Problem(ErrorCode.INVALID_REQUEST, "the gzip body ends too early")
            raw = member.unused_data
    except zlib.error:
        return Problem(ErrorCode.INVALID_REQUEST, "the body is no valid gzip")
    return bytes(out)


def parse_object(raw: bytes) -> dict[str, Any] | Problem:
    """The body as a JSON object."""
    try:
        value = orjson.loads(raw)  # refuses NaN, 1e999 and half surrogate pairs
    except orjson.JSONDecodeError as error:
        return Problem(ErrorCode.INVALID_REQUEST, f"the body is no valid JSON: {error}")
    if not isinstance(value, dict):
        return Problem(ErrorCode.INVALID_REQUEST, "the body must be a JSON object")
    twice = _repeated_key(value, raw)
    if twice is not None:
        return Problem(ErrorCode.INVALID_REQUEST, f"`{twice}` is given twice", param=twice)
    return value


def _repeated_key(value: dict[str, Any], raw: bytes) -> str | None:
    """A top-level key that stands twice. Parsed a second time only if the bytes leave a doubt."""
    plain = all(key.isascii() and key.isidentifier() and raw.count(b'"%b"' % key.encode()) == 1 for key in value)
    if plain and not _ESCAPED_ASCII.search(raw):
        return None
    top: list[tuple[str, Any]] = []

    def keep_last(pairs: list[tuple[str, Any]]) -> None:
        nonlocal top
        top = pairs

    try:
        json.loads(raw, object_pairs_hook=keep_last, parse_int=str)
    except (ValueError, RecursionError):
        return "?"
    seen: set[str] = set()
    for key, _ in top:
        if key in seen:
            return key
        seen.add(key)
    return None
