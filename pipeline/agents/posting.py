"""Posts of the stage `alerts`: what the outbox has due goes to webhooks, and what they took is committed."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import orjson
from aiokafka.errors import KafkaError

from connectors.webhooks import Poster, Webhook
from pipeline.core.alerting import Outbox, Post
from pipeline.tools import Tools
from schemas.events import Alert
from schemas.jsonable import to_json

__all__ = ["Posting"]

TICK_S = 1.0
AT_ONCE = 8
"""Posts under way."""
GRACE_S = 5.0

log = logging.getLogger(__name__)

Commit = Callable[[int, str], Awaitable[None]]


class Posting:
    """While one partition is ours. `commit` takes position and memo of the outbox."""

    def __init__(self, tools: Tools, poster: Poster, outbox: Outbox, commit: Commit) -> None:
        self._tools, self._poster, self._outbox, self._commit = tools, poster, outbox, commit
        self._committed: tuple[int, str] | None = None
        self._places = asyncio.Semaphore(AT_ONCE)
        self._changed = asyncio.Event()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._leaves = False

    def add(self, offset: int, alert: Alert) -> None:
        self._outbox.add(offset, alert)
        self._changed.set()

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as posts:
            while True:
                for post in () if self._leaves else self._outbox.take(self._tools.now_ms()):
                    self._under_way += 1
                    self._idle.clear()
                    posts.create_task(self._post(post))
                await self._say_how_far()
                await self._something_new()

    async def leave(self) -> None:
        """Takes no more, and says how far those under way have come: what a webhook has is not posted again."""
        self._leaves = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), GRACE_S)
        await self._say_how_far()

    async def _post(self, post: Post) -> None:
        async with self._places:
            refused = await self._send(post)
        if refused is None:
            self._outbox.sent(post)
            result = "ok"
        else:
            result = "failed" if self._outbox.failed(post, self._tools.now_ms()) else "given_up"
            facts = {"alert": post.alert.name, "to": post.target, "result": result, "reason": refused}
            log.warning("webhook", extra=facts)
        self._tools.metrics.count("alert_webhooks_total", result=result)
        self._changed.set()
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    async def _send(self, post: Post) -> str | None:
        """None, or why it was not taken."""
        keys = self._tools.loaded.webhooks.get(post.target.removeprefix("webhook:"))
        if keys is None:
            return "not set"
        webhook = Webhook(keys.url.get_secret_value(), keys.secret.get_secret_value(), keys.allow_private)
        return await self._poster.post(webhook, orjson.dumps(to_json(post.alert)))

    async def _say_how_far(self) -> None:
        said = self._outbox.position, self._outbox.memo
        if said == self._committed:
            return
        try:
            await self._commit(*said)
        except KafkaError as error:  # said again next time; if the partition has gone, we are about to be told
            log.warning("outbox not committed", extra={"error": repr(error)})
        else:
            self._committed = said

    async def _something_new(self) -> None:
        """Or time has passed."""
        try:
            async with asyncio.timeout(TICK_S):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()
