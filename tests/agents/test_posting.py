"""Posting without a broker and without a network: what was taken is committed, what was not is tried again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from pydantic import SecretStr

from connectors.admin.metrics import Metrics
from pipeline.agents.posting import AT_ONCE, Posting
from pipeline.catalog_file.keys import WebhookKeys
from pipeline.core.alerting import Outbox
from pipeline.core.alerting.outbox import GIVE_UP_MS, PAUSES_MS
from schemas.events import Alert
from tests.agents.fakes import NOW

HOOK = WebhookKeys(SecretStr("https://example.org"), SecretStr("sesame-sesame"), allow_private=False)


class House:
    """`refusals`: what the next posts are answered, then they are taken. `gate` holds them while it is clear."""

    def __init__(self) -> None:
        self.now = NOW
        self.webhooks = {"OPS": HOOK}
        self.refusals: list[str] = []
        self.bodies: list[bytes] = []
        self.commits: list[tuple[int, str]] = []
        self.broken_commits = 0
        self.gate, self.changed = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.metrics = Metrics()
        tools: Any = SimpleNamespace(now_ms=lambda: self.now, loaded=self, metrics=self.metrics)
        self.posting = Posting(tools, self, Outbox(), self.commit)  # type: ignore[arg-type]

    async def post(self, _: Any, body: bytes) -> str | None:
        self.bodies.append(body)
        self.changed.set()
        await self.gate.wait()
        return self.refusals.pop(0) if self.refusals else None

    async def commit(self, position: int, memo: str) -> None:
        if self.broken_commits:
            self.broken_commits -= 1
            raise KafkaError
        self.commits.append((position, memo))
        self.changed.set()

    async def until(self, holds: Any) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def posts(self, result: str) -> bool:
        return f'alert_webhooks_total{{result="{result}"}} 1.0' in self.metrics.render().decode()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    running = asyncio.ensure_future(made.posting.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def make_alert(number: int = 0) -> Alert:
    return Alert(f"a{number}", "down", "firing", "error_rate", ">", 0.5, 0.9, {}, NOW, NOW, "c", ["webhook:OPS"])


async def test_what_was_taken_is_committed(house: House) -> None:
    house.posting.add(0, make_alert())
    await house.until(lambda: house.commits[-1:] == [(1, "")])
    assert len(house.bodies) == 1
    assert house.posts("ok")


async def test_what_was_refused_is_posted_again_with_the_same_bytes(house: House) -> None:
    house.refusals.append("HTTP 500")
    house.posting.add(0, make_alert())
    await house.until(lambda: house.posts("failed") or not house.refusals)
    house.now += PAUSES_MS[0]
    house.posting.add(1, make_alert(1))
    await house.until(lambda: house.commits[-1:] == [(2, "")])
    assert house.bodies.count(house.bodies[0]) == 2
    assert house.posts("failed")


async def test_a_variable_that_is_not_set_is_a_refusal_and_in_the_end_given_up(house: House) -> None:
    house.webhooks = {}
    house.now += GIVE_UP_MS
    house.posting.add(0, make_alert())
    await house.until(lambda: house.commits[-1:] == [(1, "")])
    assert house.bodies == []
    assert house.posts("given_up")


async def test_a_commit_that_failed_is_made_again(house: House) -> None:
    await house.until(lambda: house.commits == [(0, "")])
    house.broken_commits = 1
    house.posting.add(0, make_alert())
    await house.until(lambda: house.commits[-1:] == [(1, "")])
    assert house.broken_commits == 0


async def test_a_slow_receiver_gets_a_few_at_a_time(house: House) -> None:
    house.gate.clear()
    for number in range(AT_ONCE + 5):
        house.posting.add(number, make_alert(number))
    await house.until(lambda: len(house.bodies) == AT_ONCE)
    house.gate.set()
    await house.until(lambda: house.commits[-1:] == [(AT_ONCE + 5, "")])
    assert len(house.bodies) == AT_ONCE + 5


async def test_who_leaves_takes_no_more_and_says_what_those_under_way_came_to(house: House) -> None:
    house.gate.clear()
    house.posting.add(0, make_alert())
    await house.until(lambda: len(house.bodies) == 1)
    leaving = asyncio.ensure_future(house.posting.leave())
    await asyncio.sleep(0)
    house.posting.add(1, make_alert(1))
    assert not leaving.done()
    house.gate.set()
    await leaving
    assert (house.commits[-1], len(house.bodies)) == ((1, ""), 1)
