"""Pairs by their winner, counted again from the log for an experiment whose progress does not say them (version 1)."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from pipeline.agents.mirror_past import judged_before
from schemas import headers as h
from schemas.codec import encode
from schemas.events import ShadowComparison
from schemas.topics import SHADOW_COMPARISONS

MINE = "try-new"


def _record(offset: int, winner: str | None, *, experiment: str = MINE, status: str = "compared") -> Any:
    value = encode(ShadowComparison(experiment, f"r{offset}", "acme", status, 1, 1, winner=winner))
    return SimpleNamespace(offset=offset, value=value, headers=h.build(experiment=experiment))


LOG = {
    0: [_record(0, "shadow"), _record(1, "tie"), _record(2, "shadow"), _record(3, "shadow")],
    1: [
        _record(0, "primary"),
        _record(1, "primary", experiment="other"),
        _record(2, None),
        _record(3, None, status="skipped"),
    ],
    2: [_record(0, "tie")],
}


class Log:
    async def read(self, topic: str, partition: int) -> AsyncIterator[Any]:
        assert topic == f"llm.{SHADOW_COMPARISONS.name}"
        for record in LOG[partition]:
            yield record


async def test_what_is_in_the_figures_is_counted_and_nothing_that_comes_after() -> None:
    tools: Any = SimpleNamespace(topic=lambda name: f"llm.{name}")
    scanner: Any = Log()
    assert await judged_before(tools, scanner, MINE, {"0": 3, "1": 4}) == {"shadow": 2, "tie": 1, "primary": 1}
    assert await judged_before(tools, scanner, MINE, {}) == {}
