"""What can go wrong, and when it does. The kinds are listed here once; the package's docstring explains them.

Precedence for one request: its own directive, then the first scripted rule that matches, then the background rates.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.simulator.ask import Ask
from connectors.simulator.draws import Draw

# Answered in the vendor's error shape, before anything else.
ERRORS = frozenset(
    {
        "invalid_request",
        "context_too_long",
        "content_filtered",
        "auth",
        "permission",
        "quota_exhausted",
        "billing",
        "rate_limited",
        "overloaded",
        "provider_fault",
        "timeout",
        "conflict",
        "not_found",
        "html_502",
    }
)
# Nothing or not everything arrives.
BEFORE_HEADERS = frozenset({"hang_before_headers", "reset", "close"})
MID_STREAM = frozenset(
    {"hang_after_headers", "hang_mid_stream", "reset_mid_stream", "close_mid_stream", "error_mid_stream", "early_end"}
)
# Status 200 and not what was promised.
BODIES = frozenset({"error_200", "malformed", "empty_body", "wrong_shape", "no_done", "no_usage"})
# A legal ending that is no answer.
ENDINGS = frozenset({"content_filter", "refusal"})
# Legal, but hard to read; may be combined with each other and with one of the others.
FRAMING = frozenset({"split_bytes", "join_events", "comments", "crlf", "drip", "slow"})
KINDS = ERRORS | BEFORE_HEADERS | MID_STREAM | BODIES | ENDINGS | FRAMING

_DEFAULT_AFTER = 3


class BadFault(ValueError):
    """A fault that nobody knows."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer.

    Attributes:
        kind: What goes wrong; empty when only the framing is odd, or nothing.
        framing: Oddities of the framing.
        after: Content pieces that arrive before a fault in the middle.
        retry_after_s: Hint to send with the error; None for the kind's own.
    """

    kind: str = ""
    framing: frozenset[str] = frozenset()
    after: int = _DEFAULT_AFTER
    retry_after_s: float | None = None

    @property
    def name(self) -> str:
        return "+".join(filter(None, (self.kind, *sorted(self.framing))))


NO_FAULT = Fault()


def parse(text: str, *, after: float | None = None, retry_after_s: float | None = None) -> Fault:
    """A fault from its spelling, `kind`, `framing` or several joined by `+`.

    Raises:
        BadFault: Unknown, or two kinds that exclude each other.
    """
    names = frozenset(text.split("+"))
    if unknown := sorted(names - KINDS):
        raise BadFault(f"unknown fault '{unknown[0]}'")
    kinds = sorted(names - FRAMING)
    if len(kinds) > 1:
        raise BadFault(f"faults '{kinds[0]}' and '{kinds[1]}' exclude each other")
    return Fault(
        kind=kinds[0] if kinds else "",
        framing=names & FRAMING,
        after=_DEFAULT_AFTER if after is None else int(after),
        retry_after_s=retry_after_s,
    )


@dataclass(slots=True, kw_only=True)
class Rule:
    """A scripted fault.

    Attributes:
        fault: Its spelling, see `parse`.
        model: Only this model; None for all.
        share: Share of the matching requests.
        count: Only so many requests, then the rule is spent; None for no end.
        from_s: Real seconds after the rule was set when it begins, `to_s` when it ends.
    """

    fault: str
    model: str | None = None
    share: float = 1.0
    count: int | None = None
    from_s: float = 0.0
    to_s: float | None = None
    after: float | None = None
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        parse(self.fault)

    def is_due(self, model: str, elapsed_s: float) -> bool:
        in_time = self.from_s <= elapsed_s and (self.to_s is None or elapsed_s < self.to_s)
        return in_time and self.model in {None, model} and self.count != 0


@dataclass(slots=True)
class FaultBook:
    """All faults in force."""

    background: dict[str, float] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    since: float = 0.0

    def script(self, rules: list[Mapping[str, Any]], *, now: float) -> None:
        """Replaces the scripted rules; their times count from now.

        Raises:
            BadFault: An unknown fault.
            TypeError: An unknown field.
        """
        self.rules = [Rule(**rule) for rule in rules]
        self.since = now

    def set_background(self, rates: Mapping[str, float]) -> None:
        """Replaces the background rates.

        Raises:
            BadFault: An unknown fault.
        """
        for kind in rates:
            parse(kind)
        self.background = dict(rates)

    def decide(self, ask: Ask, draw: Draw, *, tries: int, now: float) -> Fault:
        """The fault of one request.

        Args:
            ask: The request.
            draw: Its randomness.
            tries: How often this conversation has arrived, over all models, this time included.
            now: The clock.

        Raises:
            BadFault: The directive names an unknown fault.
        """
        wish = ask.directive
        if wish.fault:
            applies = wish.model in {"", ask.model.name} and tries <= (wish.fail_attempts or math.inf)
            fault = parse(wish.fault, after=wish.after, retry_after_s=wish.retry_after_s)
            return fault if applies else NO_FAULT
        return self.chance(ask.model.name, draw, now=now)

    def chance(self, model: str, draw: Draw, *, now: float) -> Fault:
        """The fault that rules or background rates bring, directives aside."""
        if not self.rules and not self.background:
            return NO_FAULT
        rng = draw.stream("fault")
        for rule in self.rules:
            if rule.is_due(model, now - self.since) and rng.random() < rule.share:
                if rule.count is not None:
                    rule.count -= 1
                return parse(rule.fault, after=rule.after, retry_after_s=rule.retry_after_s)
        return self._background(rng)

    def _background(self, rng: random.Random) -> Fault:
        ticket = rng.random()
        for kind, rate in self.background.items():
            ticket -= rate
            if ticket < 0:
                return parse(kind)
        return NO_FAULT
