"""What a key's tenant used: `GET /v1/usage?from&to&by=`. Nobody names a tenant here: it is always the key's own."""

from dataclasses import asdict
from datetime import UTC, datetime

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp

from connectors.gateway.auth import Caller
from connectors.gateway.context import Gateway
from connectors.gateway.problems import Problem, from_invalid
from schemas.errors import ErrorCode
from schemas.usage import UsageQuestion, usage_question

__all__ = ["usage"]

_PARAMETERS = ("from", "to", "by")
_AWAY = Problem(ErrorCode.ANALYTICS_UNAVAILABLE, "usage cannot be looked up now", retry_after_s=5)


async def usage(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    question = _question(http, caller.tenant)
    if isinstance(question, Problem):
        return question
    as_of = datetime.fromtimestamp(gateway.now_ms() / 1000, UTC).isoformat(timespec="milliseconds")
    rows = await gateway.usage(question) if gateway.usage is not None else "unavailable"
    if rows == "unavailable":
        return _AWAY
    document = {"rows": [asdict(row) for row in rows], "budgets": [], "as_of": as_of.replace("+00:00", "Z")}
    return HttpResponse(orjson.dumps(document), media_type="application/json")


def _question(http: HttpRequest, tenant: str) -> UsageQuestion | Problem:
    for name in http.query_params:
        if name not in _PARAMETERS or len(http.query_params.getlist(name)) > 1:
            said = "is given twice" if name in _PARAMETERS else "is not a parameter of usage"
            return Problem(ErrorCode.INVALID_REQUEST, f"`{name[:64]}` {said}", name[:64])
    by, start, end = (http.query_params.get(name) for name in ("by", "from", "to"))
    found = usage_question(by, start, end, tenant=tenant)
    return found if isinstance(found, UsageQuestion) else from_invalid(found)
