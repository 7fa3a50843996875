"""Readings: what the terms of alert rules are worth now, per subject.

| term                 | labels             | is                                                                     |
|----------------------|--------------------|------------------------------------------------------------------------|
| breaker_open_s       | endpoint, provider | seconds since it was last closed, 0 while it is                        |
| error_rate           | provider           | failed of finished calls of the last minute, from `MIN_CALLS` on       |
| p95_first_token_s    | provider           | 95th percentile of the last minute's good streams, from `MIN_CALLS` on |
| dead_letters_per_min |                    | dead letters of the last minute                                        |
| consumer_lag         | group, topic       | records between what the group committed and the end                   |
| freshness_s          | topic              | age of the oldest record that the sink has no row for, 0 if there is none |
| budget_used          |                    | nothing measures it yet: never there                                   |

Time is the wall clock that records carry, in ms.
"""

import math
from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import ERROR_KINDS, SAYS_NOTHING, ErrorKind
from schemas.events import Alert, Attempt, Breaker

__all__ = [
    "MIN_CALLS",
    "WINDOW_MS",
    "Backlog",
    "Calls",
    "Labels",
    "Outages",
    "Readings",
    "Tally",
    "consumer_lag",
    "freshness_s",
    "labels_of",
]

Labels = tuple[tuple[str, str], ...]
"""Sorted by name."""

Readings = Mapping[str, Mapping[Labels, float]]
"""Term -> subject -> value. A term that nobody knows just now is missing."""

WINDOW_MS: Final = 60_000
MIN_CALLS: Final = 10
"""Fewer say nothing: one failed call of one is no error rate."""


def labels_of(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


class Outages:
    """Since when endpoints are out. Half open and ramping count: the outage is over when its breaker is closed.

    `firing`: what is known from before. The first record of a long outage may be compacted away by now; the alert says
    how long it had lasted.
    """

    def __init__(self, firing: Iterable[Alert] = ()) -> None:
        self._epochs: dict[str, int] = {}
        self._out_since: dict[str, int | None] = {}
        self._remembered = {
            alert.labels["endpoint"]: alert.at - round(alert.value * 1000)
            for alert in firing
            if alert.term == "breaker_open_s"
        }

    def note(self, breaker: Breaker) -> None:
        """In any order: the record of the higher epoch is the truth."""
        if breaker.epoch <= self._epochs.get(breaker.endpoint, -1):
            return
        self._epochs[breaker.endpoint] = breaker.epoch
        if breaker.state == "closed":
            self._out_since[breaker.endpoint] = None
            self._remembered.pop(breaker.endpoint, None)
        elif self._out_since.get(breaker.endpoint) is None:
            known = self._remembered.get(breaker.endpoint, breaker.since)
            self._out_since[breaker.endpoint] = min(known, breaker.since)

    def breaker_open_s(self, endpoints: Container[str], now_ms: int) -> dict[Labels, float]:
        """Of these, which are those of the catalogue: one that it dropped while it was out stays out for ever."""
        return {
            labels_of({"endpoint": endpoint, "provider": endpoint.partition("/")[0]}): _age_s(since, now_ms)
            for endpoint, since in self._out_since.items()
            if endpoint in endpoints
        }


@dataclass(slots=True)
class _Second:
    """Calls of one provider that finished within one second. `waits`: first events of good streams, in ms."""

    calls: int = 0
    failed: int = 0
    waits: list[int] = field(default_factory=list)


class Calls:
    """The calls that finished within the last minute, each once; kept by the second, so that asking is cheap."""

    def __init__(self) -> None:
        self._seconds: dict[int, dict[str, _Second]] = {}
        self._ids: dict[int, set[str]] = {}

    def note(self, attempt: Attempt, at_ms: int) -> None:
        """`at_ms`: the record's time. The first `finished` of an attempt counts."""
        if attempt.phase != "finished" or (failed := _failed(attempt)) is None:
            return
        if any(attempt.attempt_id in ids for ids in self._ids.values()):
            return
        second = at_ms // 1000
        self._ids.setdefault(second, set()).add(attempt.attempt_id)
        there = self._seconds.setdefault(second, {}).setdefault(attempt.provider, _Second())
        there.calls += 1
        there.failed += failed
        if not failed and attempt.first_event_ms is not None:
            there.waits.append(attempt.first_event_ms)

    def forget(self, now_ms: int) -> None:
        for second in [second for second in self._seconds if second * 1000 <= now_ms - WINDOW_MS]:
            del self._seconds[second], self._ids[second]

    def error_rate(self) -> dict[Labels, float]:
        calls, failed = Counter[str](), Counter[str]()
        for provider, second in self._all():
            calls[provider] += second.calls
            failed[provider] += second.failed
        return {_of(provider): failed[provider] / count for provider, count in calls.items() if count >= MIN_CALLS}

    def p95_first_token_s(self) -> dict[Labels, float]:
        """By nearest rank."""
        waits: dict[str, list[int]] = {}
        for provider, second in self._all():
            waits.setdefault(provider, []).extend(second.waits)
        return {_of(provider): _p95(times) / 1000 for provider, times in waits.items() if len(times) >= MIN_CALLS}

    def _all(self) -> Iterator[tuple[str, _Second]]:
        for providers in self._seconds.values():
            yield from providers.items()


class Tally:
    """Dead letters of the last minute."""

    def __init__(self) -> None:
        self._times: deque[int] = deque()

    def note(self, at_ms: int) -> None:
        self._times.append(at_ms)

    def forget(self, now_ms: int) -> None:
        while self._times and self._times[0] <= now_ms - WINDOW_MS:
            self._times.popleft()

    def dead_letters_per_min(self) -> dict[Labels, float]:
        return {(): float(len(self._times))}


@dataclass(slots=True, frozen=True)
class Backlog:
    """Of one partition in one consumer group, when it was asked. `age_s`: of the first record that is not done, if known."""

    group: str
    topic: str
    records: int
    age_s: float | None = None


def consumer_lag(backlogs: Iterable[Backlog]) -> dict[Labels, float]:
    lags: dict[Labels, float] = {}
    for one in backlogs:
        labels = labels_of({"group": one.group, "topic": one.topic})
        lags[labels] = lags.get(labels, 0.0) + one.records
    return lags


def freshness_s(backlogs: Iterable[Backlog]) -> dict[Labels, float] | None:
    """Of the sink's partitions: a topic is as fresh as its worst one. None if one is behind and nobody knows how far."""
    ages: dict[Labels, float] = {}
    for one in backlogs:
        age_s = one.age_s if one.records else 0.0
        if age_s is None:
            return None
        labels = labels_of({"topic": one.topic})
        ages[labels] = max(ages.get(labels, 0.0), age_s)
    return ages


def _failed(attempt: Attempt) -> bool | None:
    """None for what says nothing of the provider: hung up, handed over, lost with its worker, the caller's own fault."""
    if attempt.result == "ok":
        return False
    if attempt.result != "error" or attempt.error is None or attempt.error.code in SAYS_NOTHING:
        return None
    try:
        row = ERROR_KINDS[ErrorKind(attempt.error.kind)]
    except ValueError:
        return True
    return True if row.fails_over and not row.larger_context_only else None


def _of(provider: str) -> Labels:
    return (("provider", provider),)


def _p95(times: list[int]) -> int:
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def _age_s(since_ms: int | None, now_ms: int) -> float:
    return 0.0 if since_ms is None else max(0, now_ms - since_ms) / 1000
