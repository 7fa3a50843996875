"""The Gemini models: flags of provider_contracts.md section 3, one row each; unknown names get the newest restrictions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from connectors.simulator.models import Model

PREFIX = "gemini-"
_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?!\d)")
_NEWEST = (4, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiModel(Model):
    """One model; `efforts` are its thinking levels, in lower case, and `none` where thinking can be off.

    Attributes:
        budgets: Least and most `thinkingBudget`; None where thinking is set by level alone.
        takes_level: Takes `thinkingLevel`.
        most_choices: The largest `candidateCount`.
        signs_calls: Calls carry signatures, and wants them back.
        mixes_json_and_tools: Takes function declarations along with a JSON answer.
    """

    budgets: tuple[int, int] | None = None
    takes_level: bool = True
    most_choices: int = 1
    signs_calls: bool = True
    takes_logprobs: bool = False
    mixes_json_and_tools: bool = True


_NEWEST_MODEL = GeminiModel(
    name="gemini-4-pro",
    vendor="gemini",
    prefill=False,
    context_tokens=1_048_576,
    max_output_tokens=65_536,
    sampling="no",
    efforts=("low", "medium", "high"),
    default_effort="high",
    first_p50_ms=900,
    first_p95_ms=3_000,
)
_GEMINI_3 = replace(
    _NEWEST_MODEL,
    name="gemini-3-flash",
    sampling="yes",
    efforts=("minimal", "low", "medium", "high"),
    # Kept for callers of 2.5: ai.google.dev/gemini-api/docs/gemini-3, "Thinking level".
    budgets=(0, 24_576),
    prefill=True,
    first_p50_ms=350,
    first_p95_ms=1_200,
    tokens_per_s=140,
)
_FLASH_25 = replace(
    _GEMINI_3,
    name="gemini-2.5-flash",
    efforts=("none", "minimal", "low", "medium", "high"),
    default_effort="medium",
    takes_level=False,
    most_choices=8,
    signs_calls=False,
    takes_logprobs=True,
    mixes_json_and_tools=False,
)
_PRO_25 = replace(
    _FLASH_25,
    name="gemini-2.5-pro",
    efforts=("minimal", "low", "medium", "high"),
    budgets=(128, 32_768),
    first_p50_ms=900,
    first_p95_ms=3_000,
    tokens_per_s=80,
)
_EMBEDDING = GeminiModel(
    name="gemini-embedding-001",
    vendor="gemini",
    context_tokens=2_048,
    dimensions=3_072,
    first_p50_ms=80,
    first_p95_ms=250,
)
_FLASH_38 = replace(_NEWEST_MODEL, name="gemini-3.8-flash", default_effort="medium", first_p50_ms=350, tokens_per_s=150)
_ROWS = (_FLASH_25, _PRO_25, _GEMINI_3, _FLASH_38, _NEWEST_MODEL, _EMBEDDING)


class GeminiModels:
    """The built-in models plus those of the configuration that belong to this vendor."""

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        self._rows = {row.name: row for row in _ROWS}
        for name in filter(lambda name: name.startswith(PREFIX), extra):
            self._rows.setdefault(name, _like_its_family(name))

    def __iter__(self) -> Iterator[GeminiModel]:
        return iter(self._rows.values())

    def get(self, name: str) -> GeminiModel | None:
        return self._rows.get(name)


def _like_its_family(name: str) -> GeminiModel:
    if "embedding" in name:
        return replace(_EMBEDDING, name=name)
    version = _version(name)
    if version < (3, 0):
        return replace(_PRO_25 if "-pro" in name else _FLASH_25, name=name)
    if version < (3, 6):
        return replace(_GEMINI_3, name=name)
    levels = _GEMINI_3.efforts if version < (3, 7) else _NEWEST_MODEL.efforts
    return replace(_NEWEST_MODEL, name=name, efforts=levels)


def _version(name: str) -> tuple[int, int]:
    found = _VERSION.match(name)
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST
