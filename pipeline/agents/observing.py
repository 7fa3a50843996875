"""What the stage `alerts` sees of the platform: topics without a group, and how far the groups are."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from aiokafka.errors import KafkaError

from connectors.kafka.offsets import Offsets, Place
from connectors.kafka.tail import Tail
from pipeline.core.alerting import Backlog, Calls, Labels, Outages, Readings, Tally, consumer_lag, freshness_s
from pipeline.core.alerting.readings import WINDOW_MS
from pipeline.tools import Tools
from schemas import topics as t
from schemas.codec import decode
from schemas.events import Alert, Attempt, Breaker
from schemas.roles import REQUEST_ROLES

__all__ = ["GROUPS", "SINK_GROUP", "Observer"]

GROUPS = "millrace-"
"""How the names of the platform's consumer groups begin."""
SINK_GROUP = "millrace-sink"
EXPERIMENTS = "millrace-shadow-"
"""They stop and go back as people like, so how far they are behind alarms nobody."""

OFFSETS_EVERY_S = 10.0
_OF_OFFSETS = frozenset({"consumer_lag", "freshness_s"})
_OF_CALLS = frozenset({"error_rate", "p95_first_token_s"})

log = logging.getLogger(__name__)


class Observer:
    """`terms`: those of the rules in force; `firing`: what is known from before (see `Outages`).

    Attempts, of which every request has several, are followed only while a rule needs them.
    """

    def __init__(
        self,
        tools: Tools,
        offsets: Offsets,
        terms: Callable[[], Collection[str]],
        firing: Iterable[Alert],
        *,
        security: Mapping[str, Any] | None = None,
    ) -> None:
        self._tools, self._offsets = tools, offsets
        self._outages, self._calls, self._dead_letters = Outages(firing), Calls(), Tally()
        self._backlogs: list[Backlog] | None = None
        self._terms, self._security = terms, security
        self._following: dict[str, tuple[Tail, asyncio.Future[None]]] = {}

    async def start(self) -> None:
        """Returns when everything that existed has been seen."""
        await self._follow(t.BREAKERS, self._breaker, since_ms=0)
        await self._follow(t.DEAD_LETTERS, self._dead_letter, since_ms=self._tools.now_ms() - WINDOW_MS)
        await self._follow_calls()

    async def stop(self) -> None:
        for name in list(self._following):
            await self._leave(name)

    async def watch(self) -> None:
        """For ever: asks for offsets, and follows attempts, while a rule needs them."""
        while True:
            if not _OF_OFFSETS.isdisjoint(self._terms()):
                self._backlogs = await self._ask(with_times="freshness_s" in self._terms())
            await self._follow_calls()
            waiting = [ended for _, ended in self._following.values()]
            done, _ = await asyncio.wait(waiting, timeout=OFFSETS_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()

    async def _follow_calls(self) -> None:
        needed, followed = not _OF_CALLS.isdisjoint(self._terms()), t.ATTEMPTS.name in self._following
        if needed and not followed:
            await self._follow(t.ATTEMPTS, self._attempt, since_ms=self._tools.now_ms() - WINDOW_MS)
        elif followed and not needed:
            await self._leave(t.ATTEMPTS.name)
            self._calls = Calls()

    async def _follow(self, topic: t.Topic, handle: Callable[[Any], None], *, since_ms: int) -> None:
        names = [self._tools.topic(topic.name)]
        tail = Tail(self._tools.bootstrap, names, handle, since_ms=since_ms, security=self._security)
        await tail.start()
        self._following[topic.name] = tail, asyncio.ensure_future(tail.wait())
        await tail.caught_up.wait()

    async def _leave(self, name: str) -> None:
        tail, ended = self._following.pop(name)
        ended.cancel()
        await tail.stop()

    def readings(self) -> Readings:
        """Of the terms, as far as they are known."""
        now, terms = self._tools.now_ms(), self._terms()
        self._calls.forget(now)
        self._dead_letters.forget(now)
        known: dict[str, Callable[[], Mapping[Labels, float] | None]] = {
            "breaker_open_s": lambda: self._outages.breaker_open_s(self._endpoints(), now),
            "error_rate": self._calls.error_rate,
            "p95_first_token_s": self._calls.p95_first_token_s,
            "dead_letters_per_min": self._dead_letters.dead_letters_per_min,
            "consumer_lag": lambda: None if self._backlogs is None else consumer_lag(self._backlogs),
            "freshness_s": lambda: None if self._backlogs is None else freshness_s(_of_sink(self._backlogs)),
        }
        found = {term: known[term]() for term in terms if term in known}
        return {term: values for term, values in found.items() if values is not None}

    def _endpoints(self) -> set[str]:
        catalog = self._tools.loaded.catalog
        return {catalog.endpoint_of(model) for model in catalog.models}

    async def _ask(self, *, with_times: bool) -> list[Backlog] | None:
        try:
            places = await self._offsets.places(GROUPS, self._tools.topic_prefix)
            places = [place for place in places if not place.group.startswith(EXPERIMENTS)]
            behind = [place for place in places if place.group == SINK_GROUP and place.committed < place.end]
            times = await self._offsets.first_times(behind) if with_times and behind else {}
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("offsets cannot be read", extra={"error": repr(error)})
            return None
        return [self._backlog(place, times.get(place)) for place in places]

    def _backlog(self, place: Place, first_ms: int | None) -> Backlog:
        topic = place.topic.removeprefix(self._tools.topic_prefix)
        age_s = None if first_ms is None else max(0, self._tools.now_ms() - first_ms) / 1000
        return Backlog(place.group, topic, max(0, place.end - place.committed), age_s)

    def _breaker(self, record: Any) -> None:
        if isinstance(breaker := decode(Breaker, record.value), Breaker):
            self._outages.note(breaker)

    def _attempt(self, record: Any) -> None:
        attempt = decode(Attempt, record.value)
        if isinstance(attempt, Attempt) and attempt.role in REQUEST_ROLES:
            self._calls.note(attempt, record.timestamp)

    def _dead_letter(self, record: Any) -> None:
        self._dead_letters.note(record.timestamp)


def _of_sink(backlogs: Iterable[Backlog]) -> list[Backlog]:
    return [one for one in backlogs if one.group == SINK_GROUP]
