"""One logged decision once more: the same arguments, under the catalogue of then or another one. Pure.

Nothing is rebuilt: the decision carries the situation that it saw, and its request is on the log as the classifier left it.
"""

from collections.abc import Sequence

from pipeline.core.decide import Situation, decide
from schemas.catalog import Catalog
from schemas.events import Decision, Enriched

__all__ = ["again", "asked", "is_same_choice", "situation_of"]


def situation_of(decision: Decision) -> Situation:
    """Endpoints that were no candidates then are unknown: they count as idle and well."""
    return Situation(
        in_flight=decision.in_flight,
        off_providers=frozenset(decision.off_providers),
        now_ms=decision.decided_at,
        views=decision.view,
        bulk_in_flight=decision.bulk_in_flight,
    )


def again(request: Enriched, decision: Decision, catalog: Catalog) -> Decision:
    """What `decide` says today."""
    return decide(
        request,
        catalog,
        situation_of(decision),
        attempt=decision.attempt,
        tried=decision.tried,
        cause=decision.cause,
        larger_than_tokens=decision.larger_than_tokens,
        target=decision.target,
    )


def asked(variants: Sequence[Enriched], decision: Decision) -> Enriched:
    """Which record of its request a decision was made from, where there are several.

    A takeover classifies again what it finds un-acked, mostly with the same result. Another classifier's is told by its
    version; an id that was used again, by the time.
    """
    fitting = [each for each in variants if each.features.classifier_version == decision.classifier_version]
    earlier = [each for each in fitting or variants if each.accepted_at <= decision.decided_at]
    return max(earlier or fitting or variants, key=lambda each: each.accepted_at)


def is_same_choice(one: Decision, other: Decision) -> bool:
    """Whether the request goes the same way, or is refused for the same reason."""
    return one.chosen == other.chosen and one.error_code == other.error_code
