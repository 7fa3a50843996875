"""A report in one sentence, for people. Pure."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["sentence"]

_SAME: Final = 0.005
"""A ratio of costs within half a per cent is the same."""


def sentence(document: Mapping[str, Any]) -> str:
    """What to do, why, and at what price."""
    if not _has_figures(document):
        return _nothing(document)
    said = ", ".join((_advice(document), *_prices(document)))
    return f"{said}."


def _has_figures(document: Mapping[str, Any]) -> bool:
    return bool(document["primary"]["requests"] or document["shadow"]["requests"])


def _nothing(document: Mapping[str, Any]) -> str:
    skipped = document["skipped"]
    if not skipped:
        return "Nothing was compared yet."
    reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(skipped.items(), key=lambda row: -row[1]))
    return f"Nothing was compared: all {sum(skipped.values())} requests were skipped ({reasons})."


def _advice(document: Mapping[str, Any]) -> str:
    rate = document["win_rate"]
    shadow, primary = _name(document, "shadow"), _name(document, "primary")
    if rate["estimate"] is None:
        return _unjudged(document, shadow)
    found = f"{shadow} {_found(document)}"
    match document["verdict"]:
        case "promote":
            return f"Promote {shadow}: it {_found(document)}"
        case "keep":
            return f"Keep {primary}: {found}"
    needed = document["more_needed"]
    return (
        f"No verdict in sight: {found}"
        if needed is None
        else f"About {_about(needed)} more {_unit(document)} needed: {found}"
    )


def _unjudged(document: Mapping[str, Any], shadow: str) -> str:
    """Nobody said which answer is better."""
    if document["kind"] == "split":
        return f"No verdict: nobody has rated answers of both arms yet ({_name(document, 'primary')} and {shadow})"
    agreement = document["agreement"]
    if agreement["exact"] is None:
        return f"No verdict: no pair of answers of {document['pairs']} could be compared"
    words = "" if agreement["token_f1"] is None else f" (token F1 {agreement['token_f1']:.2f})"
    alike = f"{_percent(agreement['exact'])} of {document['answered']} answers are equal{words}"
    return f"No verdict without a judge: {shadow} was compared, {alike}"


def _found(document: Mapping[str, Any]) -> str:
    rate = document["win_rate"]
    ends = f"{_percent(rate['low'])} to {_percent(rate['high'])}, whenever you look"
    if document["kind"] == "split":
        first, second = document["quality"]["primary"], document["quality"]["shadow"]
        rated = f"is rated {second['estimate']:.2f}, {_name(document, 'primary')} {first['estimate']:.2f}"
        number = first["rated"] + second["rated"]
        return f"{rated}, over {number} {_unit(document)} (win rate {_percent(rate['estimate'])}; {ends})"
    judged = sum(document["judge"][word] for word in ("wins", "losses", "ties"))
    return f"wins {_percent(rate['estimate'])} of {judged} {_unit(document)} ({ends})"


def _unit(document: Mapping[str, Any]) -> str:
    return "rated answers" if document["kind"] == "split" else "judged pairs"


def _prices(document: Mapping[str, Any]) -> Iterator[str]:
    ratio, total = document["cost_ratio"], document["deltas"]["total_ms"]
    if ratio is not None:
        yield _cost(ratio)
    if total is not None:
        yield f"answers {abs(total['estimate']):.0f} ms {'later' if total['estimate'] > 0 else 'sooner'}"
    if errors := document["shadow"]["errors"]:
        yield f"fails {errors} of {document['shadow']['requests']}"


def _cost(ratio: float) -> str:
    if abs(ratio - 1) < _SAME:
        return "costs the same"
    return f"costs {_percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'}"


def _name(document: Mapping[str, Any], side: str) -> str:
    """A shadow's model; a split's arm."""
    return str(document[side].get("arm") or document[side]["model"] or document["names"][side == "shadow"])


def _percent(part: float) -> str:
    return f"{100 * part:.1f} %" if part < 10 else f"{100 * part:.0f} %"


def _about(number: int) -> str:
    """Two digits are as much as is known."""
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / step) * step:,}"
