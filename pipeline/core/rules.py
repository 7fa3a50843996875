"""The catalogue's rules: which match a request, and what they do together (CONTRACT.md section 3).

All matching rules apply: `require` intersects, `prefer` adds up, `exclude` and `pin` collect. Two different pins leave
nothing, and so does a pin that is no candidate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.catalog import Catalog, Operation, Require, Rule, Sensitivity, When

__all__ = ["NOTHING_REQUIRED", "Applied", "Facts", "Requires", "applied"]

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday


@dataclass(slots=True, frozen=True)
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
    """What the matching rules do together; `bonus` per model; `names` says which they were."""

    requires: Requires = NOTHING_REQUIRED
    bonus: Mapping[str, float] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    pins: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()


def applied(catalog: Catalog, facts: Facts) -> Applied:
    matching = [
        (rule.name or str(index), rule) for index, rule in enumerate(catalog.rules) if _matches(rule.when, facts)
    ]
    rules = [rule for _, rule in matching]
    return Applied(
        requires=_required([rule.require for rule in rules if rule.require is not None]),
        bonus=_bonuses(rules),
        exclude=frozenset(model for rule in rules for model in rule.exclude or ()),
        pins=frozenset(rule.pin for rule in rules if rule.pin is not None),
        names=tuple(name for name, _ in matching),
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


def _matches(when: When, facts: Facts) -> bool:
    return all(check(when, facts) for check in _CONDITIONS)


_CONDITIONS: tuple[Callable[[When, Facts], bool], ...] = (
    lambda when, facts: when.tenant is None or facts.tenant in when.tenant,
    lambda when, facts: when.route is None or facts.route in when.route,
    lambda when, facts: when.user is None or facts.user in when.user,
    lambda when, facts: all(facts.tags.get(name) == value for name, value in (when.tags or {}).items()),
    lambda when, facts: when.domain is None or facts.domain in when.domain,
    lambda when, facts: when.language is None or facts.language in when.language,
    lambda when, facts: when.operation is None or facts.operation == when.operation,
    lambda when, facts: when.complexity_below is None or facts.complexity < when.complexity_below,
    lambda when, facts: when.complexity_at_least is None or facts.complexity >= when.complexity_at_least,
    lambda when, facts: when.sensitivity_at_least is None or facts.sensitivity >= when.sensitivity_at_least,
    lambda when, facts: when.input_tokens_at_least is None or facts.input_tokens >= when.input_tokens_at_least,
    lambda when, facts: when.hours_of_day is None or facts.hour in when.hours_of_day,
    lambda when, facts: when.weekdays is None or facts.weekday in when.weekdays,
)
