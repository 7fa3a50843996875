"""Where a request to a local port comes from, by its headers: what every surface on loopback asks. Pure.

A page in a browser reaches loopback too: under a name of its own that it rebinds to this address (`Host`), or from its own
origin (`Origin`, `Sec-Fetch-Site`).
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["called_name", "is_foreign_page", "is_loopback"]


def is_loopback(host: str) -> bool:
    """A name or address without port and brackets."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def called_name(headers: Mapping[str, str]) -> str:
    """The name by which we are called, without port and brackets, in lower case; empty if there is none."""
    try:
        return urlsplit(f"//{headers.get('Host', '')}").hostname or ""
    except ValueError:
        return ""


def is_foreign_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser says that a page of another origin sends this."""
    origin = headers.get("Origin")
    if origin is not None and _netloc(origin) != headers.get("Host", ""):
        return True
    return headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
