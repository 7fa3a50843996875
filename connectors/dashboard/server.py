"""The surface on a port: who is let in, what every answer carries, and the routes of `api` and `pages`."""

import logging
from typing import Final

import httpx
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from connectors.dashboard.access import Access, Refused
from connectors.dashboard.answers import problem
from connectors.dashboard.api import Api
from connectors.dashboard.desk import Desk
from connectors.dashboard.experiments import ExperimentPages
from connectors.dashboard.pages import Pages
from connectors.dashboard.rendering import Renderer, StaticFile, static_files

__all__ = ["serve"]

log = logging.getLogger(__name__)

_BODY_BYTES: Final = 16 * 1024
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FOR_EVER: Final = "private, max-age=31536000, immutable"
_CODES: Final = {
    401: "invalid_admin_key", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "payload_too_large",
    415: "not_json", 421: "wrong_host",
}  # fmt: skip


async def serve(desk: Desk, access: Access, port: int) -> web.AppRunner:
    """Start to listen; port 0 takes a free one.

    Raises:
        OSError: The address cannot be bound; the message names it.
    """
    http = httpx.AsyncClient(trust_env=False)
    files = static_files()
    app = web.Application(client_max_size=_BODY_BYTES, middlewares=[_guard(access)])
    renderer = Renderer(files)
    app.add_routes([*Api(desk, http).routes(), *Pages(desk, http, renderer).routes()])
    app.add_routes(ExperimentPages(desk, renderer).routes())
    app.add_routes([web.get("/static/{path:.+}", _static(files))])

    async def close(_app: web.Application) -> None:
        await http.aclose()

    app.on_cleanup.append(close)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, access.host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise OSError(error.errno, f"cannot listen on {access.host}:{port}: {error.strerror}") from error
    return runner


def _guard(access: Access) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            access.check(request.method, request.path, request.headers)
            answer = await handler(request)
        except Refused as refused:
            answer = problem(refused.status, _CODES[refused.status], refused.reason)
            if refused.status == 401:
                answer.headers["WWW-Authenticate"] = 'Basic realm="millrace admin", charset="UTF-8"'
        except web.HTTPException as error:
            answer = problem(error.status, _CODES.get(error.status, "invalid_request"), error.text or error.reason)
            if "Allow" in error.headers:
                answer.headers["Allow"] = error.headers["Allow"]
        except Exception:
            log.exception("admin surface", extra={"path": request.path})
            answer = problem(500, "internal", "see the log of the stage admin")
        answer.headers.update(_HEADERS)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    return guard


def _static(files: dict[str, StaticFile]) -> Handler:
    async def static(request: web.Request) -> web.StreamResponse:
        file = files.get(request.match_info["path"])
        if file is None:
            raise web.HTTPNotFound(text="no such file")
        return web.Response(
            body=file.body, content_type=file.content_type, charset="utf-8", headers={"Cache-Control": _FOR_EVER}
        )

    return static
