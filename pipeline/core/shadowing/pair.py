"""Pair: the way of one mirrored request to its comparison. Pure: what happened comes in, what is to be done goes out.

    1. admitted   it waits for the outcome of its primary: only then it is called, so nothing is paid for nothing
    2. shadow     one call through the bulk lane
    3. judge      where a model judges: two more calls, with the answers in both orders
    4. written    the comparison; or, if no call went out after all, the skip

A primary or a shadow that failed makes a pair too, with an error. Nobody's state but the pair's own is touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.core.comparing import Said, Winner, judged, measured, ruled, said_in, verdict_in
from pipeline.core.rules import likely_domain
from pipeline.core.shadowing.admission import Plan, SkipReason
from pipeline.core.shadowing.calls import JUDGE, SHADOW
from pipeline.core.shadowing.leg import Leg, LegState
from schemas.events import Attempt, Enriched, Response, ShadowComparison, Side

__all__ = ["PRIMARY_PATIENCE_MS", "Forward", "Pair", "Recover", "Step", "Write", "skipped"]

PRIMARY_PATIENCE_MS = 900_000
"""So long after it was accepted a request has its outcome, or is not compared."""
_OUTCOME_GRACE_MS = 30_000

_OURS = frozenset({"orphaned", "handed_over", "cancelled"})
"""Ends of a call that say nothing of the model: nobody wins."""


@dataclass(slots=True, frozen=True)
class Forward:
    """Order this call."""

    leg: Leg


@dataclass(slots=True, frozen=True)
class Recover:
    """Its worker is dead: close its books, as `finished`, with what had been written of it."""

    leg: Leg
    started: Attempt


@dataclass(slots=True, frozen=True)
class Write:
    """The end."""

    comparison: ShadowComparison


Step = Forward | Recover | Write


@dataclass(slots=True)
class Pair:
    """`judge`: none, rules, or a model. `body` is the request's once somebody needs it (it may travel by reference)."""

    experiment: str
    request: Enriched
    plan: Plan
    judge: str
    primary: Response | None = None
    body: dict[str, Any] | None = None
    shadow: Leg = field(init=False)
    judges: tuple[Leg, Leg] | None = None
    _asked: set[tuple[str, LegState]] = field(default_factory=set)
    _is_written: bool = False

    def __post_init__(self) -> None:
        self.shadow = self._leg(SHADOW, self.plan.model, 1)

    @property
    def legs(self) -> tuple[Leg, ...]:
        return (self.shadow, *(self.judges or ()))

    @property
    def is_under_way(self) -> bool:
        """A call of it may be at a provider."""
        return any(leg.is_under_way for leg in self.legs)

    def primary_came(self, response: Response, now_ms: int) -> list[Step]:
        """Its first outcome is the outcome."""
        self.primary = self.primary or response
        return self.step(now_ms)

    def heard(self, event: Attempt, now_ms: int) -> list[Step]:
        leg = self._of(event.attempt, event.model)
        if leg is not None:
            leg.heard(event)
        return self.step(now_ms)

    def answered(self, response: Response, now_ms: int) -> list[Step]:
        """A record of `responses` under the shadow's id."""
        leg = self._of(response.attempts, response.model)
        if leg is not None and leg.number == response.attempts:
            leg.answer = leg.answer or response
        return self.step(now_ms)

    def never_came(self, now_ms: int, log_ms: int) -> list[Step]:
        """`log_ms`: everything that was written on `responses` until then is known."""
        limit = min(self.request.deadline_at + _OUTCOME_GRACE_MS, self.request.accepted_at + PRIMARY_PATIENCE_MS)
        return [] if self.primary is not None or log_ms <= limit else self.give_up("no_primary_outcome", now_ms)

    def give_up(self, reason: SkipReason, now_ms: int) -> list[Step]:
        self._is_written = True
        return [Write(skipped(self.experiment, self.request, reason, now_ms, self.plan.shadow_request_id, self.judge))]

    def step(self, now_ms: int) -> list[Step]:
        """What is to be done now. A call is asked for again until it is ordered, everything else once."""
        if self._is_written or self.primary is None:
            return []
        for leg in self.legs:
            leg.tick(now_ms)
        if not self.shadow.is_over:
            return list(self._unasked((self.shadow,)))
        if not self.shadow.was_called:
            return self.give_up("breaker_open" if self.shadow.code == "breaker_open" else "expired", now_ms)
        if self._wants_judge() and self.judges is None:
            first, second = (self._leg(JUDGE, self.plan.judge or "", place) for place in (2, 3))
            self.judges = first, second
        if self.judges is not None and not all(leg.is_over for leg in self.judges):
            return list(self._unasked(self.judges))
        self._is_written = True
        return [Write(self._comparison(now_ms))]

    def _leg(self, role: str, model: str, place: int) -> Leg:
        return Leg(self.request.tenant, self.plan.shadow_request_id, role, model, place)

    def _of(self, number: int, model: str | None) -> Leg | None:
        """Whose attempt that is. A judge is known from its first event on, also to who has not asked it."""
        place = (number - 1) % 3 + 1
        if place == 1:
            return self.shadow
        if self.judges is None and self.plan.judge is not None and model == self.plan.judge:
            self.judges = self._leg(JUDGE, model, 2), self._leg(JUDGE, model, 3)
        return None if self.judges is None else self.judges[place - 2]

    def _unasked(self, legs: tuple[Leg, ...]) -> Iterator[Step]:
        for leg in legs:
            if leg.state is LegState.WAITING:
                yield Forward(leg)
            elif (
                leg.state is LegState.LOST
                and leg.started is not None
                and (key := (leg.attempt_id, leg.state)) not in self._asked
            ):
                self._asked.add(key)
                yield Recover(leg, leg.started)

    def _wants_judge(self) -> bool:
        """Rules come first: a model judges what they leave open."""
        if self.plan.judge is None:
            return False
        primary, shadow = self._said()
        return primary is not None and shadow is not None and ruled(primary, shadow, self.body or {}) == "tie"

    def _said(self) -> tuple[Said | None, Said | None]:
        assert self.primary is not None
        primary = said_in(self.primary.body) if self.primary.outcome == "ok" else None
        answer = self.shadow.answer
        return primary, said_in(answer.body) if self.shadow.is_ok and answer is not None else None

    def _winner(self, primary: Said | None, shadow: Said | None) -> Winner | None:
        if self.judge == "none" or self.shadow.code in _OURS:
            return None
        by_rules = ruled(primary, shadow, self.body or {})
        if self.judges is None or by_rules != "tie":
            return by_rules
        if not all(leg.was_called for leg in self.judges):
            return None
        first, second = (verdict_in(_said_by(leg)) for leg in self.judges)
        return judged(first, second)

    def _comparison(self, now_ms: int) -> ShadowComparison:
        assert self.primary is not None
        primary, shadow = self._said()
        found = measured(primary, shadow) if primary is not None and shadow is not None else None
        return ShadowComparison(
            **_identity(self.experiment, self.request, now_ms),
            status="compared",
            shadow_request_id=self.plan.shadow_request_id,
            primary=_primary_side(self.primary, primary),
            shadow=_shadow_side(self.shadow, shadow),
            **({} if found is None else {part.name: getattr(found, part.name) for part in fields(found)}),
            judge=self.judge,
            winner=self._winner(primary, shadow),
            judge_cost_nano_usd=sum(leg.cost_nano_usd for leg in self.judges or ()),
        )


def skipped(
    experiment: str, request: Enriched, reason: SkipReason, now_ms: int, shadow_id: str | None, judge: str
) -> ShadowComparison:
    return ShadowComparison(
        **_identity(experiment, request, now_ms),
        status="skipped",
        reason=reason,
        shadow_request_id=shadow_id,
        judge=judge,
    )


def _identity(experiment: str, request: Enriched, now_ms: int) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "request_id": request.request_id,
        "tenant": request.tenant,
        "at": now_ms,
        "accepted_at": request.accepted_at,
        "route": request.model,
        "domain": likely_domain(request.features.domains),
        "band": request.features.band,
    }


def _said_by(leg: Leg) -> Said | None:
    return said_in(leg.answer.body) if leg.is_ok and leg.answer is not None else None


def _primary_side(response: Response, said: Said | None) -> Side:
    """Times of the provider's own: waiting for a place is not the model's fault."""
    return Side(
        model=response.model or "",
        outcome="ok" if response.error is None else response.error.code,
        cost_nano_usd=response.cost_nano_usd,
        first_token_ms=response.timings_ms.first_token,
        total_ms=response.timings_ms.provider
        if response.timings_ms.provider is not None
        else response.timings_ms.total,
        output_tokens=response.usage.output_tokens if response.usage is not None else None,
        is_refusal=said is not None and said.is_refusal,
    )


def _shadow_side(leg: Leg, said: Said | None) -> Side:
    event = leg.finished
    return Side(
        model=leg.model,
        outcome=leg.code,
        cost_nano_usd=leg.cost_nano_usd,
        first_token_ms=event.first_event_ms if event is not None else None,
        total_ms=event.duration_ms if event is not None else None,
        output_tokens=event.usage.output_tokens if event is not None and event.usage is not None else None,
        is_refusal=said is not None and said.is_refusal,
    )
