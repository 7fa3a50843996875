"""Rules of the catalogue over time, each for each subject (a set of labels): readings in, transitions out.

| state    | the condition holds              | it does not                           | nobody knows |
|----------|----------------------------------|---------------------------------------|--------------|
| quiet    | waiting, since now               |                                       |              |
| waiting  | firing once it has for `for_s`   | quiet                                 | as it was    |
| firing   | stays                            | quiet (resolved) after `clear_ms`     | as it was    |

With `for_s: 0` waiting is passed through at once. A subject that is gone from its term's readings does not hold; nobody
knows while the whole term is missing. So a rule speaks twice per episode, and what comes back within half a minute is the
same episode. A rule that is taken out of the catalogue, or asks for another term, resolves at once.

Only firing survives a restart (it is read back from `alerts.v1`): waiting begins anew.
"""

import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pipeline.core.alerting.readings import Labels, Readings, labels_of
from schemas.catalog import Alert as Rule
from schemas.catalog import Condition
from schemas.events import Alert
from schemas.ids import alert_id

__all__ = ["CLEAR_MS", "Rules", "clear_ms"]

CLEAR_MS: Final = 30_000
"""Shorter than this nothing is over: a breaker that closes and opens again is one outage."""

_COMPARE: Final = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


def clear_ms(rule: Rule) -> int:
    """How long the condition must not hold until the alert is over."""
    return max(CLEAR_MS, round(rule.for_s * 1000))


@dataclass(slots=True)
class _Firing:
    """`clear_since`: since when the condition does not hold; None while it does."""

    alert: Alert
    clear_since: int | None = None


_Key = tuple[str, Labels]


class Rules:
    """Goes on from `history`: records of `alerts.v1`, in order."""

    def __init__(self, history: Iterable[Alert] = ()) -> None:
        self._firing: dict[_Key, _Firing] = {}
        self._waiting: dict[_Key, int] = {}
        for alert in history:
            key = (alert.name, labels_of(alert.labels))
            if alert.state == "firing":
                self._firing[key] = _Firing(alert)
            else:
                self._firing.pop(key, None)

    @property
    def firing(self) -> list[Alert]:
        return [firing.alert for firing in self._firing.values()]

    def step(self, rules: Iterable[Rule], readings: Readings, now_ms: int, *, catalog: str) -> list[Alert]:
        """What began and what ended; call it every second or so. `catalog`: hash of the one with these rules."""
        by_name = {rule.name: rule for rule in rules}
        said = list(self._dropped(by_name, now_ms, catalog))
        for rule in by_name.values():
            if (values := readings.get(rule.condition.term)) is not None:
                said += self._judge(rule, values, now_ms, catalog)
        return said

    def _dropped(self, rules: Mapping[str, Rule], now_ms: int, catalog: str) -> Iterator[Alert]:
        """Of rules that are gone. Who was told of the beginning is told of the end."""
        asked = {name: rule.condition.term for name, rule in rules.items()}
        self._waiting = {key: since for key, since in self._waiting.items() if key[0] in rules}
        for key, firing in list(self._firing.items()):
            if asked.get(key[0]) != firing.alert.term:
                del self._firing[key]
                yield replace(firing.alert, state="resolved", at=now_ms, catalog=catalog)

    def _judge(self, rule: Rule, values: Mapping[Labels, float], now_ms: int, catalog: str) -> Iterator[Alert]:
        known = {key[1] for key in (*self._waiting, *self._firing) if key[0] == rule.name}
        for labels in sorted({*values, *known}):
            value = values.get(labels)
            key = (rule.name, labels)
            if key in self._firing:
                yield from self._still(rule, key, value, now_ms, catalog)
            elif value is None or not _holds(rule.condition, value):
                self._waiting.pop(key, None)
            elif now_ms - self._waiting.setdefault(key, now_ms) >= rule.for_s * 1000:
                yield self._fire(rule, key, value, now_ms, catalog)

    def _fire(self, rule: Rule, key: _Key, value: float, now_ms: int, catalog: str) -> Alert:
        since, labels, asked = self._waiting.pop(key), dict(key[1]), rule.condition
        alert = Alert(
            alert_id(rule.name, labels, since), rule.name, "firing", asked.term, asked.operator, asked.threshold, value,
            labels, since, now_ms, catalog, list(rule.to),
        )  # fmt: skip
        self._firing[key] = _Firing(alert)
        return alert

    def _still(self, rule: Rule, key: _Key, value: float | None, now_ms: int, catalog: str) -> Iterator[Alert]:
        firing = self._firing[key]
        if value is not None and _holds(rule.condition, value):
            firing.clear_since = None
            return
        if firing.clear_since is None:
            firing.clear_since = now_ms
        if now_ms - firing.clear_since >= clear_ms(rule):
            del self._firing[key]
            last = firing.alert.value if value is None else value
            told = list(dict.fromkeys((*firing.alert.to, *rule.to)))
            yield replace(firing.alert, state="resolved", value=last, at=now_ms, catalog=catalog, to=told)


def _holds(condition: Condition, value: float) -> bool:
    return bool(_COMPARE[condition.operator](value, condition.threshold))
