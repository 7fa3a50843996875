"""What is offered: providers (who: address, key, place), models (what they can do, what they cost).

How a provider's wire is spelled is the adapter's matter, and only its name stands here.
"""

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from schemas.catalog.words import (
    Count,
    Day,
    EnvName,
    Flag,
    Label,
    Part,
    ProviderName,
    Region,
    Seconds,
    Sensitivity,
    Share,
    Term,
    Usd,
    distinct,
    nano_usd,
)

Adapter = Literal["openai", "anthropic", "gemini", "openai-compatible"]
Operation = Literal["chat", "embeddings"]
Input = Literal["text", "image", "pdf", "audio", "video"]
Handling = Literal["drop", "refuse"]


def _without_final_slash(url: str) -> str:
    return url.rstrip("/")


BaseUrl = Annotated[
    str,
    # No user info, query or fragment: a credential in an address ends up in logs.
    StringConstraints(strict=True, max_length=512, pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~%/-]*)?$"),
    AfterValidator(_without_final_slash),
]


class Timeouts(Part):
    """Limits of one call to a provider, all in seconds; the request's own deadline cuts each of them."""

    connect_s: Seconds = 5.0
    """TCP and TLS together."""
    first_event_s: Seconds = 30.0
    """From the request sent to the first event of a stream. An unstreamed answer comes when it is whole: it has total_s."""
    gap_s: Seconds = 30.0
    """Between two events of a stream."""
    total_s: Seconds = 300.0
    """The whole call."""


class Provider(Part):
    """Who answers calls: where it listens, which key it wants, where data then is, how much it takes."""

    adapter: Adapter
    """The wire format that it speaks."""
    base_url: BaseUrl
    """Its address, with the base path (`/v1` for openai and openai-compatible); a final slash makes no difference."""
    api_key_env: EnvName | None = None
    """Name of the environment variable with its key; unset there: the provider is off. Left out: it wants no key."""
    region: Region = "unknown"
    """Where it processes data. A provider of unknown region fits no tenant and no rule that names regions."""
    terms: Annotated[tuple[Term, ...], AfterValidator(distinct)] = ()
    """What it promises by contract, such as no_training; tenants and rules may demand it."""
    clearance: Sensitivity = Sensitivity.INTERNAL
    """The highest sensitivity that it may see."""
    max_in_flight: Annotated[Count, Field(le=100_000)] = 200
    """Calls at a time, both lanes together."""
    bulk_share: Share = 0.2
    """Part of max_in_flight that batch work may take, and that is set aside for experiments where they call."""
    timeouts: Timeouts = Timeouts()
    """Limits of one call."""
    allow_private_egress: Flag = False
    """Whether its address may be a loopback, private or link-local one."""


class Rates(Part):
    """US dollars per million tokens, up to nine decimal places; the properties say them as integer nano-dollars."""

    input_per_mtok_usd: Usd
    """Input tokens that come from no cache."""
    cached_input_per_mtok_usd: Usd | None = None
    """Input tokens read from the vendor's prompt cache; default: the price of input."""
    cache_write_per_mtok_usd: Usd | None = None
    """Input tokens written to the vendor's prompt cache (5 minutes); default: the price of input."""
    cache_write_1h_per_mtok_usd: Usd | None = None
    """The same, kept for an hour; default: the price of the 5 minutes."""
    output_per_mtok_usd: Usd
    """Output tokens, reasoning included. 0 for embeddings."""

    @property
    def input_nano_usd_per_mtok(self) -> int:
        return nano_usd(self.input_per_mtok_usd)

    @property
    def cached_input_nano_usd_per_mtok(self) -> int:
        rate = self.cached_input_per_mtok_usd
        return self.input_nano_usd_per_mtok if rate is None else nano_usd(rate)

    @property
    def cache_write_nano_usd_per_mtok(self) -> int:
        rate = self.cache_write_per_mtok_usd
        return self.input_nano_usd_per_mtok if rate is None else nano_usd(rate)

    @property
    def cache_write_1h_nano_usd_per_mtok(self) -> int:
        rate = self.cache_write_1h_per_mtok_usd
        return self.cache_write_nano_usd_per_mtok if rate is None else nano_usd(rate)

    @property
    def output_nano_usd_per_mtok(self) -> int:
        return nano_usd(self.output_per_mtok_usd)


class Price(Rates):
    """A row of the price book: the standard rates, where they come from, and other rates by service tier."""

    tiers: dict[Label, Rates] = Field({})
    """Rates by the service tier that the answer names, such as flex; one without a row costs the standard rates."""
    valid_from: Day | None = None
    """Since when the vendor charges this."""
    source: Annotated[str, StringConstraints(strict=True, max_length=512)] = ""
    """Where the numbers were read."""
    checked: Day | None = None
    """When somebody last compared them with the source."""

    @property
    def version(self) -> str:
        """12 hex digits that change with any rate or valid_from, not with who checked it when."""
        rates = self.model_dump(mode="json", exclude={"source", "checked"})
        return hashlib.sha256(json.dumps(rates, sort_keys=True).encode()).hexdigest()[:12]


class Flags(BaseModel):
    """What a model takes and can do (provider_contracts section 3). Unsaid flags come from its family, else from here.

    Open on purpose: an adapter may want a flag that this release does not name. An unnamed one is kept, with a warning.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    api: Literal["chat", "responses", "both"] = "chat"
    """Which of OpenAI's two surfaces serves it."""
    tools_need_responses: Flag = False
    """Function tools on Chat Completions only with reasoning effort none."""
    efforts: Annotated[tuple[Label, ...], AfterValidator(distinct)] = ()
    """Accepted reasoning efforts, rising; empty: it takes none."""
    efforts_responses: Annotated[tuple[Label, ...], AfterValidator(distinct)] = ()
    """Further efforts, above those, that only OpenAI's Responses surface takes."""
    default_effort: Label | None = None
    """The effort when the caller asks for none; unsaid: the vendor's."""
    sampling: Literal["yes", "if_effort_none", "no", "one_of_temperature_top_p"] = "yes"
    """Whether it takes temperature, top_p, penalties and logprobs."""
    temperature_max: Annotated[float, Field(strict=True, gt=0, le=10)] = 2.0
    """Upper end of the temperature; higher ones are clamped."""
    max_tokens_name: Literal["max_completion_tokens", "max_tokens"] = "max_tokens"
    """How it spells the limit of an answer; older compatible servers know only max_tokens."""
    thinking: Literal["none", "budget", "adaptive", "level"] = "none"
    """How thinking is asked for (Anthropic and Gemini)."""
    thinking_off: Flag | Literal["between_tools"] = True
    """Whether thinking can be switched off."""
    levels: Annotated[tuple[Label, ...], AfterValidator(distinct)] = ()
    """Accepted thinking levels (Gemini), rising; empty: unknown."""
    forced_tools: Flag = True
    """Accepts that a tool must be called."""
    prefill: Flag = False
    """A conversation may end with an assistant turn, which it then continues."""
    mid_system: Flag = False
    """Takes a system message in the middle of a conversation."""
    json_schema: Flag = False
    """Native structured output."""
    n_max: Annotated[Count, Field(le=1_024)] = 1
    """Choices per call."""
    stop: Flag = True
    """Takes stop sequences."""
    logprobs: Flag = True
    """Gives log probabilities, where its sampling is open."""
    signatures: Flag = False
    """Its tool calls carry signatures that must come back."""
    inputs: Annotated[tuple[Input, ...], Field(min_length=1), AfterValidator(distinct)] = ("text",)
    """What a message may hold."""
    tools: Flag = True
    """Takes function tools."""
    streaming: Flag = True
    """Can stream its answer."""
    policy: dict[Label, Handling] = Field({})
    """By a request's parameter that the model or its vendor does not take: drop it and say so in x-dropped-params, or
    refuse the request with 400. Unsaid parameters come from its family, else from a built-in table (docs/models.md)."""

    @property
    def unnamed(self) -> dict[str, object]:
        """Flags of the file that this release has no name for."""
        return dict(self.model_extra or {})


class Model(Part):
    """A model under the name that callers use."""

    provider: ProviderName
    """Who serves it."""
    upstream: Annotated[str, StringConstraints(strict=True, max_length=256, pattern=r"^[A-Za-z0-9._:/@-]*$")] = ""
    """The provider's name for it; left out: its own."""
    operation: Operation = "chat"
    """What it answers."""
    context_tokens: Annotated[Count, Field(le=100_000_000)] = 8_192
    """Input and output together; left out: its family's, else 8,192."""
    max_output_tokens: Annotated[Count, Field(le=10_000_000)] = 4_096
    """The longest answer; left out: its family's, else 4,096."""
    price: Price
    """May be left out where the price library lists the model (by upstream; not for openai-compatible providers)."""
    flags: Flags = Flags()
    """What it takes and can do; what is not said comes from its family."""
    quality_prior: Share = 0.5
    """Expected quality before anything was learnt: 0 useless, 1 as good as the best."""

    @model_validator(mode="after")
    def _answer_fits_context(self) -> Self:
        if self.max_output_tokens > self.context_tokens:
            raise ValueError("max_output_tokens is larger than context_tokens")
        return self
