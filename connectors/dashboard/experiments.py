"""The pages of experiments: what the catalogue tries, and for each of them the report with its plots.

`/experiments` and `/experiments/{name}` are frames; `/dash/experiments[/{name}]` their parts, which are fetched again by
themselves, and `/dash/experiments/{name}/plots` the columns of the plots.
"""

import asyncio
import re
from typing import Any, Final

from aiohttp import web

from connectors.dashboard.answers import document, problem
from connectors.dashboard.desk import Desk, NoAnswer, Row
from connectors.dashboard.rendering import Renderer

__all__ = ["ExperimentPages", "reported"]

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ExperimentPages:
    def __init__(self, desk: Desk, renderer: Renderer) -> None:
        self._desk, self._renderer = desk, renderer

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/experiments", self.frame),
            web.get("/dash/experiments", self.listed),
            web.get("/experiments/{name}", self.experiment),
            web.get("/dash/experiments/{name}", self.report),
            web.get("/dash/experiments/{name}/plots", self.plots),
        ]

    async def frame(self, _request: web.Request) -> web.Response:
        return self._html("experiments.html")

    async def listed(self, _request: web.Request) -> web.Response:
        rows = self._desk.experiments()
        try:
            reports = await asyncio.gather(*(self._desk.report(row["name"]) for row in rows))
        except NoAnswer as error:
            return self._html("experiment_list.html", rows=[(row, None) for row in rows], away=str(error))
        return self._html("experiment_list.html", rows=[*zip(rows, reports, strict=True)], away=None)

    async def experiment(self, request: web.Request) -> web.Response:
        """What is not known may be written later: the frame does not ask."""
        return self._html("experiment.html", name=_name(request))

    async def report(self, request: web.Request) -> web.Response:
        try:
            found = await reported(self._desk, request)
        except NoAnswer as error:
            return self._html("experiment_report.html", report=None, away=str(error))
        return self._html("experiment_report.html", report=found, away=None)

    async def plots(self, request: web.Request) -> web.Response:
        try:
            return document(await self._desk.plots(_name(request)))
        except NoAnswer as error:
            return problem(503, "no_answer", str(error))

    def _html(self, template: str, **values: Any) -> web.Response:
        return web.Response(text=self._renderer.render(template, values), content_type="text/html")


async def reported(desk: Desk, request: web.Request) -> Row | None:
    """The report on the experiment in the path; None if neither the catalogue nor a table knows it. Raises NoAnswer."""
    return await desk.report(_name(request))


def _name(request: web.Request) -> str:
    name = request.match_info["name"]
    if not _NAME.fullmatch(name):
        raise web.HTTPNotFound(text="no such experiment")
    return name
