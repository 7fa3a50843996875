"""Templates and static files of the package. Everything that a template prints is escaped."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader

__all__ = ["Renderer", "StaticFile", "about_usd", "count", "milliseconds", "static_files", "usd"]

_HERE: Final = Path(__file__).parent
_TYPES: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}
_FIVE_DIGITS: Final = 10_000


@dataclass(slots=True, frozen=True)
class StaticFile:
    body: bytes
    content_type: str

    @property
    def version(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:12]


def static_files() -> dict[str, StaticFile]:
    """By the path under `static/`; these are all that are served."""
    root = _HERE / "static"
    return {
        str(path.relative_to(root)): StaticFile(path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(root.rglob("*"))
        if path.suffix in _TYPES
    }


class Renderer:
    def __init__(self, files: Mapping[str, StaticFile]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters |= {
            "usd": usd,
            "about_usd": about_usd,
            "count": count,
            "ms": milliseconds,
            "clock": _clock,
            "share": _share,
        }
        self._environment.globals["static"] = lambda name: f"/static/{name}?v={files[name].version}"

    def render(self, template: str, values: Mapping[str, Any]) -> str:
        return self._environment.get_template(template).render(values)


def usd(nano: int | None) -> str:
    """Exact: all digits that there are, at least two."""
    text = f"{Decimal(nano or 0).scaleb(-9):,.9f}".rstrip("0")
    whole, _, digits = text.partition(".")
    return f"${whole}.{digits:0<2}"


def about_usd(nano: float, *, signed: bool = True) -> str:
    """An estimate, or what has little room: three digits; a difference with its sign first."""
    amount = Decimal(f"{abs(nano):.3g}").scaleb(-9).normalize()
    sign = "-" if nano < 0 else "+" if signed else ""
    return f"{sign}${amount:f}"


def count(number: int | None) -> str:
    """12345 -> 12,345; four digits need no help."""
    return f"{number or 0:,}" if (number or 0) >= _FIVE_DIGITS else str(number or 0)


def milliseconds(value: Any) -> str:
    """340 ms, 1.25 s; what was not measured is a dash."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "-"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def _clock(at: str | None) -> str:
    """The time of day of an RFC 3339 time."""
    return at[11:19] if at else "-"


def _share(part: float, rows: Sequence[Mapping[str, Any]], name: str) -> float:
    """Per cent of the sum of a column."""
    whole = sum(row[name] for row in rows)
    return 100 * part / whole if whole else 0.0
