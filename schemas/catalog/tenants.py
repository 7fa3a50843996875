"""Who asks: tenants, what they may ask for, how much, and where their data may go."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from schemas.catalog.policies import ObjectiveOverride, SpendLimit
from schemas.catalog.words import Candidate, Count, EnvName, Flag, Part, Region, Seconds, Term, distinct

_SCOPE = r"^(tenant|user|key|tag:[A-Za-z0-9._-]{1,64}|shadow:[A-Za-z0-9._-]{1,64})$"


class Budget(SpendLimit):
    """A limit of spend; a request belongs to the (UTC) window in which it was reserved."""

    scope: Annotated[str, StringConstraints(strict=True, pattern=_SCOPE)] = "tenant"
    """Whose spend counts: tenant, each user, each key, each value of tag:NAME, or shadow:NAME."""
    on_exceed: Literal["reject", "warn"] = "reject"
    """A hard limit, or one that only warns."""

    @property
    def is_hard(self) -> bool:
        return self.on_exceed == "reject"


class Rate(Part):
    """Limits per minute; left out: none."""

    requests_per_minute: Count | None = None
    """Requests accepted."""
    tokens_per_minute: Annotated[int, Field(strict=True, ge=1, le=10**15)] | None = None
    """Input and output together."""


class Cache(Part):
    """Answers given again without a call; off unless switched on."""

    exact: Flag = False
    """For the equal request of the same tenant."""
    semantic: Flag = False
    """Also for one that means the same."""
    ttl_s: Seconds = 3_600.0
    """How long an answer is given again."""


class Tenant(Part):
    """A customer or team: keys, rights, limits."""

    keys_env: EnvName | None = None
    """Name of the environment variable with its API keys, comma-separated; unset: no access over HTTP by such keys."""
    shards: Annotated[int, Field(strict=True, ge=1, le=256)] = 1
    """Owners that its traffic is spread over; hard limits are divided evenly."""
    routes: Annotated[tuple[Candidate, ...], AfterValidator(distinct)] = ("*",)
    """Routes, and models to be asked for by name. ["*"]: all."""
    objective: ObjectiveOverride = ObjectiveOverride()
    """Overrides the route's objective, field by field."""
    budgets: tuple[Budget, ...] = ()
    """All must hold; none: no limit."""
    rate: Rate = Rate()
    """How fast it may ask."""
    max_in_flight: Annotated[Count, Field(le=100_000)] = 200
    """Requests at a time."""
    regions: Annotated[tuple[Region, ...], Field(min_length=1), AfterValidator(distinct)] | None = None
    """Where its data may be processed; left out: anywhere."""
    terms: Annotated[tuple[Term, ...], AfterValidator(distinct)] = ()
    """What providers must promise to see its data."""
    cache: Cache = Cache()
    """Whether answers may be given again."""
    exploration: Flag = True
    """Whether its requests may take part in exploration."""
    store_bodies: Flag = False
    """Whether prompts and answers are kept in ClickHouse."""
    retention_days: Annotated[int, Field(strict=True, ge=1, le=3_650)] = 30
    """How long its rows are kept in ClickHouse."""
