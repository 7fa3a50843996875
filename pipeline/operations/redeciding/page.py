"""The report as one file of HTML: nothing is loaded, so it can be mailed; light or dark as the reader's screen is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, StrictUndefined

__all__ = ["page"]

_TEMPLATE: Final = Path(__file__).parent / "page.html"
_WIDTH: Final = 600
_NANO: Final = 1_000_000_000


def page(document: Mapping[str, Any]) -> str:
    """Of the whole document; everything in it is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.globals.update(usd=_usd, number=_number, policy=_policy)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    refused = document["refused"]
    return template.render(
        d=document,
        sentence=_sentence(document),
        bars=_bars(document["by_model"]),
        quality=_places(document["expected_quality"]["difference"]),
        codes=sorted({*refused["logged"], *refused["replayed"]}),
    )


def _sentence(document: Mapping[str, Any]) -> str:
    if not document["decisions"]:
        return "The range holds no decision."
    if not document["changed"]:
        return "Every decision comes out as it was logged."
    share = document["changed"] / document["decisions"]
    cost = document["cost_nano_usd"]
    change = f", costs {cost['replayed'] / cost['logged'] - 1:+.1%}" if cost["logged"] else ""
    return f"{share:.1%} of the decisions change{change}, expected quality {_verdict(document['expected_quality'])}."


def _verdict(quality: Mapping[str, Any]) -> str:
    difference = quality["difference"]
    if difference["low"] > 0:
        return "rises"
    if difference["high"] < 0:
        return "falls"
    return "may be the same"


def _bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    most = max((max(row["logged"], row["replayed"]) for row in rows), default=0) or 1
    return [
        {**row, "then": round(row["logged"] / most * _WIDTH, 1), "now": round(row["replayed"] / most * _WIDTH, 1)}
        for row in rows
    ]


def _places(difference: Mapping[str, float] | None) -> dict[str, float] | None:
    """Where the interval is drawn: no difference in the middle; None: there is none."""
    if difference is None:
        return None
    reach = max(abs(difference["low"]), abs(difference["high"])) * 1.1 or 1.0

    def at(value: float) -> float:
        return round(_WIDTH / 2 + value / reach * _WIDTH / 2, 1)

    return {
        "zero": at(0), "low": at(difference["low"]), "high": at(difference["high"]), "middle": at(difference["estimate"]),
    }  # fmt: skip


def _usd(nano: int) -> str:
    return f"{nano / _NANO:,.4f} $"


def _number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _policy(said: str | list[str] | None) -> str:
    return ", ".join(said) if isinstance(said, list) else said or "none"
