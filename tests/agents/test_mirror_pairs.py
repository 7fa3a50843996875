"""Comparisons on their way to the log: nobody takes over before they are there."""

import asyncio
from types import SimpleNamespace
from typing import Any

from pipeline.agents.mirror_pairs import MirrorPairs
from pipeline.core.shadowing.pair import skipped
from tests.agents.fakes import make_tools
from tests.unit.core.shadow_builder import NOW, request


async def test_a_comparison_whose_writer_was_cancelled_is_waited_for_all_the_same() -> None:
    begun, acked = asyncio.Event(), asyncio.Event()

    async def comparison(*_: Any) -> None:
        begun.set()
        await acked.wait()

    emit: Any = SimpleNamespace(comparison=comparison)
    pairs = MirrorPairs(make_tools(), emit, None, None)  # type: ignore[arg-type]
    skip = skipped("try-new", request(), "store_bodies", NOW, "id", "none")
    writer = asyncio.create_task(pairs.write(skip, "acme"))
    await begun.wait()
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    assert pairs.is_under_way
    closing = asyncio.create_task(pairs.close())
    await asyncio.sleep(0)
    assert not closing.done()
    acked.set()
    await closing
    assert not pairs.is_under_way
