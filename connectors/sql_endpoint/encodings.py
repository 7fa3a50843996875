"""`Content-Encoding` both ways, piece by piece; a library for each is brought by the ClickHouse client."""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import lz4.frame

from connectors.sql_endpoint.errors import SqlError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["Decoder", "Encoder", "choose", "decoder", "encoder"]

_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16
# What ClickHouse's clients like best first; level 1 each: the way is short.
_PREFERRED: Final = ("zstd", "lz4", "gzip", "deflate")
_PIECE_BYTES: Final = 1 << 20


class Encoder(Protocol):
    def compress(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...


class _Lz4Encoder:
    """Begins its frame with the first piece, as the others do."""

    def __init__(self) -> None:
        self._frame: Any = lz4.frame.LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: bytes) -> bytes:
        return self._begin() + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        return self._begin() + bytes(self._frame.flush())

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return bytes(self._frame.begin())


def choose(accepted: str) -> str | None:
    """The encoding of an answer, by `Accept-Encoding`."""
    weights = dict(_weight(part) for part in accepted.split(","))
    return next((name for name in _PREFERRED if weights.get(name, 0.0) > 0), None)


def _weight(part: str) -> tuple[str, float]:
    name, _, quality = part.strip().lower().partition(";q=")
    try:
        return name, float(quality or 1)
    except ValueError:
        return name, 0.0


def encoder(name: str) -> Encoder:
    match name:
        case "zstd":
            return zstd.ZstdCompressor(level=1)
        case "lz4":
            return _Lz4Encoder()
        case "gzip":
            return zlib.compressobj(1, zlib.DEFLATED, _GZIP_WINDOW)
        case _:
            return zlib.compressobj(1)


class Decoder:
    """Lazy and bounded: a piece in gives pieces out, none larger than a megabyte. Concatenated frames are one body."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._inner: Any = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner is None or self._inner.eof:
                self._inner = self._make()
            try:
                yield from self._drain(data)
            except (zlib.error, RuntimeError, zstd.ZstdError, EOFError) as error:
                raise SqlError(117, f"cannot decompress the request body: {error}") from None
            data = bytes(self._inner.unused_data or b"") if self._inner.eof else b""

    def finish(self) -> None:
        """Raises SqlError: the body ended in the middle of a frame."""
        if self._inner is not None and not self._inner.eof:
            raise SqlError(117, "cannot decompress the request body: it is cut off")

    def _drain(self, data: bytes) -> Iterator[bytes]:
        while piece := self._inner.decompress(data, _PIECE_BYTES):
            yield bytes(piece)
            if self._inner.eof:
                return
            # zlib hands back what it did not read, the others keep it.
            data = bytes(getattr(self._inner, "unconsumed_tail", b""))


def decoder(name: str) -> Decoder | None:
    """Of a request body; None where it comes as it is.

    Raises:
        SqlError: No such encoding.
    """
    makers: dict[str, Callable[[], Any]] = {
        "zstd": zstd.ZstdDecompressor,
        "lz4": lz4.frame.LZ4FrameDecompressor,
        "gzip": lambda: zlib.decompressobj(_GZIP_WINDOW),
        "deflate": zlib.decompressobj,
    }
    if name in ("", "identity"):
        return None
    if name not in makers:
        raise SqlError(48, f"unknown Content-Encoding of the request: {name[:40]}")
    return Decoder(makers[name])
