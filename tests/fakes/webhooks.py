"""A receiver of webhooks on a free port: checks nothing, keeps everything, answers what it is told to."""

import asyncio
import contextlib
import hashlib
import hmac
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

SECRET = "whsec-of-the-tests"


@dataclass
class Got:
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)
        return found

    @property
    def is_signed(self) -> bool:
        """As docs/alerts.md tells receivers to check it."""
        digest = hmac.new(SECRET.encode(), self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(self.headers.get("x-millrace-signature", ""), f"sha256={digest}")


@dataclass
class Receiver:
    """`answers`: status codes of the next posts, then 204; 0 is an answer that never comes."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: deque[int] = field(default_factory=deque)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, holds: Callable[[], bool], timeout_s: float = 60) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append(Got({key.lower(): value for key, value in request.headers.items()}, await request.read()))
        self._changed.set()
        status = self.answers.popleft() if self.answers else 204
        if status == 0:
            await asyncio.Event().wait()
        return web.Response(status=status, headers={"location": self.url} if status in {301, 302, 307} else None)


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/hook", found._take)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook?key=in-the-query"
    try:
        yield found
    finally:
        await runner.cleanup()
