"""How a simulator is set up: seed, speed, keys, models, limits and the clock, all as arguments."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """Time as the simulator sees it; tests inject one that does not wait."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; called with positive values only."""
        ...


class WallClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one key may ask of one model in a minute; the defaults are those of a paying OpenAI account.

    Attributes:
        tokens_per_minute: Of prompts; where a vendor reserves room for the answer, of that too.
        output_tokens_per_minute: Of answers, where the vendor counts them apart.
    """

    requests_per_minute: int = 10_000
    tokens_per_minute: int = 10_000_000
    output_tokens_per_minute: int = 10_000_000


# Rates seen in production, for demos: provider_contracts.md section 8, "Faults".
DEMO_BACKGROUND: Mapping[str, float] = {
    "overloaded": 0.005,
    "provider_fault": 0.002,
    "reset": 0.001,
    "error_mid_stream": 0.001,
    "hang_mid_stream": 0.0005,
    "malformed": 0.0005,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimConfig:
    """A simulator's whole configuration.

    Attributes:
        seed: Decides, with the request, every text, delay and background fault.
        speed: Divides every simulated delay: 1 is realistic, 10 ten times faster, 0 means no delays at all.
        models: Names to serve besides the built-in table.
        key_prefixes: A key is right when it begins with one of these ...
        refused_prefixes: ... and with none of these.
        background: Share of requests, by fault kind, that fail without being told to.
        allowance: Rate limits per key and model.
        log_size: Requests kept in the log; older ones are forgotten, the counters are not.
    """

    seed: int = 1
    speed: float = 1.0
    models: tuple[str, ...] = ()
    key_prefixes: tuple[str, ...] = ("sk-sim",)
    refused_prefixes: tuple[str, ...] = ("sk-bad",)
    background: Mapping[str, float] = field(default_factory=dict)
    allowance: Allowance = Allowance()
    log_size: int = 5_000
    clock: Clock = field(default_factory=WallClock)
