"""`multipart/form-data` (RFC 7578), as SDKs send files."""

import re
from typing import NamedTuple

from connectors.simulator.openai.errors import Refused

__all__ = ["Part", "read_form"]

_BOUNDARY = re.compile(r'boundary="?([^";,]{1,70})"?')
_NAME = re.compile(rb'[ ;]name="([^"]*)"')
_FILENAME = re.compile(rb'filename="([^"]*)"')


class Part(NamedTuple):
    """`filename` is None where it is a plain field."""

    filename: str | None
    content: bytes


def read_form(content_type: str, body: bytes) -> dict[str, Part]:
    """By field name. Raises Refused."""
    boundary = _BOUNDARY.search(content_type)
    if not content_type.startswith("multipart/form-data") or boundary is None:
        raise Refused("Invalid content type. Expected multipart/form-data with a boundary.")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())
    parts = {}
    for piece in pieces[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if name := _NAME.search(head):
            filename = _FILENAME.search(head)
            parts[name[1].decode()] = Part(filename[1].decode() if filename else None, content)
    return parts
