"""How the gateway's server treats connections."""

from typing import Any

import httpx

from connectors.gateway.server import KEEP_ALIVE_S, serve


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_an_idle_connection_is_kept_for_longer_than_the_pools_of_clients_keep_it() -> None:
    server = await serve(app, "127.0.0.1", 0)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
            for _ in range(2):
                assert (await client.get("/")).text == "ok"
        assert httpx.Limits().keepalive_expiry is not None
        assert server._server.config.timeout_keep_alive == KEEP_ALIVE_S > 10 * httpx.Limits().keepalive_expiry
    finally:
        await server.stop()
