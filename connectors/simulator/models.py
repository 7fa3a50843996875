"""The models that the simulated provider serves: limits, flags and pace, one row each.

Flags are those of provider_contracts.md section 3; the pace (time to first token, tokens a second) is of the order that
public benchmarks report for models of that size.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Vendor = Literal["openai", "anthropic", "gemini", "compatible"]
Sampling = Literal["yes", "if_effort_none", "one_of_temperature_top_p", "no"]

_SNAPSHOT: Mapping[Vendor, re.Pattern[str]] = {
    "openai": re.compile(r"-\d{4}-\d{2}-\d{2}$"),
    "anthropic": re.compile(r"-\d{8}$"),
}
_EFFORTS = ("none", "low", "medium", "high", "xhigh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model.

    Attributes:
        snapshot: The dated name that OpenAI answers with when the alias was asked for; empty when it repeats the alias.
        efforts: Accepted `reasoning_effort` values; empty for models that do not reason.
        tools_need_effort_none: Function tools on Chat Completions only with effort `none`.
        responses_only: Chat Completions does not know it.
        responses_efforts: Efforts that only the Responses API takes, besides `efforts`.
        first_p50_ms: Median time to the first token, at speed 1; `first_p95_ms` is its 95th percentile.
        dimensions: Length of an embedding vector; 0 for chat models.
        thinking: How thinking is asked for: by a budget of tokens, or adaptive, with an effort.
        thinking_off: The `thinking.type` that switches thinking off; empty where it cannot be off.
        shows_thinking: Whether the text of the thinking is there without being asked for.
        forced_tools: Takes "must call a tool".
        prefill: The conversation may end with an assistant turn.
        mid_system: Takes a system message in the middle of the conversation.
    """

    name: str
    snapshot: str = ""
    context_tokens: int = 128_000
    max_output_tokens: int = 16_384
    sampling: Sampling = "yes"
    efforts: tuple[str, ...] = ()
    default_effort: str = "none"
    tools_need_effort_none: bool = False
    takes_stop: bool = True
    responses_only: bool = False
    responses_efforts: tuple[str, ...] = ()
    first_p50_ms: float = 500
    first_p95_ms: float = 1_600
    tokens_per_s: float = 90
    dimensions: int = 0
    vendor: Vendor = "openai"
    thinking: Literal["none", "budget", "adaptive"] = "none"
    thinking_off: Literal["", "disabled", "between_tools"] = "disabled"
    shows_thinking: bool = True
    forced_tools: bool = True
    prefill: bool = True
    mid_system: bool = True

    @property
    def reasons(self) -> bool:
        return bool(self.efforts)


_GPT_41 = Model(name="gpt-4.1", context_tokens=1_047_576, max_output_tokens=32_768, snapshot="gpt-4.1-2025-04-14")
_GPT_6 = Model(
    name="gpt-6",
    context_tokens=1_050_000,
    max_output_tokens=128_000,
    sampling="if_effort_none",
    efforts=_EFFORTS,
    default_effort="medium",
    tools_need_effort_none=True,
    first_p50_ms=900,
    first_p95_ms=3_000,
    tokens_per_s=70,
)
_O4_MINI = Model(
    name="o4-mini",
    snapshot="o4-mini-2025-04-16",
    context_tokens=200_000,
    max_output_tokens=100_000,
    sampling="no",
    efforts=("low", "medium", "high"),
    default_effort="medium",
    takes_stop=False,
    first_p50_ms=800,
    first_p95_ms=2_500,
)

_ROWS = (
    replace(_GPT_41, first_p50_ms=700, first_p95_ms=2_200, tokens_per_s=80),
    replace(_GPT_41, name="gpt-4.1-mini", snapshot="gpt-4.1-mini-2025-04-14", first_p50_ms=350, first_p95_ms=1_200),
    replace(
        _GPT_41,
        name="gpt-4.1-nano",
        snapshot="gpt-4.1-nano-2025-04-14",
        first_p50_ms=250,
        first_p95_ms=800,
        tokens_per_s=150,
    ),
    Model(name="gpt-4o", snapshot="gpt-4o-2024-08-06", first_p50_ms=550, first_p95_ms=1_800),
    Model(name="gpt-4o-mini", snapshot="gpt-4o-mini-2024-07-18", first_p50_ms=350, first_p95_ms=1_200),
    replace(
        _GPT_6,
        name="gpt-5.1",
        snapshot="gpt-5.1-2025-11-13",
        context_tokens=400_000,
        efforts=("none", "low", "medium", "high"),
        default_effort="none",
        tools_need_effort_none=False,
    ),
    _GPT_6,
    replace(_GPT_6, name="gpt-5.4", snapshot="gpt-5.4-2026-03-05"),
    replace(
        _GPT_6,
        name="gpt-6-luna",
        responses_efforts=("max",),
        first_p50_ms=450,
        first_p95_ms=1_500,
        tokens_per_s=120,
    ),
    replace(_GPT_6, name="gpt-6-sol", responses_efforts=("max",)),
    replace(_GPT_6, name="gpt-6.2", sampling="no", efforts=_EFFORTS[1:], responses_efforts=("max",)),
    replace(
        _GPT_6,
        name="gpt-5-codex",
        context_tokens=400_000,
        sampling="no",
        efforts=("low", "medium", "high"),
        responses_only=True,
    ),
    _O4_MINI,
    replace(_O4_MINI, name="o3", snapshot="o3-2025-04-16", first_p50_ms=1_500, first_p95_ms=5_000),
    Model(name="qwen3-edge-8b", context_tokens=32_768, max_output_tokens=8_192, first_p50_ms=180, first_p95_ms=600),
    Model(name="text-embedding-3-small", context_tokens=8_192, dimensions=1_536, first_p50_ms=80, first_p95_ms=250),
    Model(name="text-embedding-3-large", context_tokens=8_192, dimensions=3_072, first_p50_ms=100, first_p95_ms=300),
)
_HAIKU_45 = Model(
    name="claude-haiku-4-5",
    vendor="anthropic",
    context_tokens=200_000,
    max_output_tokens=64_000,
    sampling="one_of_temperature_top_p",
    efforts=("low", "medium", "high"),
    thinking="budget",
    mid_system=False,
    first_p50_ms=450,
    first_p95_ms=1_400,
    tokens_per_s=130,
)
_OPUS_46 = replace(
    _HAIKU_45,
    name="claude-opus-4-6",
    context_tokens=1_000_000,
    max_output_tokens=128_000,
    efforts=("low", "medium", "high", "max"),
    default_effort="high",
    thinking="adaptive",
    prefill=False,
    first_p50_ms=1_100,
    first_p95_ms=3_500,
    tokens_per_s=60,
)
_OPUS_48 = replace(
    _OPUS_46,
    name="claude-opus-4-8",
    sampling="no",
    efforts=("low", "medium", "high", "xhigh", "max"),
    mid_system=True,
    shows_thinking=False,
)
_FABLE_51 = replace(_OPUS_48, name="claude-fable-5-1", thinking_off="", forced_tools=False)
_CLAUDE = (
    _HAIKU_45,
    replace(_HAIKU_45, name="claude-sonnet-4-5", first_p50_ms=800, first_p95_ms=2_500, tokens_per_s=75),
    _OPUS_46,
    _OPUS_48,
    replace(_OPUS_48, name="claude-opus-5"),
    replace(_FABLE_51, name="claude-opus-5-5"),
    replace(_FABLE_51, name="claude-sonnet-5-5", thinking_off="between_tools", first_p50_ms=700, tokens_per_s=90),
    _FABLE_51,
)
MODELS = {row.name: row for row in (*_ROWS, *_CLAUDE)}
# An unknown model of a known vendor has the restrictions of its newest family (provider_contracts.md 3).
_NEWEST = {"claude-": _FABLE_51, "gemini-": Model(name="gemini-", vendor="gemini")}  # `gemini.models` knows more


class ModelTable:
    """The built-in models plus those that the configuration adds."""

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        self.rows = dict(MODELS)
        for name in extra:
            self.rows.setdefault(name, _like_its_family(name))

    def get(self, name: str, vendor: Vendor = "openai") -> Model | None:
        """The vendor's model of that name, or of a dated snapshot of it, as the vendor dates them; None if none."""
        row = self.rows.get(name)
        if row is None and vendor in _SNAPSHOT and (base := self.rows.get(_SNAPSHOT[vendor].sub("", name))):
            row = replace(base, snapshot=name)
        return row if row is not None and row.vendor == vendor else None

    def of(self, vendor: Vendor) -> tuple[Model, ...]:
        """All models of one vendor."""
        return tuple(row for row in self.rows.values() if row.vendor == vendor)


def _like_its_family(name: str) -> Model:
    """A row for an added name: the newest of its vendor, or that of the longest known name it begins with."""
    for prefix, newest in _NEWEST.items():
        if name.startswith(prefix):
            return replace(newest, name=name)
    families = [known for known in MODELS if name.startswith(known)]
    base = MODELS[max(families, key=len)] if families else Model(name=name)
    return replace(base, name=name, snapshot="")
