"""The models and routes that a key may ask for, as OpenAI lists models (and Anthropic clients read them too)."""

from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp

from connectors.gateway.auth import Caller
from connectors.gateway.context import Gateway
from connectors.gateway.problems import Problem
from schemas.errors import ErrorCode

__all__ = ["model", "models"]


async def models(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    data = [_model_row(gateway, name) for name in sorted(gateway.catalog().targets(caller.tenant))]
    return HttpResponse(orjson.dumps({"object": "list", "data": data}), media_type="application/json")


async def model(gateway: Gateway, http: HttpRequest, caller: Caller) -> ASGIApp | Problem:
    name = str(http.path_params["id"])
    if name not in gateway.catalog().targets(caller.tenant):
        return Problem(ErrorCode.MODEL_NOT_FOUND, "there is no such model for this key", "model")
    return HttpResponse(orjson.dumps(_model_row(gateway, name)), media_type="application/json")


def _model_row(gateway: Gateway, name: str) -> dict[str, Any]:
    found = gateway.catalog().models.get(name)
    return {"id": name, "object": "model", "created": 0, "owned_by": found.provider if found else "millrace"}
