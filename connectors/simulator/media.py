"""Images, files and sound in a request, named by type, size and digest: an answer then shows what arrived."""

import base64
import binascii
from hashlib import sha256

_SHOWN_DIGITS = 12


def described(kind: str, media_type: str, data: bytes) -> str:
    """`image image/png 68 bytes sha256:0a1b2c3d4e5f`."""
    digest = sha256(data).hexdigest()[:_SHOWN_DIGITS]
    return f"{kind} {media_type} {len(data)} bytes sha256:{digest}"


def of_base64(kind: str, media_type: str, data: str) -> str:
    """The same for base64; what is none is counted as it stands."""
    try:
        return described(kind, media_type, base64.b64decode(data, validate=True))
    except binascii.Error:
        return described(kind, f"{media_type} (no base64)", data.encode())


def of_url(kind: str, url: str) -> str:
    """The same for a data URL; any other address is repeated, nothing is fetched."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:"):
        return f"{kind} at {url}"
    return of_base64(kind, head.removeprefix("data:").partition(";")[0], data)
