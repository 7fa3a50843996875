"""Output formats whose rows can be sent piece by piece: pure.

The engine gives every piece of a stream as a whole document. Documents of these formats can be put behind each other, some
without their repeated header; all others (JSON, Parquet, Arrow, Pretty ...) are answered whole, within a limit.
"""

from typing import Final

__all__ = ["Joiner", "can_stream", "media_type", "varint"]

_PLAIN: Final = frozenset(
    [
        "TabSeparated",
        "TSV",
        "TabSeparatedRaw",
        "TSVRaw",
        "CSV",
        "JSONEachRow",
        "NDJSON",
        "JSONLines",
        "JSONCompactEachRow",
        "JSONStringsEachRow",
        "JSONCompactStringsEachRow",
        "Native",
        "RowBinary",
        "MsgPack",
    ]
)
_LINES: Final = frozenset(
    ["TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "JSONCompactEachRow", "JSONCompactStringsEachRow"]
)
_BINARY: Final = "RowBinary"
_HEADERS: Final = {"WithNames": 1, "WithNamesAndTypes": 2}
_MEDIA: Final = {
    "JSONEachRow": "application/x-ndjson",
    "NDJSON": "application/x-ndjson",
    "JSONLines": "application/x-ndjson",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
}


def media_type(form: str) -> str:
    base, header = _split(form)
    if base == "CSV" and header:
        return "text/csv; charset=UTF-8; header=present"
    if base in _MEDIA:
        return _MEDIA[base]
    return "application/json; charset=UTF-8" if form.startswith("JSON") else "application/octet-stream"


def can_stream(form: str) -> bool:
    base, header = _split(form)
    return form in _PLAIN or (header > 0 and (base in _LINES or base == _BINARY))


class Joiner:
    """Makes one document of those that a stream brings."""

    def __init__(self, form: str) -> None:
        self._base, self._header = _split(form)
        self._skip: int | None = None

    @property
    def has_header(self) -> bool:
        """A result without rows is not without bytes."""
        return self._header > 0

    def join(self, piece: bytes) -> bytes:
        if self._skip is not None:
            return piece[self._skip :] if self._skip else piece
        self._skip = self._header_bytes(piece) if self._header else 0
        return piece

    def _header_bytes(self, piece: bytes) -> int:
        if self._base == _BINARY:
            return _binary_header_bytes(piece, self._header)
        at, is_quoted = 0, False
        for _ in range(self._header):
            while piece[at : at + 1] not in (b"\n", b"") or is_quoted:
                is_quoted ^= self._base == "CSV" and piece[at : at + 1] == b'"'
                at += 1
            at += 1
        return at


def _split(form: str) -> tuple[str, int]:
    """Base format and number of header rows."""
    base, mark, rest = form.partition("WithNames")
    return base, _HEADERS.get(mark + rest, 0)


def _binary_header_bytes(piece: bytes, rows: int) -> int:
    """A number of columns, then that many strings per row of the header."""
    columns, at = varint(piece, 0)
    for _ in range(columns * rows):
        size, at = varint(piece, at)
        at += size
    return at


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
