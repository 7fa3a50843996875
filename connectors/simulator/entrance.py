"""The door that every vendor's request comes through: it is noted, read, answered, and its end is noted too."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from connectors.simulator.journal import HUNG_UP
from connectors.simulator.world import Exchange, World

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]
_CLIENT_CLOSED_REQUEST = 499  # nginx's word for it; nobody reads it


def entrance(world: World, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler for aiohttp that logs the request and notices when the caller goes away."""

    async def enter(request: web.Request) -> web.StreamResponse:
        entry = world.journal.open(request.method, request.path, request.headers)
        try:
            entry.body = await request.read()
            return await handler(Exchange(world, request, entry))
        except asyncio.CancelledError:
            world.journal.close(entry, _ending(world))
            raise
        except ConnectionError:  # a write met the closed connection before the cancellation did
            world.journal.close(entry, _ending(world))
            return web.Response(status=_CLIENT_CLOSED_REQUEST)
        except web.HTTPException:  # a body beyond the limit
            world.journal.close(entry, "refused")
            raise
        finally:
            world.journal.close(entry, "crashed")  # only if nothing else was said

    return enter


def _ending(world: World) -> str:
    return "closed" if world.closing else HUNG_UP
