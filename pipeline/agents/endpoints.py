"""What `route` knows of endpoints: breakers as health says and as it sees itself, calls under way, retries that are left.

Fed by `breakers.v1` (read without a group, from its beginning), by the attempts of the owned partitions, and by what is
forwarded here, which counts at once. A decision sees all of it as one `Situation`.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from pipeline.core.breaker import LocalBreaker
from pipeline.core.decide import Situation
from pipeline.core.retry_budget import FLOOR_PER_S, RetryBudget
from pipeline.tools import Tools
from schemas.catalog import Catalog
from schemas.codec import Undecodable, decode
from schemas.errors import SAYS_NOTHING, ErrorKind
from schemas.events import Attempt, Breaker, Call
from schemas.roles import BULK_ROLES, REQUEST_ROLES

__all__ = ["BREAKER_STATES", "Endpoints", "closed_for_s", "endpoint_of"]

BREAKER_STATES = {"closed": 0, "ramp": 1, "half_open": 1, "open": 2}
"""As the metric says them."""

_DEFAULT_LIMIT_S = 1.0


class Endpoints:
    """All of one process; an endpoint is named `provider/model/region`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._local = LocalBreaker(lambda: tools.loaded.catalog.breaker)
        self._budget = RetryBudget(ratio=tools.loaded.catalog.retry.budget_ratio)
        self._in_flight: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._bulk: set[str] = set()

    def heard(self, record: Any) -> None:
        """A record of `breakers`."""
        breaker = decode(Breaker, record.value)
        if not isinstance(breaker, Undecodable):
            self._local.heard(breaker)
            self._tools.metrics.set("breaker_state", BREAKER_STATES[breaker.state], endpoint=breaker.endpoint)

    def forwarded(self, call: Call, partition: int, *, is_bulk: bool = False) -> None:
        """`partition` is that of its request, by which its end will be heard of."""
        self._in_flight[endpoint_of(call)][call.attempt_id] = partition
        if is_bulk:
            self._bulk.add(call.attempt_id)
        if call.attempt == 1:
            self._budget.first_attempt(call.provider, self._tools.now_ms())

    def owned(self, partitions: Collection[int]) -> None:
        """What ends on other partitions is heard of by others, and they have their share of the retries."""
        self._budget.floor_per_s = FLOOR_PER_S * len(partitions) / self._tools.partitions
        for calls in self._in_flight.values():
            for attempt_id in [attempt_id for attempt_id, partition in calls.items() if partition not in partitions]:
                del calls[attempt_id]
                self._bulk.discard(attempt_id)

    def settled(self, event: Attempt, partition: int) -> None:
        """Any event of an attempt, also of requests that are not open here; of bulk calls it takes no notice."""
        if event.role in BULK_ROLES:
            return
        calls = self._in_flight[endpoint_of(event)]
        if event.phase == "started":
            calls[event.attempt_id] = partition
        elif event.phase in ("finished", "returned"):
            calls.pop(event.attempt_id, None)
            self._bulk.discard(event.attempt_id)
        if event.phase == "finished" and event.role in REQUEST_ROLES and not event.orphaned:
            self._judge(event)

    def may_retry(self, model: str) -> bool:
        """Whether one more call may be made because one of this model failed; it is then counted."""
        return self._budget.take(self._tools.loaded.catalog.models[model].provider, self._tools.now_ms())

    def situation(self) -> Situation:
        catalog, now_ms = self._tools.loaded.catalog, self._tools.now_ms()
        in_flight: defaultdict[str, int] = defaultdict(int)
        bulk_in_flight: defaultdict[str, int] = defaultdict(int)
        for endpoint, calls in self._in_flight.items():
            provider = endpoint.partition("/")[0]
            in_flight[provider] += len(calls)
            bulk_in_flight[provider] += len(self._bulk & calls.keys()) if self._bulk else 0
        views = {
            endpoint: self._local.view(endpoint, len(self._in_flight.get(endpoint, ())), now_ms)
            for endpoint in map(catalog.endpoint_of, catalog.models)
        }
        return Situation(in_flight, self._tools.loaded.off_providers, now_ms, views, bulk_in_flight)

    def show(self) -> None:
        """Sets the gauges."""
        for provider in self._tools.loaded.catalog.providers:
            tokens = self._budget.tokens(provider, self._tools.now_ms())
            self._tools.metrics.set("retry_budget_tokens", tokens, provider=provider)

    def _judge(self, event: Attempt) -> None:
        endpoint, now_ms = endpoint_of(event), self._tools.now_ms()
        if event.result == "ok":
            self._local.succeeded(endpoint, now_ms)
        elif event.error is not None and event.error.code not in SAYS_NOTHING:
            kind = ErrorKind(event.error.kind)
            if kind is ErrorKind.RATE_LIMITED:
                wait_s = closed_for_s(event.error.retry_after_s, self._tools.loaded.catalog)
                self._local.limited(endpoint, now_ms + int(wait_s * 1000))
            else:
                self._local.failed(endpoint, kind, now_ms, began_ms=event.started_at)


def closed_for_s(retry_after_s: float | None, catalog: Catalog) -> float:
    """How long a vendor's word closes an endpoint to everybody: no longer than a breaker would, then one asks again.

    The request that heard it waits as long as it was told. But a mistyped date must not take an endpoint out for a day.
    """
    wait_s = _DEFAULT_LIMIT_S if retry_after_s is None else retry_after_s
    return min(wait_s, catalog.breaker.open_max_s)


def endpoint_of(of: Call | Attempt) -> str:
    return f"{of.provider}/{of.model}/{of.region}"
