"""What programs ask: `/admin/*`, `/metrics`, health. Documents are those that the command line prints with `--json`."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import orjson
from aiohttp import web

from connectors.dashboard.answers import document, problem
from connectors.dashboard.children import merged, scrape, targets
from connectors.dashboard.desk import Desk, NoAnswer, Row, UnknownEndpoint, UnknownExperiment, UnknownOrder
from connectors.dashboard.experiments import reported

__all__ = ["Api", "explained"]

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LATER: Final = ("budgets", "keys")


class Api:
    def __init__(self, desk: Desk, http: httpx.AsyncClient) -> None:
        self._desk, self._http = desk, http

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
            web.get("/admin/targets", self.targets),
            web.get("/admin/breakers", self.breakers),
            web.post("/admin/breakers", self.order),
            web.get("/admin/shadows", self.shadows),
            web.post("/admin/shadows", self.order_shadow),
            web.get("/admin/config", self.config),
            web.get("/admin/dlq", self.dead_letters),
            web.get("/admin/explain/{id}", self.explain),
            web.get("/admin/shadows/{name}", self.report),
            web.get("/admin/replays", self.replays),
            web.get("/admin/replays/{id}", self.replay),
            *(web.get(f"/admin/{name}", self.later) for name in _LATER),
        ]

    async def healthz(self, _request: web.Request) -> web.Response:
        return document({"status": "ok"})

    async def readyz(self, _request: web.Request) -> web.Response:
        is_ready = self._desk.is_ready()
        return document({"status": "ready" if is_ready else "not ready"}, 200 if is_ready else 503)

    async def metrics(self, _request: web.Request) -> web.Response:
        page = merged(await scrape(self._desk.children(), self._http))
        return web.Response(body=page, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    async def targets(self, _request: web.Request) -> web.Response:
        return document(targets(self._desk.children()))

    async def breakers(self, _request: web.Request) -> web.Response:
        return document(self._desk.breakers())

    async def order(self, request: web.Request) -> web.Response:
        """`{"endpoint": ..., "order": "open" | "close" | "auto"}`; answers with the breaker once it is carried out."""
        endpoint, word, _ = _order(await request.read(), "endpoint")
        if endpoint is None or word is None:
            return problem(
                400, "invalid_request", 'send {"endpoint": "provider/model/region", "order": "open|close|auto"}'
            )
        try:
            await self._desk.order(endpoint, word)
        except UnknownOrder:
            return problem(400, "invalid_request", "an order is open, close or auto")
        except UnknownEndpoint:
            return problem(404, "not_found", "no such endpoint: GET /admin/breakers lists them")
        except NoAnswer as error:
            return problem(504, "not_carried_out", str(error))
        return document(next(row for row in self._desk.breakers() if row["endpoint"] == endpoint))

    async def shadows(self, _request: web.Request) -> web.Response:
        return document(self._desk.shadows())

    async def order_shadow(self, request: web.Request) -> web.Response:
        """`{"experiment": ..., "order": "start" | "stop", "from"?: TIME}`; answers with its row once it is carried out."""
        name, word, since = _order(await request.read(), "experiment")
        since_ms = _epoch_ms(since)
        if name is None or word is None or (since is not None and since_ms is None):
            return problem(
                400,
                "invalid_request",
                'send {"experiment": "NAME", "order": "start|stop", "from": "2026-11-28T12:00:00Z"}',
            )
        try:
            await self._desk.order_shadow(name, word, since_ms)
        except UnknownOrder:
            return problem(400, "invalid_request", "an order is start or stop, and only a start has a `from`")
        except UnknownExperiment:
            return problem(404, "not_found", "no such experiment: GET /admin/shadows lists them")
        except NoAnswer as error:
            return problem(504, "not_carried_out", str(error))
        return document(next(row for row in self._desk.shadows() if row["experiment"] == name))

    async def config(self, _request: web.Request) -> web.Response:
        return document(self._desk.config())

    async def dead_letters(self, _request: web.Request) -> web.Response:
        try:
            return document(await self._desk.dead_letters())
        except NoAnswer as error:
            return problem(503, "no_answer", str(error))

    async def explain(self, request: web.Request) -> web.Response:
        try:
            found = await explained(self._desk, request)
        except NoAnswer as error:
            return problem(503, "no_answer", str(error))
        return problem(404, "not_found", "no such request") if found is None else document(found)

    async def report(self, request: web.Request) -> web.Response:
        try:
            found = await reported(self._desk, request)
        except NoAnswer as error:
            return problem(503, "no_answer", str(error))
        return problem(404, "not_found", "no such experiment") if found is None else document(found)

    async def replays(self, _request: web.Request) -> web.Response:
        return document(self._desk.replays())

    async def replay(self, request: web.Request) -> web.Response:
        found = self._desk.replay(request.match_info["id"])
        return problem(404, "not_found", "no such replay") if found is None else document(found)

    async def later(self, _request: web.Request) -> web.Response:
        return problem(501, "not_implemented_yet", "this part of the admin surface is not there yet")


async def explained(desk: Desk, request: web.Request) -> Row | None:
    """The document of the request in the path, of the tenant in the query if it says one. Raises NoAnswer."""
    request_id = request.match_info["id"]
    return await desk.explain(request_id, request.query.get("tenant")) if _ID.fullmatch(request_id) else None


def _order(body: bytes, of: str) -> tuple[str | None, str | None, Any]:
    """Whom it is for, the word, and since when; None for what is no text."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, None, None
    if not isinstance(said, Mapping):
        return None, None, None
    return _text(said.get(of)), _text(said.get("order")), said.get("from")


def _epoch_ms(value: Any) -> int | None:
    """Of a time in RFC 3339, UTC if it does not say."""
    try:
        said = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return int((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp() * 1000)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
