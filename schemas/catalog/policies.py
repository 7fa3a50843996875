"""How requests are steered: routes, rules, exploration, experiments, shadows."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from schemas.catalog.offers import Operation
from schemas.catalog.words import (
    Candidate,
    Count,
    Flag,
    Label,
    ModelName,
    Part,
    ProviderName,
    Region,
    Seconds,
    Sensitivity,
    Several,
    Share,
    Tags,
    Term,
    Usd,
    Weight,
    distinct,
    nano_usd,
)

Per = Literal["minute", "hour", "day", "month", "total"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_HOURS = r"^([01]?[0-9]|2[0-3])-([01]?[0-9]|2[0-4])$"
Models = Annotated[tuple[ModelName, ...], Field(min_length=1)]


class ObjectiveOverride(Part):
    """A tenant's own weights; what is left out stays as the route has it."""

    lambda_cost: Weight | None = None
    """Quality given up per US cent of the call."""
    mu_latency: Weight | None = None
    """Quality given up per second to the first token."""


class Objective(Part):
    """score = quality - lambda_cost x US cents of the call - mu_latency x seconds to the first token."""

    lambda_cost: Weight = 0.1
    """Quality (0..1) given up per US cent of the call: 0.1 gives up ten points to save a cent."""
    mu_latency: Weight = 0.02
    """Quality given up per second to the first token."""

    def overridden_by(self, other: ObjectiveOverride | None) -> "Objective":
        """This objective with the fields that the other one says."""
        return self if other is None else self.model_copy(update=other.model_dump(exclude_none=True))


class Route(Part):
    """What callers may ask for besides a model's name: either strictly in `order`, or the best of `candidates`."""

    order: tuple[ModelName, ...] = ()
    """Strictly in this order, health permitting; no objective, no exploration. Excludes candidates and objective."""
    candidates: tuple[Candidate, ...] = ()
    """Ranked by the objective. ["*"]: all chat models; the default where there is no order."""
    objective: Objective | None = None
    """Weights of the ranking; where there is no order, left out means the defaults."""
    max_attempts: Annotated[int, Field(strict=True, ge=1, le=10)] = 3
    """Calls for one request, the first included."""
    stream_recovery: Literal["continue", "error"] = "continue"
    """A stream that breaks is continued by the next candidate, or ends in an error frame."""
    deadline_s: Seconds = 120.0
    """For requests that name none."""
    default_max_tokens: Annotated[Count, Field(le=10_000_000)] = 4_096
    """For requests that name none; always sent to the vendor, since budgets reserve by it."""

    @property
    def is_ordered(self) -> bool:
        return bool(self.order)

    @model_validator(mode="before")
    @classmethod
    def _one_of_two_kinds(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or raw.get("order"):
            return raw
        if raw.get("candidates") is None and raw.get("objective") is None:
            raise ValueError("say either `order` (a list of models) or `candidates` and `objective`")
        chosen = {"candidates": ["*"], "objective": {}}
        return {**raw, **{key: default for key, default in chosen.items() if raw.get(key) is None}}

    @model_validator(mode="after")
    def _order_stands_alone(self) -> Self:
        if self.order and (self.candidates or self.objective):
            raise ValueError("`order` excludes `candidates` and `objective`")
        if not self.order and not self.candidates:
            raise ValueError("no model to choose from")
        return self


class When(Part):
    """Conditions of a rule; all that are said must hold. Where several values are listed, any of them may."""

    tenant: Several | None = None
    """Who asks."""
    route: Several | None = None
    """What the caller asked for: a route or a model."""
    user: Several | None = None
    """On whose behalf, as the caller says."""
    tags: Tags | None = None
    """All of them must be on the request."""
    domain: Several | None = None
    """Most likely domain by the classifier."""
    language: Several | None = None
    """By the classifier, ISO 639-1 such as de."""
    operation: Operation | None = None
    """chat or embeddings."""
    complexity_below: Share | None = None
    """Complexity 0..1 by the classifier."""
    complexity_at_least: Share | None = None
    """Complexity 0..1 by the classifier."""
    sensitivity_at_least: Sensitivity | None = None
    """What was found, or what the caller said if that is higher."""
    input_tokens_at_least: Annotated[int, Field(strict=True, ge=0)] | None = None
    """By our estimate."""
    hours: Annotated[str, StringConstraints(strict=True, pattern=_HOURS)] | None = None
    """UTC, from inclusive to exclusive: 8-18, or 22-6 across midnight."""
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1), AfterValidator(distinct)] | None = None
    """UTC."""

    @property
    def hours_of_day(self) -> frozenset[int] | None:
        """The hours 0..23 that `hours` names; equal ends name the whole day."""
        if self.hours is None:
            return None
        first, end = (int(hour) for hour in self.hours.split("-"))
        return frozenset((first + step) % 24 for step in range((end - first - 1) % 24 + 1))


class Require(Part):
    """Only candidates that satisfy all of these; several matching rules intersect."""

    regions: Annotated[tuple[Region, ...], Field(min_length=1)] | None = None
    """Any of them."""
    terms: Annotated[tuple[Term, ...], Field(min_length=1)] | None = None
    """All of them."""
    providers: Annotated[tuple[ProviderName, ...], Field(min_length=1)] | None = None
    """Any of them."""
    models: Models | None = None
    """Any of them."""

    @model_validator(mode="after")
    def _requires_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("requires nothing: say regions, terms, providers or models")
        return self


class Rule(Part):
    """What holds for the requests that match `when`; all matching rules apply."""

    name: Label | None = None
    """Named in decisions; left out: its number in the list."""
    when: When = When()
    """Left out: every request."""
    require: Require | None = None
    """What candidates must satisfy; nothing left: no_eligible_model."""
    prefer: Models | None = None
    """Models whose score is raised by `by`."""
    by: Annotated[float, Field(strict=True, gt=0, le=10)] = 0.1
    """What `prefer` adds to the score of each."""
    exclude: Models | None = None
    """Models that must not be used."""
    pin: ModelName | None = None
    """Only this model."""

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.require is None and self.prefer is None and self.exclude is None and self.pin is None:
            raise ValueError("does nothing: say require, prefer, exclude or pin")
        if "by" in self.model_fields_set and self.prefer is None and self.by != 0.1:
            raise ValueError("`by` without `prefer`")
        return self


class Exploration(Part):
    """Tries of models that are not the best by present knowledge."""

    share: Share = 0.0
    """Of decisions, where the route has an objective and the tenant allows it."""


class Arm(Part):
    """One side of an experiment."""

    candidates: Annotated[tuple[Candidate, ...], Field(min_length=1)]
    """Models that it chooses from; ["*"]: all chat models."""
    weight: Annotated[float, Field(strict=True, gt=0, le=1_000_000)] = 1.0
    """Relative to the other arms."""


class Experiment(Part):
    """A live split of a route's traffic."""

    name: Label
    """Named in decisions and reports."""
    route: ModelName
    """The route that is split."""
    arms: Annotated[dict[Label, Arm], Field(min_length=2, max_length=16)]
    """Its sides by name; the first is the control."""
    unit: Literal["user", "conversation", "request"] = "user"
    """What stays on one arm; where a request has none, the next one in this list."""


class ShadowFilter(Part):
    """Which requests are mirrored; all that is said must hold."""

    tenant: Several | None = None
    """Who asked."""
    route: Several | None = None
    """What was asked for: a route or a model."""
    tags: Tags | None = None
    """All of them must be on the request."""
    domain: Several | None = None
    """Most likely domain by the classifier."""
    complexity_below: Share | None = None
    """Complexity 0..1 by the classifier."""
    complexity_at_least: Share | None = None
    """Complexity 0..1 by the classifier."""
    share: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    """Sampled by a hash of tenant and request id."""


class SpendLimit(Part):
    """What a shadow may spend."""

    usd: Usd
    """US dollars, up to nine decimal places."""
    per: Per = "day"
    """The (UTC) window that it is for."""

    @property
    def limit_nano_usd(self) -> int:
        return nano_usd(self.usd)


class Shadow(Part):
    """Requests mirrored to a model whose answer nobody gets, to compare it."""

    name: Label
    """Named in commands and reports."""
    filter: ShadowFilter = ShadowFilter()
    """Which requests."""
    model: ModelName
    """The model that is tried, or a route that chooses one."""
    budget: SpendLimit
    """What the tries and their judge may cost; then it skips."""
    judge: ModelName = "none"
    """none, rules, or a model that judges both answers."""
    max_per_minute: Count | None = None
    """Requests mirrored a minute; what comes faster waits. Left out: no limit but the places of the bulk lane."""
    stop_after_pairs: Count | None = None
    """So many comparisons end it."""
    stop_on_verdict: Flag = False
    """A verdict (promote or keep) ends it, by the sequences of its report."""
    enabled: Flag = True
    """Whether it runs without being started."""

    @model_validator(mode="after")
    def _a_verdict_needs_a_judge(self) -> Self:
        if self.stop_on_verdict and self.judge == "none":
            raise ValueError("`stop_on_verdict` needs a `judge`: without one there is no verdict")
        return self

    @property
    def judge_model(self) -> str | None:
        return None if self.judge in {"none", "rules"} else self.judge
