"""The admin port of a process: `/metrics`, `/healthz`, `/readyz`. Loopback unless configured."""

from collections.abc import Callable

from aiohttp import web

from connectors.admin.metrics import Metrics


async def serve(
    metrics: Metrics, is_ready: Callable[[], bool], refresh: Callable[[], None], port: int
) -> web.AppRunner:
    """Start to listen on 127.0.0.1; port 0 takes a free one. `refresh` sets the gauges before each scrape.

    Raises:
        OSError: the port is busy.
    """

    async def show(_request: web.Request) -> web.Response:
        refresh()
        return web.Response(body=metrics.render(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    async def alive(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        good = is_ready()
        return web.json_response({"status": "ready" if good else "not ready"}, status=200 if good else 503)

    app = web.Application()
    app.add_routes([web.get("/metrics", show), web.get("/healthz", alive), web.get("/readyz", ready)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def port_of(runner: web.AppRunner) -> int:
    return int(runner.addresses[0][1])
