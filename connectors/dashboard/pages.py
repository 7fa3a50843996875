"""What people look at: the dashboard in parts that are fetched again by themselves, and a page per request.

`/` is the frame; `/dash/figures` and `/dash/tables` say what ClickHouse knows of a range, `/dash/series` the same over time,
for the plots; `/dash/live` what needs no ClickHouse: breakers and queues. `/replays` lists the runs of `millrace replay`.
Nothing here shows a prompt or an answer.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx
from aiohttp import web

from connectors.dashboard.answers import document, problem
from connectors.dashboard.api import explained
from connectors.dashboard.children import lags, scrape
from connectors.dashboard.desk import Desk, NoAnswer, Row
from connectors.dashboard.questions import EXACT_RECORDS, FIGURES, RANGES, TABLES, Window, rates, statement, window
from connectors.dashboard.rendering import Renderer
from connectors.dashboard.timeline import steps

__all__ = ["Pages"]

_DEFAULT_RANGE: Final = "15m"
_REFRESH_S: Final = {"15m": 5, "1h": 10, "24h": 60, "7d": 60}


class Pages:
    def __init__(self, desk: Desk, http: httpx.AsyncClient, renderer: Renderer) -> None:
        self._desk, self._http, self._renderer = desk, http, renderer

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.dashboard),
            web.get("/dash/figures", self.figures),
            web.get("/dash/tables", self.tables),
            web.get("/dash/series", self.series),
            web.get("/dash/live", self.live),
            web.get("/requests/{id}", self.request),
            web.get("/replays", self.replays),
        ]

    async def dashboard(self, request: web.Request) -> web.Response:
        of = self._window(request)
        return self._html("dashboard.html", ranges=list(RANGES), of=of, tenants=self._desk.tenants())

    async def figures(self, request: web.Request) -> web.Response:
        return await self._answered("figures.html", FIGURES, self._window(request))

    async def tables(self, request: web.Request) -> web.Response:
        return await self._answered("tables.html", TABLES, self._window(request))

    async def series(self, request: web.Request) -> web.Response:
        of = self._window(request)
        try:
            rows = await self._ask("series", of, is_exact=await self._is_exact(of))
        except NoAnswer as error:
            return problem(503, "no_answer", str(error))
        return document(rates(rows, of))

    async def live(self, _request: web.Request) -> web.Response:
        children = self._desk.children()
        pages = await scrape(children, self._http)
        silent = [child for child, page in pages.items() if page is None]
        return self._html("live.html", breakers=self._desk.breakers(), lags=lags(pages), silent=silent)

    async def request(self, request: web.Request) -> web.Response:
        request_id = request.match_info["id"]
        try:
            found = await explained(self._desk, request)
        except NoAnswer as error:
            return self._html("request.html", status=503, request_id=request_id, document=None, away=str(error))
        if found is None:
            return self._html("request.html", status=404, request_id=request_id, document=None, away=None)
        return self._html("request.html", request_id=request_id, document=found, steps=steps(found), away=None)

    async def replays(self, _request: web.Request) -> web.Response:
        return self._html("replays.html", runs=self._desk.replays())

    async def _answered(self, template: str, questions: Sequence[str], of: Window) -> web.Response:
        """A part of the page, or its place with the reason why there is nothing."""
        try:
            is_exact = await self._is_exact(of)
            rows = await asyncio.gather(*(self._ask(name, of, is_exact=is_exact) for name in questions))
        except NoAnswer as error:
            return self._html(template, away=str(error), refresh_s=_REFRESH_S[_DEFAULT_RANGE])
        found: dict[str, Any] = dict(zip(questions, rows, strict=True))
        return self._html(template, away=None, of=of, is_exact=is_exact, refresh_s=_REFRESH_S[of.name], **found)

    async def _ask(self, name: str, of: Window, *, is_exact: bool) -> list[Row]:
        return await self._desk.ask(statement(name, is_exact=is_exact, step_s=of.step_s), **of.parameters)

    async def _is_exact(self, of: Window) -> bool:
        (size,) = await self._ask("size", of, is_exact=False)
        return int(max(size["responses"], size["costs"])) <= EXACT_RECORDS

    def _window(self, request: web.Request) -> Window:
        name, tenant = request.query.get("range", _DEFAULT_RANGE), request.query.get("tenant", "")
        if name not in RANGES or (tenant and tenant not in self._desk.tenants()):
            raise web.HTTPBadRequest(text="no such range or tenant")
        return window(name, time.time_ns() // 1_000_000, tenant)

    def _html(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        return web.Response(text=self._renderer.render(template, values), status=status, content_type="text/html")
