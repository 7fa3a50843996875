"""The models that the simulated provider serves: limits, flags and pace, one row each.

Flags are those of provider_contracts.md section 3; the pace (time to first token, tokens a second) is of the order that
public benchmarks report for models of that size.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_EFFORTS = ("none", "low", "medium", "high", "xhigh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model.

    Attributes:
        snapshot: The dated name that OpenAI answers with when the alias was asked for; empty when it repeats the alias.
        efforts: Accepted `reasoning_effort` values; empty for models that do not reason.
        tools_need_effort_none: Function tools on Chat Completions only with effort `none`.
        first_p50_ms: Median time to the first token, at speed 1; `first_p95_ms` is its 95th percentile.
        dimensions: Length of an embedding vector; 0 for chat models.
    """

    name: str
    snapshot: str = ""
    context_tokens: int = 128_000
    max_output_tokens: int = 16_384
    sampling: Literal["yes", "if_effort_none", "no"] = "yes"
    efforts: tuple[str, ...] = ()
    default_effort: str = "none"
    tools_need_effort_none: bool = False
    takes_stop: bool = True
    first_p50_ms: float = 500
    first_p95_ms: float = 1_600
    tokens_per_s: float = 90
    dimensions: int = 0

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
    replace(_GPT_6, name="gpt-6-luna", first_p50_ms=450, first_p95_ms=1_500, tokens_per_s=120),
    Model(
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
    ),
    Model(name="qwen3-edge-8b", context_tokens=32_768, max_output_tokens=8_192, first_p50_ms=180, first_p95_ms=600),
    Model(name="text-embedding-3-small", context_tokens=8_192, dimensions=1_536, first_p50_ms=80, first_p95_ms=250),
    Model(name="text-embedding-3-large", context_tokens=8_192, dimensions=3_072, first_p50_ms=100, first_p95_ms=300),
)
MODELS = {row.name: row for row in _ROWS}


class ModelTable:
    """The built-in models plus those that the configuration adds."""

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        self.rows = dict(MODELS)
        for name in extra:
            self.rows.setdefault(name, _like_its_family(name))

    def get(self, name: str) -> Model | None:
        """The model of that name or of the dated snapshot `<name>-YYYY-MM-DD`; None if there is none."""
        row = self.rows.get(name)
        if row is None and (base := self.rows.get(_SNAPSHOT.sub("", name))):
            return replace(base, snapshot=name)
        return row


def _like_its_family(name: str) -> Model:
    """A row for an added name: that of the longest known name it begins with, else an ordinary chat model."""
    families = [known for known in MODELS if name.startswith(known)]
    base = MODELS[max(families, key=len)] if families else Model(name=name)
    return replace(base, name=name, snapshot="")
