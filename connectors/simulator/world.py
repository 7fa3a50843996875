"""The simulator's memory: everything that outlives one request, and how to forget it."""

import dataclasses
from dataclasses import dataclass
from hashlib import blake2b

from aiohttp import web

from connectors.simulator.ask import Ask
from connectors.simulator.config import SimConfig
from connectors.simulator.draws import Draw, Tally
from connectors.simulator.faults import FaultBook
from connectors.simulator.journal import Entry, Journal
from connectors.simulator.limits import Limiter
from connectors.simulator.models import ModelTable
from connectors.simulator.prompt_cache import MarkedCache, PromptCache
from connectors.simulator.timing import Latency
from connectors.simulator.tuning import Tuning


class World:
    """State that the vendors share; `closing` tells a caller's hang-up from our own shutdown."""

    def __init__(self, config: SimConfig) -> None:
        self.config = config
        self.clock = config.clock
        self.journal = Journal(config.clock, config.log_size)
        self.closing = False
        self.reset()

    def reset(self) -> None:
        """Back to the configuration, as if nothing had arrived."""
        self.journal.clear()
        self.models = ModelTable(self.config.models)
        self.tuning = Tuning()
        self.faults = FaultBook(background=dict(self.config.background))
        self.latency = Latency(self.config.speed)
        self.limiter = Limiter(self.config.allowance)
        self.prompt_cache = PromptCache()
        self.marked_cache = MarkedCache()
        self._attempts: Tally[bytes] = Tally()
        self._conversations: Tally[bytes] = Tally()

    def accepts_key(self, key: str) -> bool:
        return key.startswith(self.config.key_prefixes) and not key.startswith(self.config.refused_prefixes)

    def attempt(self, model: str, canonical: bytes, *, stream: bool) -> tuple[Draw, int]:
        """The randomness and the ordinal of one more arrival of this request.

        Streamed and unstreamed arrivals are counted apart and draw alike: the n-th streamed answer equals the n-th
        unstreamed one.
        """
        key = blake2b(canonical + b"|%d|" % stream + model.encode(), digest_size=16).digest()
        ordinal = self._attempts.next(key)
        return Draw(self.config.seed, model, canonical, ordinal), ordinal

    def tries(self, ask: Ask) -> int:
        """How often this conversation has arrived, over all models, this time included."""
        return self._conversations.next(blake2b(ask.conversation, digest_size=16).digest())

    def state(self) -> dict[str, object]:
        """All that can be set, and the counters, as JSON."""
        return {
            "seed": self.config.seed,
            "now": self.clock.now(),
            "in_flight": self.journal.in_flight,
            "counters": dict(self.journal.counters),
            "faults": {
                "rules": [dataclasses.asdict(rule) for rule in self.faults.rules],
                "background": self.faults.background,
                "since": self.faults.since,
            },
            "latency": dataclasses.asdict(self.latency),
            "limits": {
                "default": dataclasses.asdict(self.limiter.default),
                "by_model": {name: dataclasses.asdict(row) for name, row in self.limiter.by_model.items()},
            },
        }


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request under way."""

    world: World
    request: web.Request
    entry: Entry
