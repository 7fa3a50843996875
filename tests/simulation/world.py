"""One run of one seed.

1. The seed says how often requests come, which outages there are, how often processes die.
2. Requests come until the last outage is over; then nothing dies any more.
3. After a bounded time of healing all breakers are closed, and requests that come then succeed.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any

from schemas.catalog import PLATFORM_TENANT
from schemas.codec import encode
from schemas.events import Breaker, Call, Delta, Enriched, Features, Parked, Signal
from tests.simulation.call_worker import CallWorker
from tests.simulation.clock import START_MS, Clock, Process, Work
from tests.simulation.health import Health
from tests.simulation.logs import Group, Log
from tests.simulation.monitor import Monitor
from tests.simulation.providers import KINDS, Outage, Vendors, sim_catalog
from tests.simulation.route_owner import RouteOwner

__all__ = ["Report", "World", "simulate"]

PARTITIONS = 2
HEAL_MS = 20_000 + 15_000 + 30_000 + 10_000
"""The longest rest, a lost probe, the longest ramp, and a judge that dies meanwhile."""
LAST_REQUESTS = 60
_MODELS = ("auto", "auto", "auto", "pair", "pair", "pair", "pair", "plain", "plain", "a1")

_FEATURES = Features(100, "en", "chat", 0.2, "low", "internal")


@dataclass(slots=True, frozen=True)
class Report:
    """`violations` are (rule, request or endpoint, what is wrong); `trace` tells the way of the first request."""

    seed: int
    requests: int
    counts: Counter[str]
    violations: list[tuple[str, str, str]]
    trace: list[str]


class _NoMetrics:
    def set(self, *_: object, **__: object) -> None:
        pass

    def count(self, *_: object, **__: object) -> None:
        pass


class World:
    def __init__(self, seed: int, requests: int, traced: str = "") -> None:
        self.rng = rng = Random(seed)
        self.clock = Clock()
        self.catalog = sim_catalog()
        self.traced = traced
        self.lines: list[str] = []
        self.monitor = Monitor({name: route.max_attempts for name, route in self.catalog.routes.items()})
        self.deltas: defaultdict[str, list[Delta]] = defaultdict(list)
        self._gone_ms: dict[int, int] = {}
        self._away: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self._requests = requests
        self._rate_per_s = rng.choice((8, 20, 40, 80))
        self._processes: list[Process] = []
        self._listeners: list[tuple[Process, Any]] = []
        self._calm_ms = START_MS + int(requests / self._rate_per_s * 1000)
        self._crash_share = rng.choice((0, 3, 10, 30)) / (20 * requests)
        self._make_logs()
        self.vendors = self._make_vendors()
        self._make_groups()
        self._schedule_orders(Random(-seed))

    def run(self) -> None:
        self._schedule_requests()
        self.clock.run_until(self._calm_ms)
        self._becomes_calm()
        self.clock.run_until(self._calm_ms + HEAL_MS)
        self._check_breakers()
        well_from_ms = self.clock.now_ms
        for _ in range(LAST_REQUESTS):
            self.clock.after(self.rng.randrange(4_000), self._accept, self._new_request(is_patient=True))
        self.clock.run_until(well_from_ms + 150_000)
        self.monitor.judge(self._away, well_from_ms)
        self._check_rest()

    # --- what everybody uses ------------------------------------------------------------------------------------

    def process(self, name: str, dies: Any) -> Process:
        process = Process(name, self.clock, self.rng, dies)
        process.crash_share = self._crash_share
        self._processes.append(process)
        return process

    def tools(self, name: str) -> Any:
        loaded = SimpleNamespace(catalog=self.catalog, off_providers=frozenset())
        clock = self.clock
        return SimpleNamespace(
            worker=name, loaded=loaded, metrics=_NoMetrics(), now_ms=lambda: clock.now_ms, partitions=PARTITIONS
        )

    def write(self, process: Process, log: Log, record: Any) -> Work:
        """Generator; returns the offset. The process may die before the record is written, or before it knows."""
        process.risk()
        offset = log.append(record)
        if log.name == "responses":
            self.monitor.answered(record, self.deltas.get(record.request_id, []), self.clock.now_ms)
        elif log is self.breakers:
            self._tell_breaker(record)
        if self.traced and getattr(record, "request_id", None) == self.traced:
            self.trace(self.traced, process.name, record)
        process.risk()
        yield process.ack_ms()
        return offset

    def partition_of(self, key: str) -> int:
        return int(key[1:]) % PARTITIONS if key != PLATFORM_TENANT else 0

    def lane_of(self, call: Call) -> Log:
        lane = f"{call.provider}.bulk" if call.role == "probe" else call.provider
        return self._lanes[sum(call.request_id.encode()) % PARTITIONS][lane]

    def signal(self, signal: Signal) -> None:
        """Some come late and out of order, some twice."""
        late_ms = 0 if self.rng.random() < 0.9 else self.rng.randrange(1_500)
        self.clock.after(late_ms, self._signals.append, signal)
        if self.rng.random() < 0.03:
            self.clock.after(self.rng.randrange(3_000), self._signals.append, signal)

    def park(self, parked: Parked, now_ms: int) -> None:
        """The retry topics: to the largest tier that fits, and from there to `retries.due`, now and then twice."""
        left_s = (parked.due_at - now_ms) / 1000
        delays = sorted(self.catalog.retry.delays_s)
        delay = max((delay for delay in delays if delay <= left_s), default=delays[0])
        wait_ms = max(0, min(delay * 1000, parked.due_at - now_ms)) + self.rng.randint(10, 60)
        due = self._places[self.partition_of(parked.request.partition_key)]["due"]
        self.clock.after(wait_ms, due.append, parked)
        if self.rng.random() < 0.05:
            self.clock.after(wait_ms + self.rng.randrange(3_000), due.append, parked)

    def owner_gone(self, partition: int) -> None:
        self._gone_ms.setdefault(partition, self.clock.now_ms)
        self.monitor.owner_died(self._tenants_of(partition))

    def owner_back(self, partition: int) -> None:
        gone_ms = self._gone_ms.pop(partition, self.clock.now_ms)
        for tenant in self._tenants_of(partition):
            self._away[tenant].append((gone_ms, self.clock.now_ms))

    def _tenants_of(self, partition: int) -> set[str]:
        return {tenant for tenant in self.catalog.tenants if self.partition_of(tenant) == partition}

    def hear_breakers(self, process: Process, hear: Any) -> None:
        """From the beginning of the topic, and from then on."""
        for breaker in self.breakers.records:
            hear(SimpleNamespace(value=encode(breaker)))
        self._listeners.append((process, hear))

    def trace(self, request_id: str, who: str, what: object) -> None:
        if request_id == self.traced:
            self.lines.append(f"{self.clock.now_ms - START_MS:>8} {who:<10} {_told(what)}")

    # --- making it ----------------------------------------------------------------------------------------------

    def _make_logs(self) -> None:
        def log(name: str) -> Log:
            return Log(name, self.clock, self.rng)

        self._places = {
            number: {name: log(name) for name in ("requests", "due", "attempts", "responses")}
            for number in range(PARTITIONS)
        }
        lanes = [lane for name in self.catalog.providers for lane in (name, f"{name}.bulk")]
        self._lanes = {number: {lane: log(lane) for lane in lanes} for number in range(PARTITIONS)}
        self._signals = log("signals")
        self.breakers = log("breakers")
        self.responses = {number: place["responses"] for number, place in self._places.items()}
        self.attempts = {number: place["attempts"] for number, place in self._places.items()}

    def _make_vendors(self) -> Vendors:
        """Outages of all kinds, sometimes of everybody at once; all are over when it becomes calm."""
        rng, outages = self.rng, []
        endpoints = [self.catalog.endpoint_of(name) for name in self.catalog.models]
        length_ms = self._calm_ms - START_MS
        for _ in range(rng.randint(2, 6)):
            begin_ms = START_MS + rng.randrange(length_ms)
            share = rng.choice((1, 1, 1, 2, 3))
            end_ms = min(self._calm_ms, begin_ms + rng.choice((500, 3_000, 8_000, 30_000 // share)))
            kind = rng.choice(KINDS)
            outages += [Outage(endpoint, begin_ms, end_ms, kind) for endpoint in rng.sample(endpoints, share)]
        base_ms = {endpoint: rng.choice((30, 150, 400)) for endpoint in endpoints}
        return Vendors(outages, rng, base_ms)

    def _make_groups(self) -> None:
        system = Process("system", self.clock, self.rng)
        self.routes = Group(["route-1", "route-2"], self._places, self._new_owner, system)
        self.calls = Group(["call-1", "call-2"], self._lanes, self._new_worker, system)
        self.health = Group(["health-1"], {0: {"signals": self._signals}}, self._new_health, system)

    def _new_owner(self, slot: str, group: Group) -> RouteOwner:
        return RouteOwner(self, slot, group)

    def _new_worker(self, slot: str, group: Group) -> CallWorker:
        return CallWorker(self, slot, group)

    def _new_health(self, slot: str, group: Group) -> Health:
        return Health(self, slot, group)

    # --- what happens -------------------------------------------------------------------------------------------

    def _schedule_requests(self) -> None:
        at_ms = 0.0
        for _ in range(self._requests):
            at_ms += self.rng.expovariate(self._rate_per_s) * 1000
            if START_MS + at_ms >= self._calm_ms:
                at_ms = float(self._calm_ms - START_MS)
            request = self._new_request()
            self.clock.after(int(at_ms), self._accept, request)
            if self.rng.random() < 0.01:
                self.clock.after(int(at_ms) + self.rng.randrange(3_000), self._cancel, request.request_id)

    def _schedule_orders(self, rng: Random) -> None:
        """Now and then an operator takes an endpoint out or holds it in for a while, whatever its breaker thinks of it."""
        for _ in range(rng.choice((0, 0, 1, 2))):
            model, forced = rng.choice(list(self.catalog.models)), rng.choice(("open", "closed"))
            begin_ms = rng.randrange(self._calm_ms - START_MS)
            end_ms = min(self._calm_ms - START_MS, begin_ms + rng.choice((1_000, 4_000, 15_000)))
            for at_ms, order in ((begin_ms, forced), (end_ms, "auto")):
                self.clock.after(at_ms, self._order, self.catalog.endpoint_of(model), order)

    def _order(self, endpoint: str, forced: str) -> None:
        self.signal(Signal(endpoint, "operator", self.clock.now_ms, forced=forced))

    def _new_request(self, *, is_patient: bool = False) -> Enriched:
        rng, number = self.rng, len(self.monitor.cases)
        tenant = f"t{rng.randrange(4)}"
        request = Enriched(
            request_id=f"r{number}",
            tenant=tenant,
            partition_key=tenant,
            model=rng.choice(_MODELS),
            operation="chat",
            stream=rng.random() < 0.3,
            priority="interactive",
            accepted_at=0,
            deadline_at=60_000 if is_patient else rng.choice((3_000, 20_000, 20_000, 60_000, 90_000)),
            features=_FEATURES,
            max_tokens=100,
        )
        self.monitor.accepted(request)
        return request

    def _accept(self, request: Enriched) -> None:
        request.accepted_at = self.clock.now_ms
        request.deadline_at += self.clock.now_ms
        self._places[self.partition_of(request.tenant)]["requests"].append(request)

    def _cancel(self, request_id: str) -> None:
        for owner in self.routes.members.values():
            owner.cancel(request_id)  # type: ignore[attr-defined]
        for worker in self.calls.members.values():
            worker.cancel(request_id)  # type: ignore[attr-defined]

    def _tell_breaker(self, breaker: Breaker) -> None:
        self.monitor.breaker_stands(breaker)
        record = SimpleNamespace(value=encode(breaker))
        self._listeners = [(process, hear) for process, hear in self._listeners if process.is_alive]
        for process, hear in self._listeners:
            self.clock.after(self.rng.randint(1, 100), self._hear, process, hear, record)

    def _hear(self, process: Process, hear: Any, record: SimpleNamespace) -> None:
        if process.is_alive:
            hear(record)

    def _becomes_calm(self) -> None:
        self._crash_share = 0.0
        for process in self._processes:
            process.crash_share = 0.0

    # --- at the end ---------------------------------------------------------------------------------------------

    def _check_breakers(self) -> None:
        for endpoint, breaker in self.monitor.breakers.items():
            if breaker.state != "closed":
                self.monitor.violated("heals", endpoint, f"is {breaker.state} ({breaker.cause})")

    def _check_rest(self) -> None:
        for place in (*self._places.values(), *self._lanes.values(), {"signals": self._signals}):
            for name, log in place.items():
                if name != "responses" and log.acked < len(log.records):
                    self.monitor.violated("acked", name, f"only {log.acked} of {len(log.records)} records")
        for owner in self.routes.members.values():
            owner.check_rest()  # type: ignore[attr-defined]


def _told(what: object) -> str:
    """What says most of it, in a line."""
    names = (
        "phase",
        "result",
        "attempt",
        "role",
        "model",
        "cause",
        "pays",
        "due_at",
        "code",
        "worker",
        "error",
        "streamed",
    )
    step = getattr(what, "decision", None) or getattr(what, "attempt", None)
    facts = {name: getattr(what, name) for name in names if getattr(what, name, None) not in (None, "", False)}
    if step is not None and not isinstance(step, int):
        facts["attempt"] = f"{step.attempt} {getattr(step, 'chosen', '') or getattr(step, 'model', '')}"
    return " ".join([type(what).__name__, *(f"{name}={value}" for name, value in facts.items())])


def simulate(seed: int, requests: int) -> Report:
    """One run; where something is violated a second one, equal in all, tells the way of the first violating request."""
    world = World(seed, requests)
    world.run()
    found = world.monitor.violations
    requests_of = [what for _, what, _ in found if what in world.monitor.cases]
    lines: list[str] = []
    if requests_of:
        again = World(seed, requests, traced=requests_of[0])
        again.run()
        lines = again.lines
    return Report(seed, len(world.monitor.cases), world.monitor.counts, found, lines)
