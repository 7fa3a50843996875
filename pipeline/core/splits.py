"""Live splits: which arm of an experiment a request is on. Pure, and the same for the same request at any time and place.

    share of [0, 1)  =  hash(experiment, tenant, kind of unit, its value)
    arm              =  the one whose stretch it falls in; stretches are as long as weights, in the order of names

The unit is what stays on one arm; where a request has none, the next one takes its place: user, conversation, request. A
cryptographic hash, since two experiments must not agree on who is on their first arm.
"""

from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

from schemas.catalog import Catalog, Experiment
from schemas.events import Enriched

__all__ = ["arm_at", "bounds_of", "experiment_of", "place_of", "shares_of"]

_UNITS = ("user", "conversation", "request")
_WHOLE = 2.0**64


def experiment_of(catalog: Catalog, route: str) -> Experiment | None:
    """The split of a route; there is one at most."""
    return next((each for each in catalog.experiments if each.route == route), None)


def shares_of(experiment: Experiment) -> dict[str, float]:
    """By the name of the arm, in the order of names; together 1. Added up in that order too: sums of floats differ by it."""
    weights = {name: experiment.arms[name].weight for name in sorted(experiment.arms)}
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def bounds_of(shares: Sequence[float]) -> tuple[float, ...]:
    """Where the stretch of each arm but the last ends."""
    return tuple(accumulate(shares))[:-1]


def place_of(experiment: Experiment, request: Enriched) -> float:
    """Where in [0, 1) the request's unit is."""
    values = {"user": request.user, "conversation": request.conversation_id, "request": request.request_id}
    kind = next(kind for kind in _UNITS[_UNITS.index(experiment.unit) :] if values[kind])
    said = "\x00".join((experiment.name, request.tenant, kind, values[kind] or ""))
    return int.from_bytes(blake2b(said.encode(), digest_size=8).digest(), "big") / _WHOLE


def arm_at(place: float, bounds: Sequence[float]) -> int:
    """The number of the arm."""
    return bisect_right(bounds, place)
