"""Vendors of the simulation: what a call gets, by the outage that its endpoint has when it begins."""

from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from random import Random

from schemas.catalog import Catalog
from schemas.errors import ErrorKind
from schemas.events import Call

__all__ = ["KINDS", "Outage", "Plan", "Vendors", "said_by", "sim_catalog"]

KINDS = ("refused", "fault", "silent", "limited", "breaks", "flaky", "slow")
_PREFILLS = "c1"


@cache
def sim_catalog() -> Catalog:
    def provider(name: str) -> dict[str, object]:
        timeouts = {"first_event_s": 4.0, "total_s": 12.0}
        return {
            "adapter": "openai", "base_url": f"https://{name}.example.com/v1", "max_in_flight": 60, "timeouts": timeouts,
        }  # fmt: skip

    def model(provider: str, quality: float) -> dict[str, object]:
        price = {"input_per_mtok_usd": 1.0, "output_per_mtok_usd": 2.0}
        flags = {"prefill": provider == "cat"}
        return {
            "provider": provider, "context_tokens": 10_000, "price": price, "quality_prior": quality, "flags": flags,
        }  # fmt: skip

    return Catalog.model_validate(
        {
            "version": 1,
            "providers": {name: provider(name) for name in ("ant", "bee", "cat")},
            "models": {"a1": model("ant", 0.9), "b1": model("bee", 0.7), _PREFILLS: model("cat", 0.5)},
            "routes": {
                "auto": {"candidates": ["a1", "b1", _PREFILLS]},
                "pair": {"order": ["b1", "a1"], "max_attempts": 2},
                "plain": {"order": [_PREFILLS, "b1"], "stream_recovery": "error"},
            },
            "breaker": {"open_s": 2.0, "open_max_s": 20.0},
            "tenants": {f"t{number}": {} for number in range(4)},
        }
    )


@dataclass(slots=True, frozen=True)
class Outage:
    endpoint: str
    begin_ms: int
    end_ms: int
    kind: str


@dataclass(slots=True)
class Plan:
    """How a call will go: pieces after `first_ms`, `gap_ms` apart, then its end."""

    first_ms: int
    pieces: list[str] = field(default_factory=list)
    gap_ms: int = 0
    kind: ErrorKind | None = None
    code: str | None = None
    retry_after_s: float | None = None


def said_by(request_id: str) -> str:
    """The one answer to a request, whoever gives it; its parts are told apart."""
    return " ".join(f"{request_id} says {number}." for number in ("one", "two", "three", "four"))


class Vendors:
    def __init__(self, outages: list[Outage], rng: Random, base_ms: dict[str, int]) -> None:
        self._outages, self._rng, self._base_ms = outages, rng, base_ms

    def plan(self, call: Call, endpoint: str, now_ms: int) -> Plan:
        plan = self._undisturbed(call, endpoint)
        for outage in self._outages:
            if outage.endpoint == endpoint and outage.begin_ms <= now_ms < outage.end_ms:
                self._disturb(plan, outage, now_ms, is_stream=call.stream)
                break
        return plan

    def _undisturbed(self, call: Call, endpoint: str) -> Plan:
        first_ms = int(self._base_ms[endpoint] * (0.6 + 0.8 * self._rng.random()))
        if not call.stream:
            return Plan(2 * first_ms, [said_by(call.request_id)])
        return Plan(first_ms, self._pieces(self._rest(call)), first_ms // 4)

    def _rest(self, call: Call) -> str:
        """A continuation goes on where the answer stopped; some repeat the end, some all of it."""
        whole, prefix = said_by(call.request_id), call.prefix
        if prefix is None:
            return whole
        begun = len(prefix.content.rstrip() if call.model == _PREFILLS else prefix.content)
        repeats = self._rng.random()
        again = begun if repeats < 0.15 else min(begun, 20) if repeats < 0.4 else 0
        return whole[begun - again :]

    def _pieces(self, text: str) -> list[str]:
        cuts = sorted(self._rng.randint(0, len(text)) for _ in range(2))
        edges = [0, *cuts, len(text)]
        return [text[begin:end] for begin, end in pairwise(edges) if begin < end]

    def _disturb(self, plan: Plan, outage: Outage, now_ms: int, *, is_stream: bool) -> None:
        rng = self._rng
        match outage.kind:
            case "refused":
                plan.first_ms, plan.pieces, plan.kind = rng.randint(1, 5), [], ErrorKind.TRANSPORT
            case "fault":
                plan.pieces, plan.kind = [], rng.choice((ErrorKind.PROVIDER_FAULT, ErrorKind.OVERLOADED))
            case "silent":
                plan.first_ms, plan.pieces, plan.kind = 4_000 if is_stream else 12_000, [], ErrorKind.TIMEOUT
            case "slow":
                plan.first_ms = min(plan.first_ms * 8, 3_900)
            case "limited":
                plan.first_ms, plan.pieces, plan.kind = rng.randint(2, 20), [], ErrorKind.RATE_LIMITED
                plan.retry_after_s = rng.choice((None, 1.0, 3.0, (outage.end_ms - now_ms) / 1000))
            case "breaks":
                plan.pieces, plan.kind = plan.pieces[: rng.randrange(4)] if is_stream else [], ErrorKind.TRANSPORT
            case _:
                if rng.random() < 0.4:
                    plan.pieces, plan.kind = [], ErrorKind.PROVIDER_FAULT
