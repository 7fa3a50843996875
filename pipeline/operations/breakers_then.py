"""Breakers as they were while a request lived: the state of each endpoint in question, and what changed meanwhile. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["breakers_then", "ended_at", "endpoints_of"]

_FOREVER: Final = "2200-01-01T00:00:00.000Z"


def endpoints_of(document: Mapping[str, Any]) -> set[str]:
    """Those that decisions looked at and calls went to."""
    seen = {endpoint for decision in document["decisions"] for endpoint in decision.get("view") or ()}
    called = {f"{call['provider']}/{call['model']}/{call['region']}" for call in document["attempts"]}
    return seen | called


def ended_at(document: Mapping[str, Any]) -> str:
    """The time of the outcome, as documents have it; without one a time that nobody sees."""
    return (document["response"] or {}).get("finished_at") or _FOREVER


def breakers_then(document: Mapping[str, Any], transitions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per endpoint the last transition before the request was accepted, and those until its outcome, by time.

    Args:
        document: What else is known of the request.
        transitions: Events of `breakers`, times as RFC 3339.
    """
    accepted = (document["enriched"] or document["response"] or {}).get("accepted_at") or ""
    wanted, end = endpoints_of(document), ended_at(document)
    before: dict[str, dict[str, Any]] = {}
    meanwhile = []
    for breaker in sorted(transitions, key=lambda breaker: (breaker["at"], breaker["epoch"])):
        if breaker["endpoint"] not in wanted or breaker["at"] > end:
            continue
        if breaker["at"] <= accepted:
            before[breaker["endpoint"]] = breaker
        else:
            meanwhile.append(breaker)
    return [before[endpoint] for endpoint in sorted(before)] + meanwhile
