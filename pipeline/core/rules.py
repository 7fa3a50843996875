"""The catalogue's rules: which match a request, and what they do together (CONTRACT.md section 3).

All matching rules apply: `require` intersects, `prefer` adds up, `exclude` and `pin` collect. Two different pins leave
nothing, and so does a pin that is no candidate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from schemas.catalog import Catalog, Operation, Require, Rule, Sensitivity, When

__all__ = ["NOTHING_REQUIRED", "Applied", "Facts", "Requires", "applied", "likely_domain"]

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday


@dataclass(slots=True)
class Facts:
    """What rules may ask about a request; `domain` is the most likely one, empty where unknown."""

    tenant: str
    route: str
    operation: Operation | str
    sensitivity: Sensitivity
    now_ms: int
    user: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    domain: str = ""
    language: str = "und"
    complexity: float = 0.0
    input_tokens: int = 0

    @property
    def weekday(self) -> str:
        return _WEEKDAYS[(self.now_ms // _DAY_MS + _EPOCH_WEEKDAY) % 7]

    @property
    def hour(self) -> int:
        return self.now_ms % _DAY_MS // _HOUR_MS


def likely_domain(domains: Mapping[str, float]) -> str:
    """The most likely one, ties by name; empty where none is known."""
    if len(domains) > 1:
        return min(domains, key=lambda name: (-domains[name], name))
    return next(iter(domains), "")


@dataclass(slots=True, frozen=True)
class Requires:
    """The intersection of all `require`s: None means no limit, an empty set means nothing fits."""

    regions: frozenset[str] | None = None
    terms: frozenset[str] = frozenset()
    providers: frozenset[str] | None = None
    models: frozenset[str] | None = None


NOTHING_REQUIRED = Requires()


@dataclass(slots=True, frozen=True)
class Applied:
    """What the matching rules do together; `bonus` per model; `names` and `numbers` (places in the list) say which they were."""

    requires: Requires = NOTHING_REQUIRED
    bonus: Mapping[str, float] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    pins: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


def applied(catalog: Catalog, facts: Facts) -> Applied:
    """What the rules that match do together; the same object for the same rules of the same catalogue."""
    book = _book_of(catalog)
    matching = tuple([index for index, holds in enumerate(book.conditions) if holds(facts)])
    found = book.kept.get(matching)
    if found is None:
        if len(book.kept) >= _KEPT_COMBINATIONS:
            book.kept.clear()
        found = book.kept[matching] = _together([(index, catalog.rules[index]) for index in matching])
    return found


def _together(matching: list[tuple[int, Rule]]) -> Applied:
    rules = [rule for _, rule in matching]
    return Applied(
        requires=_required([rule.require for rule in rules if rule.require is not None]),
        bonus=_bonuses(rules),
        exclude=frozenset(model for rule in rules for model in rule.exclude or ()),
        pins=frozenset(rule.pin for rule in rules if rule.pin is not None),
        names=tuple(rule.name or str(index) for index, rule in matching),
        numbers=tuple(index for index, _ in matching),
    )


def _required(requires: list[Require]) -> Requires:
    return Requires(
        regions=_common([each.regions for each in requires]),
        terms=frozenset(term for each in requires for term in each.terms or ()),
        providers=_common([each.providers for each in requires]),
        models=_common([each.models for each in requires]),
    )


def _common(lists: list[tuple[str, ...] | None]) -> frozenset[str] | None:
    said = [frozenset(names) for names in lists if names is not None]
    return frozenset.intersection(*said) if said else None


def _bonuses(rules: list[Rule]) -> dict[str, float]:
    bonus: dict[str, float] = {}
    for rule in rules:
        for model in dict.fromkeys(rule.prefer or ()):
            bonus[model] = bonus.get(model, 0.0) + rule.by
    return bonus


Condition = Callable[[Facts], bool]


def _has_tags(tags: Mapping[str, str]) -> Condition:
    return lambda facts: all(facts.tags.get(name) == value for name, value in tags.items())


def _is_one_of(levels: frozenset[Sensitivity]) -> Condition:
    return lambda facts: facts.sensitivity in levels


_CONDITIONS: dict[str, Callable[[Any], Condition]] = {
    "tenant": lambda names: lambda facts: facts.tenant in names,
    "route": lambda names: lambda facts: facts.route in names,
    "user": lambda names: lambda facts: facts.user in names,
    "tags": _has_tags,
    "domain": lambda names: lambda facts: facts.domain in names,
    "language": lambda names: lambda facts: facts.language in names,
    "operation": lambda name: lambda facts: facts.operation == name,
    "complexity_below": lambda limit: lambda facts: facts.complexity < limit,
    "complexity_at_least": lambda limit: lambda facts: facts.complexity >= limit,
    "sensitivity_at_least": lambda least: _is_one_of(frozenset(level for level in Sensitivity if level >= least)),
    "input_tokens_at_least": lambda count: lambda facts: facts.input_tokens >= count,
    "hours_of_day": lambda hours: lambda facts: facts.hour in hours,
    "weekdays": lambda days: lambda facts: facts.weekday in days,
}
"""By attribute of `When`: what is said -> whether it holds. What a rule does not say is not asked."""


@dataclass(slots=True)
class _Book:
    """A catalogue's rules, ready to be asked, and what combinations of them do."""

    conditions: tuple[Condition, ...]
    kept: dict[tuple[int, ...], Applied] = field(default_factory=dict)


_KEPT_BOOKS, _KEPT_COMBINATIONS = 64, 4_096
_books: dict[str, _Book] = {}


def _book_of(catalog: Catalog) -> _Book:
    book = _books.get(catalog.hash)
    if book is None:
        if len(_books) >= _KEPT_BOOKS:
            _books.clear()
        book = _books[catalog.hash] = _Book(tuple(_condition(rule.when) for rule in catalog.rules))
    return book


def _condition(when: When) -> Condition:
    """All that is said, as one question: loops over conditions take twice as long."""
    said = ((make, getattr(when, name)) for name, make in _CONDITIONS.items())
    return reduce(_both, [make(value) for make, value in said if value is not None] or [lambda _: True])


def _both(one: Condition, other: Condition) -> Condition:
    return lambda facts: one(facts) and other(facts)
