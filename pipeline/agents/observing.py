"""What the stage `alerts` sees of the platform: topics without a group, and how far the groups are."""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from aiokafka.errors import KafkaError

from connectors.kafka.offsets import Offsets, Place
from connectors.kafka.tail import Tail
from pipeline.agents.endpoints import REQUEST_ROLES
from pipeline.core.alerting import Backlog, Calls, Labels, Outages, Readings, Tally
from pipeline.core.alerting.readings import WINDOW_MS
from pipeline.tools import Tools
from schemas import topics as t
from schemas.codec import decode
from schemas.events import Alert, Attempt, Breaker

__all__ = ["GROUPS", "SINK_GROUP", "Observer"]

GROUPS = "millrace-"
"""How the names of the platform's consumer groups begin."""
SINK_GROUP = "millrace-sink"

OFFSETS_EVERY_S = 10.0
_OF_OFFSETS = frozenset({"consumer_lag", "freshness_s"})

log = logging.getLogger(__name__)


class Observer:
    """`firing`: what is known from before (see `Outages`)."""

    def __init__(
        self, tools: Tools, offsets: Offsets, firing: Iterable[Alert], *, security: Mapping[str, Any] | None = None
    ) -> None:
        self._tools, self._offsets = tools, offsets
        self._outages, self._calls, self._dead_letters = Outages(firing), Calls(), Tally()
        self._backlogs: list[Backlog] | None = None
        recent = tools.now_ms() - WINDOW_MS
        self._tails = [
            Tail(tools.bootstrap, [tools.topic(topic.name)], handle, since_ms=since_ms, security=security)
            for topic, handle, since_ms in (
                (t.BREAKERS, self._breaker, 0),
                (t.ATTEMPTS, self._attempt, recent),
                (t.DEAD_LETTERS, self._dead_letter, recent),
            )
        ]

    async def start(self) -> None:
        """Returns when everything that existed has been seen."""
        for tail in self._tails:
            await tail.start()
        for tail in self._tails:
            await tail.caught_up.wait()

    async def stop(self) -> None:
        for tail in self._tails:
            await tail.stop()

    async def watch(self, terms: Callable[[], Collection[str]]) -> None:
        """For ever: asks for offsets while a rule needs them. `terms`: those of the rules in force."""
        following = [asyncio.ensure_future(tail.wait()) for tail in self._tails]
        try:
            while True:
                if not _OF_OFFSETS.isdisjoint(terms()):
                    self._backlogs = await self._ask(with_times="freshness_s" in terms())
                done, _ = await asyncio.wait(following, timeout=OFFSETS_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                for tail in done:
                    tail.result()
        finally:
            for waiting in following:
                waiting.cancel()

    def readings(self, terms: Collection[str]) -> Readings:
        """Of these terms, as far as they are known."""
        now = self._tools.now_ms()
        self._calls.forget(now)
        self._dead_letters.forget(now)
        known: dict[str, Callable[[], Mapping[Labels, float]]] = {
            "breaker_open_s": lambda: self._outages.breaker_open_s(now),
            "error_rate": self._calls.error_rate,
            "p95_first_token_s": self._calls.p95_first_token_s,
            "dead_letters_per_min": self._dead_letters.dead_letters_per_min,
        }
        if (backlogs := self._backlogs) is not None:
            sinks = [one for one in backlogs if one.group == SINK_GROUP]
            known["consumer_lag"] = lambda: Backlog.consumer_lag(backlogs)
            known["freshness_s"] = lambda: Backlog.freshness_s(sinks, now)
        return {term: known[term]() for term in terms if term in known}

    async def _ask(self, *, with_times: bool) -> list[Backlog] | None:
        try:
            places = await self._offsets.places(GROUPS, self._tools.topic_prefix)
            behind = [place for place in places if place.group == SINK_GROUP and place.committed < place.end]
            times = await self._offsets.first_times(behind) if with_times and behind else {}
        except KafkaError as error:
            log.warning("offsets cannot be read", extra={"error": repr(error)})
            return None
        return [self._backlog(place, times.get(place)) for place in places]

    def _backlog(self, place: Place, waiting_since: int | None) -> Backlog:
        topic = place.topic.removeprefix(self._tools.topic_prefix)
        return Backlog(place.group, topic, max(0, place.end - place.committed), waiting_since)

    def _breaker(self, record: Any) -> None:
        if isinstance(breaker := decode(Breaker, record.value), Breaker):
            self._outages.note(breaker)

    def _attempt(self, record: Any) -> None:
        attempt = decode(Attempt, record.value)
        if isinstance(attempt, Attempt) and attempt.role in REQUEST_ROLES:
            self._calls.note(attempt, record.timestamp)

    def _dead_letter(self, record: Any) -> None:
        self._dead_letters.note(record.timestamp)
