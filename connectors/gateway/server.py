"""uvicorn as we run it: inside a process that owns its signals, on a socket we bound ourselves."""

import asyncio
import socket
from contextlib import AbstractContextManager, nullcontext

import uvicorn
from starlette.types import ASGIApp

__all__ = ["KEEP_ALIVE_S", "Server", "serve"]

_GRACE_S = 5
KEEP_ALIVE_S = 75
"""Longer than clients and proxies keep an idle connection (httpx 5 s, load balancers 60 s): else the server closes it in
the moment in which they send the next request, and they see a lost connection."""


class _Hosted(uvicorn.Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # signals are the host's
        return nullcontext()


class Server:
    """A running server."""

    def __init__(self, server: uvicorn.Server, task: "asyncio.Task[None]", port: int) -> None:
        self._server = server
        self._task = task
        self.port = port

    async def stop(self) -> None:
        """Takes no more requests, lets running ones end for 5 s, frees the port."""
        self._server.should_exit = True
        await self._task


async def serve(app: ASGIApp, host: str, port: int) -> Server:
    """Serves; port 0 takes any free one.

    Raises:
        OSError: the address cannot be bound; the message names it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(1_024)
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    config = uvicorn.Config(
        app, access_log=False, log_config=None, lifespan="off", server_header=False, date_header=False,
        timeout_graceful_shutdown=_GRACE_S, timeout_keep_alive=KEEP_ALIVE_S, ws="none",
    )  # fmt: skip
    server = _Hosted(config)
    task = asyncio.ensure_future(server.serve(sockets=[bound]))
    while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn offers no event
        await asyncio.sleep(0.005)
    if task.done():
        bound.close()
        task.result()
        raise OSError(f"the server on {host}:{port} ended while starting")
    return Server(server, task, bound.getsockname()[1])
